"""Every error that a client can see is one of these.

    Problem
    ├── BadRequest 400            ├── Conflict 409
    ├── Unauthenticated 401       ├── Gone 410
    ├── Forbidden 403             ├── PreconditionFailed 412
    ├── NotFound 404              ├── PayloadTooLarge 413
    ├── MethodNotAllowed 405      ├── UnsupportedMediaType 415
    └── RequestTimeout 408        ├── Invalid 422
                                  ├── TooManyRequests 429
                                  ├── HeadersTooLarge 431
                                  └── Unavailable 503

A class's docstring is the error's `detail` unless whoever raises it says more; problems.py renders
them.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

import msgspec

T = TypeVar("T")
RETRY_AFTER_SECONDS = 1


class FieldError(msgspec.Struct, frozen=True):
    """One value was refused: where it is, and what would be accepted."""

    path: str
    message: str


class Problem(Exception):  # noqa: N818  # the field's own term, RFC 9457
    """The service failed. The failure is logged; try again, and report it if it stays."""

    status: ClassVar[int] = 500

    def __init__(
        self, detail: str | None = None, *, errors: list[FieldError] | None = None
    ) -> None:
        super().__init__(detail or " ".join((type(self).__doc__ or "").split()))
        self.errors = errors
        self.headers: dict[str, str] = {}


class BadRequest(Problem):
    """The request's body is not JSON."""

    status = 400


class Unauthenticated(Problem):
    """Send a valid access token in the header `Authorization: Bearer …`."""

    status = 401

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """Your role does not allow this."""

    status = 403


class NotFound(Problem):
    """There is nothing here, or it is not yours."""

    status = 404


class MethodNotAllowed(Problem):
    """This path does not take that method; the header Allow lists those it takes."""

    status = 405


class RequestTimeout(Problem):
    """The request did not arrive in time; send it again, faster or in smaller parts."""

    status = 408

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.headers = {"Connection": "close"}


class Conflict(Problem):
    """The request conflicts with what is stored."""

    status = 409


class Gone(Problem):
    """It was here, and was deleted."""

    status = 410


class PreconditionFailed(Problem):
    """It has changed since you read it; read it again, and decide anew."""

    status = 412

    def __init__(self, detail: str | None = None, *, etag: str | None = None) -> None:
        super().__init__(detail)
        self.headers = {"ETag": etag} if etag else {}


class PayloadTooLarge(Problem):
    """The request's body is too large; send less at once."""

    status = 413


class UnsupportedMediaType(Problem):
    """Send the body as JSON, with the header `Content-Type: application/json`."""

    status = 415


class Invalid(Problem):
    """Some values are not valid; `errors` lists them."""

    status = 422

    @property
    def one_line(self) -> str:
        """Give the errors, or the words where none are listed."""
        return "; ".join(f"{one.path}: {one.message}" for one in self.errors or ()) or str(self)

    @classmethod
    def field(cls, path: str, message: str) -> Invalid:
        return cls(errors=[FieldError(path, message)])


class TooManyRequests(Problem):
    """Too many attempts; wait for as many seconds as Retry-After says."""

    status = 429

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after_seconds)}


class HeadersTooLarge(Problem):
    """The request's headers are too large; send fewer or shorter ones."""

    status = 431


class Unavailable(Problem):
    """A database this request needs is away, or the service is saturated; try again."""

    status = 503

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


def found(value: T | None) -> T:
    """Return what is there; raises NotFound for None."""
    if value is None:
        raise NotFound
    return value
