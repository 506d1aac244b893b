"""JSON that the service passes on as text, unread, is documented as what is written in it."""

from __future__ import annotations

from typing import Any

from litestar._openapi.schema_generation import SchemaCreator
from litestar.openapi.spec import Reference, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from msgspec import Meta, Raw

CONTENT = "content"  # in a Meta's `extra`


def written_as(annotation: Any) -> Meta:
    """Say of a Raw what its text holds: that is what the document shows."""
    return Meta(extra={CONTENT: annotation})


class TextsPlugin(OpenAPISchemaPlugin):
    """Documents each Raw by its `written_as`. Its objects may have more than they name."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is Raw

    def to_openapi_schema(  # type: ignore[override]  # Litestar takes references, too
        self, field_definition: FieldDefinition, schema_creator: SchemaCreator
    ) -> Schema | Reference:
        [content] = (
            one.extra[CONTENT]
            for one in field_definition.metadata
            if isinstance(one, Meta) and one.extra and CONTENT in one.extra
        )
        node = schema_creator.for_field_definition(FieldDefinition.from_annotation(content))
        _open(node, schema_creator)
        return node


def _open(node: Schema | Reference | None, schema_creator: SchemaCreator) -> None:
    if isinstance(node, Reference):
        node = schema_creator.schema_registry.from_reference(node).schema
    if node is None:
        return
    if node.properties:
        node.additional_properties = True
    _open(node.items, schema_creator)
