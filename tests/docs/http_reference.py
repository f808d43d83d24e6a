"""docs/http.md is made from the OpenAPI description: `make reference` writes it, and a test says when that is due.

The description stays the one source of what the API is; this owns what it looks like on a page.
"""

import json
from collections.abc import Iterator
from typing import Any

from chronoprof_sidecar.server.openapi import read_description
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "http.md"
_HEAD = """# HTTP reference

Made from `GET /openapi.json` by `make reference`: change `chronoprof_sidecar/server/openapi.json`, not this page.
[The API by example](api.md) shows what the routes are good for, [the wire form](wire.md) how to send timings.
"""
Json = dict[str, Any]


def render_reference() -> str:
    """Return the page."""
    description: Json = json.loads(read_description())
    return "\n".join(_render_lines(description)) + "\n"


def _render_lines(description: Json) -> Iterator[str]:
    yield _HEAD
    yield description["info"]["description"]
    components = description["components"]
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            yield f"\n## {method.upper()} {path}\n"
            yield from _render_operation(operation, components["responses"])
    yield "\n# Objects"
    for name, schema in components["schemas"].items():
        yield f"\n## {name}\n"
        yield from _render_schema(schema)


def _render_operation(operation: Json, shared: Json) -> Iterator[str]:
    yield f"{operation['summary']}. {operation['description']}"
    if operation.get("parameters"):
        yield "\n| parameter | type | meaning |\n| --- | --- | --- |"
        for parameter in operation["parameters"]:
            place = "" if parameter["in"] == "query" else f" ({parameter['in']})"
            example = f" For example `{parameter['example']}`." if "example" in parameter else ""
            name, type_ = f"`{parameter['name']}`{place}", _type_of(parameter["schema"])
            yield _row(name, type_, parameter["description"] + example)
    if "requestBody" in operation:
        yield f"\nThe body is {_content_of(operation['requestBody'])}."
    yield "\n| status | holds | meaning |\n| --- | --- | --- |"
    for status, answer in sorted(operation["responses"].items()):
        resolved = shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        yield _row(status, _content_of(resolved), resolved["description"])


def _content_of(message: Json) -> str:
    content = message.get("content", {})
    return " or ".join(f"{_type_of(each.get('schema', {}))} (`{kind}`)" for kind, each in content.items())


def _render_schema(schema: Json) -> Iterator[str]:
    if "description" in schema:
        yield schema["description"] + "\n"
    yield "| field | type | meaning |\n| --- | --- | --- |"
    for name, field in schema.get("properties", {}).items():
        optional = "" if name in schema.get("required", []) else " (optional)"
        yield _row(f"`{name}`{optional}", _type_of(field), field.get("description", ""))


def _type_of(schema: Json) -> str:
    """Return what a value is, in a few words; objects by their names lead to their sections."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in schema:
        return " or ".join(map(_type_of, schema["oneOf"]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        words = ", ".join(f"`{word}`" for word in schema["enum"])
        return words + _default_of(schema)
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type_of(schema['additionalProperties'])}"
    if "items" in schema:
        return f"list of {_type_of(schema['items'])}"
    type_ = schema.get("type", "any")
    return (" or ".join(type_) if isinstance(type_, list) else str(type_)) + _default_of(schema)


def _default_of(schema: Json) -> str:
    return f"; `{json.dumps(schema['default'])}` by default" if "default" in schema else ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    REFERENCE.write_text(render_reference(), encoding="utf-8")
