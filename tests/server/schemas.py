"""Holding answers against the OpenAPI description."""

import json
from typing import Any

from openapi_schema_validator import OAS31Validator

from chronoprof_sidecar.server.openapi import read_description

_DESCRIPTION: dict[str, Any] = json.loads(read_description())


def check_schema(name: str, answer: object) -> None:
    """Fail unless `answer` fits the schema `name` and has no field that the schema does not know."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": _DESCRIPTION["components"]}
    OAS31Validator(_closed(schema)).validate(answer)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed
