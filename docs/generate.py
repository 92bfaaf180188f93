"""Writes the pages of docs/reference that are made from the code: settings, commands, routes.

`make docs` runs it. With `--check` it writes nothing, names the pages that are out of date, and exits with 1.
"""

import enum
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tallystick.cli.root import root_command
from tallystick.settings import render_reference
from tallystick.surfaces.api.openapi import describe
from tallystick.surfaces.api.problems import BARE
from tallystick.surfaces.api.routes import endpoints

REFERENCE = Path(__file__).parent / "reference"

_CLI = """# Commands

Generated from the commands themselves by `make docs`; `tally … --help` says the same.

Answers are JSON on stdout, and so are errors; `--format table` draws an answer for people. Messages, progress and the
log go to stderr. Exit status: 0 done, 1 failed or refused, 2 wrong usage, 3 not enough credits, 4 server unreachable.

Commands that ask a server take a token and an address, each from the first place that has one: `--token` and
`--base-url`; `TALLY_TOKEN` and `TALLY_BASE_URL`; what `tally login` kept; `demo.json` in the data folder. Most have all
of these options:

"""

_HTTP = """# Routes

Generated from the OpenAPI description by `make docs`; a running server shows it whole at `/openapi.json`. The shapes of
bodies stand in [shapes.md](shapes.md), the codes of errors in [errors.md](errors.md).

JSON is camelCase. Times are ISO 8601 in UTC. A decimal is a JSON number with at most nine places, written digit by
digit; a request may give a number or a string. Every route but those of the first heading takes `Authorization: Bearer
…`; an operator names the workspace in the header `selected-workspace-uuid`.

Any route may answer 503 `databaseUnavailable`; any with a token 401 `unauthorized`, 403 `forbidden`, 400
`invalidHeader` and 404 `workspaceNotFound`. What follows leaves these out.
"""

_SHAPES = """# Shapes of bodies

Generated from the OpenAPI description by `make docs`. The routes stand in [http.md](http.md). A field with a `?` may be
left out.
"""

_EVERYWHERE = {"databaseUnavailable", "unauthorized", "forbidden", "invalidHeader", "workspaceNotFound"}


def pages() -> dict[str, str]:
    """Each page's text by its file's name."""
    description = describe(endpoints())
    return {
        "settings.md": render_reference(),
        "cli.md": cli_page(),
        "http.md": http_page(description),
        "shapes.md": shapes_page(description),
    }


def cli_page() -> str:
    """What commands share, then each one: what it does, its options, an example."""
    commands = list(_commands(root_command(), "tally"))
    shared = {name: _about_option(param) for _, command in commands for name, param in _asking(command).items()}
    parts = [_CLI, _table(("option", "meaning"), [(f"`{name}`", about) for name, about in shared.items()])]
    return "".join([*parts, *(_command(path, command) for path, command in commands)])


def http_page(description: dict[str, Any]) -> str:
    """Every route under the heading of its noun."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    return _HTTP + "".join(f"\n## {tag}\n{''.join(operations)}" for tag, operations in by_tag.items())


def shapes_page(description: dict[str, Any]) -> str:
    """Every shape that a body has."""
    schemas = description["components"]["schemas"]
    return _SHAPES + "".join(_shape(name, schemas[name]) for name in sorted(schemas))


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name in inner:
        yield from _commands(inner[name], f"{path} {name}")


def _command(path: str, command: Any) -> str:
    about, _, examples = (command.help or "").partition("\b\n")
    shown = [f"\n## {path}\n\n{_flowing(about)}\n"]
    asking = _asking(command)
    own = [param for param in command.params if param.name != "help" and param not in asking.values()]
    if own:
        shown.append("\n" + _table(("option", "meaning"), [(_option(param), _about_option(param)) for param in own]))
    if asking:
        shown.append("\nAsks the server: takes the shared options.\n")
    lines = [line.strip() for line in examples.splitlines()[1:] if line.strip()]
    if lines:
        shown.append("\n```sh\n" + "\n".join(lines) + "\n```\n")
    return "".join(shown)


def _asking(command: Any) -> dict[str, Any]:
    """The options of a command that asks the server with whichever token, by what is shown; empty for others."""
    found = {param.name: param for param in command.params}
    names = ("token", "base_url", "workspace_uuid", "format")
    if any(name not in found or found[name].required for name in names):
        return {}
    return {_option(found[name]).strip("`"): found[name] for name in names}


def _option(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.name.upper()}`"
    names = "/".join(param.opts)
    return f"`{names}`" if param.is_flag else f"`{names} {param.metavar or _kind(param)}`"


def _kind(param: Any) -> str:
    annotation = param.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "|".join(str(choice.value) for choice in annotation)
    return "N" if annotation is int else "PATH" if annotation is Path else "TEXT"


def _about_option(param: Any) -> str:
    about = param.help or ""
    if param.required and param.param_type_name == "option":
        return f"{about} Required."
    return f"{about} May be repeated." if param.multiple and "once for each" not in about else about


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    who = operation.get("x-permissions")
    who_may = (
        "no token" if not operation["security"] else "any token" if not who else " or ".join(f"`{w}`" for w in who)
    )
    about = operation["summary"] + (f" {_flowing(operation['description'])}" if "description" in operation else "")
    lines = [f"\n### {method.upper()} {path}\n\n{_flowing(about)}\n\n- who: {who_may}"]
    asked = [p for p in operation["parameters"] if p["in"] in ("path", "query")]
    for place, label in (("path", "path"), ("query", "query")):
        named = [_parameter(p) for p in asked if p["in"] == place]
        if named:
            lines.append(f"- {label}: {', '.join(named)}")
    if any(p["name"] == "Idempotency-Key" for p in operation["parameters"]):
        lines.append("- honours `Idempotency-Key`")
    if "requestBody" in operation:
        lines += [f"- body: {line}" for line in _bodies(operation["requestBody"])]
    for status, answer in operation["responses"].items():
        told = _answer(status, answer)
        if told:
            lines.append(told)
    codes = [code for answer in operation["responses"].values() for code in _codes(answer)]
    kept = [code for code in dict.fromkeys(codes) if code not in _EVERYWHERE]
    if kept:
        lines.append(f"- refuses: {', '.join(f'`{code}`' for code in kept)}")
    return "\n".join(lines) + "\n"


def _parameter(parameter: dict[str, Any]) -> str:
    shown = f"`{parameter['name']}`" + ("" if parameter.get("required") else "?")
    kind = _type(parameter["schema"])
    return shown if kind == "text" else f"{shown} {kind}"


def _bodies(body: dict[str, Any]) -> Iterator[str]:
    by_shape: dict[str, list[str]] = {}
    for media, content in body["content"].items():
        by_shape.setdefault(_type(content["schema"]), []).append(media)
    optional = "" if body["required"] else ", may be left out"
    for shape, media in by_shape.items():
        lines = "lines of JSON" if shape == "text" else shape
        yield f"{lines} as {' or '.join(f'`{m}`' for m in media)}{optional}"


def _answer(status: str, answer: dict[str, Any]) -> str:
    """The line of an answer of the route's own; errors have one line together."""
    if answer["description"] not in ("Done.", "Not ready."):
        own = [shape for shape in _alternatives(answer) if not _type(shape).startswith(("[Problem]", "[BareProblem]"))]
        return f"- answer {status}: {_type(own[0])}" if own else ""
    content = answer.get("content")
    if not content:
        return f"- answer {status}: nothing"
    media, shape = next(iter(content.items()))
    kind = "" if media == "application/json" else f" as `{media}`"
    return f"- answer {status}: {_type(shape['schema'])}{kind}"


def _alternatives(answer: dict[str, Any]) -> list[dict[str, Any]]:
    schema = next(iter(answer["content"].values()))["schema"]
    return list(schema.get("anyOf", [schema]))


def _codes(answer: dict[str, Any]) -> list[str]:
    if answer["description"] in ("Done.", "Not ready."):
        return []
    return [code for code in answer["description"].split(", ") if code not in BARE]


def _shape(name: str, schema: dict[str, Any]) -> str:
    shown = [f"\n## {name}\n"]
    if schema.get("description"):
        shown.append(f"\n{_flowing(schema['description'])}\n")
    required = schema.get("required", [])
    rows = [
        (f"`{field}`" + ("" if field in required else "?"), _type(about))
        for field, about in schema.get("properties", {}).items()
    ]
    if rows:
        shown.append("\n" + _table(("field", "kind"), rows))
    return "".join(shown)


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](shapes.md#{name.lower()})"
    if "enum" in schema:
        return " | ".join(f"`{value}`" for value in schema["enum"])
    if str(schema.get("description", "")).startswith("A decimal"):
        return "decimal"
    if "anyOf" in schema:
        kinds = [_type(one) for one in schema["anyOf"]]
        return " | ".join(dict.fromkeys(kinds))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "string":
        return {"uuid": "UUID", "date-time": "instant"}.get(schema.get("format", ""), "text")
    return {"integer": "whole number", "number": "number", "boolean": "true or false", "null": "null",
            "object": "object"}.get(str(kind), "any JSON")  # fmt: skip


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(_cell(value) for value in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _flowing(text: str) -> str:
    """Paragraphs as they were meant, without the line breaks of a docstring."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n") if part.strip())


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are out of date."""
    stale = [name for name, text in pages().items() if _read(REFERENCE / name) != text]
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"docs/reference/{name} is out of date: run `make docs`\n")
        return 1 if stale else 0
    for name in stale:
        (REFERENCE / name).write_text(pages()[name], encoding="utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
