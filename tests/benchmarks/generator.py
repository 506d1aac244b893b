"""The load: wrk, or where it cannot be had this file as a program, which takes and prints the same.

python -m tests.benchmarks.generator CONNECTIONS SECONDS URL METHOD PATH TARGETS BODY
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.benchmarks.world import BenchmarkError

HERE = Path(__file__).parent
INSTALL = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy wrk"


class Load(NamedTuple):
    """A request that is sent over and over, to targets picked at random."""

    method: str
    path: str  # %s: the session
    targets: Path  # lines of "token session", or of an API key "token session person"
    body: Path | None = None
    connections: int = 32


class Result(NamedTuple):
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    failed: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def generate(url: str, load: Load, seconds: int) -> Result:
    """Raises BenchmarkError unless every request was answered, with a status below 400."""
    done = subprocess.run(command(url, load, seconds), check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"{load.method} {load.path}: {(done.stderr or done.stdout).strip()}")
    result = read_result(done.stdout)
    if result.refused or result.failed:
        raise BenchmarkError(f"{load.method} {load.path} of {url}: {result}")
    return result


def command(url: str, load: Load, seconds: int) -> tuple[str, ...]:
    """Make the command line of the process that loads; `read_result` reads what it prints."""
    connections = load.connections
    rest = (load.method, load.path, str(load.targets), str(load.body or ""))
    if wrk():
        flags = ("-t1", f"-c{connections}", f"-d{seconds}", "--timeout=60s")
        return (wrk(), *flags, "-s", str(HERE / "wrk.lua"), url, "--", *rest)
    ours = (sys.executable, "-m", __name__)
    return (*ours, str(connections), str(seconds), url, *rest)


def read_result(printed: str) -> Result:
    return Result(**json.loads(printed.strip().splitlines()[-1]))


@cache
def wrk() -> str:
    """Its path; empty if it cannot be had. Installed where root may do so, as .ci/run does it."""
    if not shutil.which("wrk") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(INSTALL, shell=True, check=False, stdout=subprocess.DEVNULL)  # noqa: S602
    return shutil.which("wrk") or ""


def main() -> None:
    connections, seconds, url, method, path, targets, body = sys.argv[1:]
    content = Path(body).read_bytes() if body else b""
    requests = [
        request_bytes(method, path.replace("%s", session), token, content, *person)
        for token, session, *person in map(str.split, Path(targets).read_text().splitlines())
    ]
    print(json.dumps(asyncio.run(_drive(url, requests, int(connections), int(seconds)))))  # noqa: T201


def request_bytes(method: str, path: str, token: str, body: bytes, person: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: benchmark\r\nAuthorization: Bearer {token}\r\n"
    if person:
        head += f"On-Behalf-Of: {person}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


async def _drive(
    url: str, requests: list[bytes], connections: int, seconds: int
) -> dict[str, float]:
    place, began = urlsplit(url), time.perf_counter()
    milliseconds: list[float] = []
    refused: list[int] = []

    async def client(number: int) -> None:
        chance = random.Random(number)  # the same for each contestant
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        while (sent := time.perf_counter()) < began + seconds:
            writer.write(chance.choice(requests))
            status = await read_status(reader)
            milliseconds.append((time.perf_counter() - sent) * 1000)
            if status >= 400:
                refused.append(status)
        writer.close()

    ended = await asyncio.gather(*map(client, range(connections)), return_exceptions=True)
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return {
        "requests": len(milliseconds),
        "seconds": time.perf_counter() - began,
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
        "refused": len(refused),
        "failed": sum(isinstance(one, BaseException) for one in ended),
    }


async def read_status(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end, and return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, after = head.partition(b"\r\ncontent-length:")
    if after:
        await reader.readexactly(int(after.partition(b"\r\n")[0]))
    else:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    main()
