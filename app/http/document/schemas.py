"""The document's schemas, in words that generators of clients understand in every language.

Litestar writes valid schemas from our types. But a constraint beside `oneOf` is lost on zod, an
enum without a name is given another one wherever it stands, and a pattern of Python's own does not
compile elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import chain
from typing import Any

from litestar.openapi.spec import Discriminator, OpenAPIType, Reference, Schema

Node = Schema | Reference
Tag = tuple[str, str]  # the field that names an object's kind, and the kind
COMPONENT = "#/components/schemas/"
# What is said of a field. Every other keyword is about the values that it takes.
OF_A_FIELD = ("default", "deprecated", "description", "examples")
OF_VALUES = [one.name for one in fields(Schema) if one.name not in (*OF_A_FIELD, "one_of")]
NUMBERS = ("minimum", "maximum", "exclusive_minimum", "exclusive_maximum", "multiple_of")


class Schemas:
    """The document's components. Enums and unions that have a title are added as they are met.

    (Litestar loses the title of a Literal within a list or a dictionary; a StrEnum has its name.)
    """

    def __init__(self, components: dict[str, Schema]) -> None:
        self._components = components
        for schema in list(components.values()):
            self._mend_parts(schema)

    def sort(self) -> None:
        items = sorted(self._components.items())
        self._components.clear()
        self._components.update(items)

    def mended(self, node: Node) -> Node:
        schema = _simple(node)
        if isinstance(schema, Reference):
            return schema
        self._mend_parts(schema)
        is_named = schema.title and (schema.enum or schema.one_of)
        return self._named(str(schema.title), schema) if is_named else schema

    def close(self, node: Node | None) -> None:
        """Says of all objects in a request's body that a field they do not name is refused.

        Those that are passed on unread say that they may have more; see texts.py. A field's default
        is left to its description: generators take a field that has one for always present.
        """
        schema = self._component(node) if isinstance(node, Reference) else node
        if schema is None or isinstance(schema.additional_properties, bool):
            return
        if schema.properties:
            schema.additional_properties = False
            schema.properties = {k: _without_default(one) for k, one in schema.properties.items()}
        parts = (schema.one_of, schema.all_of, (schema.properties or {}).values(), [schema.items])
        for part in chain.from_iterable(part or () for part in parts):
            self.close(part)

    def _mend_parts(self, schema: Schema) -> None:
        _make_portable(schema)
        if schema.properties:
            schema.properties = {name: self.mended(one) for name, one in schema.properties.items()}
        if schema.items:
            schema.items = self.mended(schema.items)
        if isinstance(schema.additional_properties, Schema):
            schema.additional_properties = self.mended(schema.additional_properties)
        if schema.one_of:
            schema.one_of = [self.mended(one) for one in schema.one_of]
            schema.discriminator = _discriminator(dict(self._tags(schema.one_of)))

    def _named(self, name: str, schema: Schema) -> Node:
        component = replace(schema, **dict.fromkeys(OF_A_FIELD))
        if self._components.setdefault(name, component) != component:
            raise ValueError(f"two schemas of the document are called {name}")
        return _as_said(Reference(COMPONENT + name), _said(schema, OF_A_FIELD))

    def _tags(self, nodes: Any) -> Iterator[tuple[Tag, str]]:
        for node in nodes:
            if isinstance(node, Reference):
                for name, field in (self._component(node).properties or {}).items():
                    if isinstance(field, Schema) and isinstance(field.const, str):
                        yield (name, field.const), node.ref

    def _component(self, reference: Reference) -> Schema:
        return self._components[reference.ref.removeprefix(COMPONENT)]


def is_nullable(node: Node) -> bool:
    return isinstance(node, Schema) and any(_is_null(one) for one in node.one_of or ())


def without_null(node: Node) -> Node:
    """Drop null where something may be missing and cannot be null: a parameter, a body."""
    if isinstance(node, Reference) or not node.one_of:
        return node
    return replace(node, one_of=[one for one in node.one_of if not _is_null(one)])


def _simple(node: Node) -> Node:
    """Constraints go into the alternative that they constrain; a union of one is that one."""
    if isinstance(node, Reference):
        return node
    node = _with_null_apart(node)
    others = [one for one in node.one_of or () if not _is_null(one)]
    if len(others) != 1:
        return node
    only, said = _as_said(others[0], _said(node, OF_VALUES)), _said(node, OF_A_FIELD)
    if len(node.one_of or ()) == 1:
        return _as_said(only, said)
    return Schema(one_of=[only, Schema(type=OpenAPIType.NULL)], **said)


def _with_null_apart(schema: Schema) -> Schema:
    """Litestar puts null among an optional enum's values, where the enum would need two names."""
    if None not in (schema.enum or ()):
        return schema
    values = [value for value in schema.enum or () if value is not None]
    [kind] = {one for one in _types(schema) if one != OpenAPIType.NULL}
    return replace(
        schema,
        type=None,
        enum=None,
        one_of=[Schema(type=kind, enum=values), Schema(type=OpenAPIType.NULL)],
    )


def _said(schema: Schema, keywords: Any) -> dict[str, Any]:
    return {one: value for one in keywords if (value := getattr(schema, one)) is not None}


def _as_said(node: Node, said: dict[str, Any]) -> Node:
    if not said:
        return node
    return Schema(all_of=[node], **said) if isinstance(node, Reference) else replace(node, **said)


def _without_default(node: Node) -> Node:
    return node if isinstance(node, Reference) else replace(node, default=None)


def _make_portable(schema: Schema) -> None:
    r"""JavaScript's, RE2's and Rust's `$` is the end of the text; in Python that is `\Z`."""
    if schema.pattern:
        schema.pattern = schema.pattern.replace(r"\Z", "$")
    for name in NUMBERS:
        number = getattr(schema, name)
        if isinstance(number, float) and number.is_integer():
            setattr(schema, name, int(number))


def _discriminator(tags: dict[Tag, str]) -> Discriminator | None:
    """It tells a generator which field to look at; without it, it would try one after the other."""
    names = {name for name, _ in tags}
    if len(names) != 1 or len(tags) < 2:
        return None
    return Discriminator(names.pop(), {kind: reference for (_, kind), reference in tags.items()})


def _types(schema: Schema) -> list[OpenAPIType]:
    return [schema.type] if isinstance(schema.type, OpenAPIType) else list(schema.type or ())


def _is_null(node: Node) -> bool:
    return isinstance(node, Schema) and node.type == OpenAPIType.NULL
