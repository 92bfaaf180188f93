"""The OpenAPI 3.1 description, made from the endpoints themselves, so that it cannot say anything else."""

import inspect
from collections.abc import Iterable
from typing import Any, Final, get_args
from uuid import UUID

import msgspec

from tallystick import __version__
from tallystick.surfaces.api.auth import WORKSPACE_HEADER
from tallystick.surfaces.api.endpoints import JSON, Endpoint
from tallystick.surfaces.api.problems import BARE, status_of
from tallystick.wire.amounts import schema_of
from tallystick.wire.identity import BareProblem, Problem

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_OF_BODIES: Final = ("malformedJson", "invalidRequest", "invalidText", "bodyTooLarge", "unsupportedMediaType")


def describe(endpoints: Iterable[Endpoint]) -> Schema:
    """The whole description, as JSON values."""
    every = list(endpoints)
    shapes = [shape for endpoint in every for shape in _shapes(endpoint)]
    _, components = msgspec.json.schema_components(
        [*dict.fromkeys(shapes), Problem, BareProblem], schema_hook=schema_of, ref_template=_REF
    )
    paths: dict[str, Schema] = {}
    for endpoint in every:
        path = endpoint.path.replace(":path}", "}")
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick",
            "version": __version__,
            "description": "Metering, credits and billing for AI-agent platforms.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def codes_of(endpoint: Endpoint) -> list[str]:
    """Every code that the endpoint may answer with, but those of an unforeseen error."""
    codes = [*endpoint.errors, "databaseUnavailable"]
    if endpoint.guard.who != "anyone":
        codes += ["unauthorized", "forbidden", "invalidHeader", "workspaceNotFound"]
    if endpoint.guard.in_workspace:
        codes.append("workspaceRequired")
    if endpoint.body is not None:
        codes += _OF_BODIES if endpoint.body is not bytes else ("bodyTooLarge", "unsupportedMediaType")
    if endpoint.query is not None:
        codes += ["invalidRequest", "invalidText"]
    codes += ["invalidUuid" if kind is UUID else "invalidText" for kind in endpoint.parts.values()]
    if endpoint.idempotent:
        codes += ["idempotencyConflict", "invalidIdempotencyKey"]
    return sorted(set(codes))


def _shapes(endpoint: Endpoint) -> list[Any]:
    shapes: list[Any] = [one for shape in endpoint.answers.values() for one in _choices(shape) if _is_described(one)]
    if endpoint.body is not None:
        shapes += [shape for shape in endpoint.consumes.values() if shape not in (bytes, str)]
    if endpoint.query is not None:
        shapes += [field.type for field in msgspec.structs.fields(endpoint.query)]
    return shapes


def _choices(shape: Any) -> tuple[Any, ...]:
    """The shapes that an answer of one status may have; nearly always one."""
    return shape if isinstance(shape, tuple) else (shape,)


def _is_described(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, msgspec.Struct)


def _operation(endpoint: Endpoint) -> Schema:
    about, _, more = inspect.cleandoc(endpoint.about).partition("\n\n")
    operation: Schema = {
        "operationId": endpoint.operation,
        "tags": [endpoint.tag],
        "summary": " ".join(about.split()),
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint),
    }
    if more.strip():
        operation["description"] = more.strip()
    operation["security"] = [] if endpoint.guard.who == "anyone" else [{"bearer": []}]
    if endpoint.guard.any_of:
        operation["x-permissions"] = list(endpoint.guard.any_of)
    if endpoint.guard.who == "operator":
        operation["x-permissions"] = ["operator"]
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": not endpoint.optional_body,
            "content": {kind: {"schema": _schema(shape)} for kind, shape in endpoint.consumes.items()},
        }
    return operation


def _schema(shape: Any) -> Schema:
    if shape is bytes:
        return {}
    if isinstance(shape, tuple):
        return {"anyOf": [_schema(one) for one in shape]}
    if shape is str:
        return {"type": "string"}
    if shape is dict:
        return {"type": "object"}
    (schema,), _ = msgspec.json.schema_components([shape], schema_hook=schema_of, ref_template=_REF)
    return schema


def _parameters(endpoint: Endpoint) -> list[Schema]:
    found: list[Schema] = []
    for name, kind in endpoint.parts.items():
        schema: Schema = {"type": "string", "format": "uuid"} if kind is UUID else {"type": "string", "minLength": 1}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if endpoint.query is not None:
        found += [_query_parameter(field) for field in msgspec.structs.fields(endpoint.query)]
    if endpoint.guard.who != "anyone":
        about = "The workspace meant. An operator may name any; a workspace's token only its own."
        schema = {"type": "string", "format": "uuid"}
        found.append({"name": WORKSPACE_HEADER, "in": "header", "description": about, "schema": schema})
    if endpoint.idempotent:
        about = "The same key and body again give the same answer; another body is 409 idempotencyConflict."
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        found.append({"name": "Idempotency-Key", "in": "header", "description": about, "schema": schema})
    return found


def _query_parameter(field: msgspec.structs.FieldInfo) -> Schema:
    """A field of a query struct; None as a default means that it may be left out, and is no value to send."""
    kinds = [kind for kind in get_args(field.type) if kind is not type(None)]
    shape = kinds[0] if type(None) in get_args(field.type) and len(kinds) == 1 else field.type
    schema = _schema(shape)
    name = f"{field.encode_name}[]" if schema.get("type") == "array" else field.encode_name
    required = field.required
    parameter: Schema = {"name": name, "in": "query", "required": required, "schema": schema}
    if not required and field.default not in (None, msgspec.NODEFAULT, msgspec.UNSET):
        parameter["schema"] = {**schema, "default": field.default}
    return parameter


def _responses(endpoint: Endpoint) -> Schema:
    responses: Schema = {}
    for status, shape in endpoint.answers.items():
        responses[str(status)] = {"description": "Done." if status < 400 else "Not ready."}
        if status != 204:
            responses[str(status)]["content"] = {endpoint.produces: {"schema": _schema(shape)}}
    by_status: dict[int, list[str]] = {}
    for code in codes_of(endpoint):
        by_status.setdefault(status_of(code), []).append(code)
    for status, codes in sorted(by_status.items()):
        bare = [code for code in codes if code in BARE]
        shapes = [{"$ref": _REF.format(name="BareProblem")}] if bare else []
        if len(codes) > len(bare):
            shapes.append({"$ref": _REF.format(name="Problem")})
        schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
        content = {JSON: {"schema": schema}}
        if str(status) in responses:  # an answer of the endpoint's own has this status, too
            own = responses[str(status)]["content"][endpoint.produces]["schema"]
            # A page is a page; what is refused before it is asked for is said as everywhere.
            schema = {"anyOf": [own, *shapes]} if endpoint.produces == JSON else own
            content = content | {endpoint.produces: {"schema": schema}}
        responses[str(status)] = {"description": ", ".join(codes), "content": content}
    return responses
