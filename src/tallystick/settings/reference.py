"""What `tally settings` prints, and the page of the documentation, both made from the list of settings."""

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from tallystick.settings.fields import Settings
from tallystick.settings.loading import LoadedSettings, kind_of, variable


def describe(loaded: LoadedSettings) -> list[dict[str, str | None]]:
    """What `tally settings` prints: each setting with its value (a secret one hidden), its origin and its meaning."""
    rows: list[dict[str, str | None]] = []
    for item in dataclasses.fields(Settings):
        value = getattr(loaded.settings, item.name)
        hidden = item.metadata["secret"] and value is not None
        rows.append(
            {
                "name": variable(item.name),
                "value": "(set)" if hidden else _text(value),
                "default": _default_text(item),
                "origin": loaded.origins[item.name],
                "description": item.metadata["doc"],
            }
        )
    return rows


def render_reference() -> str:
    """The page `docs/reference/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Generated from `tallystick.settings`; `python -m tallystick.settings` prints this page.",
        "",
        "A setting is an environment variable, or a key in `tally.toml` (the name without `TALLY_`, in small letters);",
        "the variable wins. Every value is checked at start; a wrong one stops the program with `invalidSetting`.",
        "",
        "| setting | kind | default | meaning |",
        "|---|---|---|---|",
    ]
    for item in dataclasses.fields(Settings):
        default = _default_text(item)
        shown = "none" if default is None else default if "default" in item.metadata else f"`{default}`"
        doc = item.metadata["doc"] + (" Secret: never shown or logged." if item.metadata["secret"] else "")
        lines.append(f"| `{variable(item.name)}` | {_kind_text(item.name)} | {shown} | {doc} |")
    return "\n".join(lines) + "\n"


def _kind_text(name: str) -> str:
    _, kind = kind_of(name)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    return {bool: "true or false", int: "whole number", Decimal: "decimal", Path: "path", str: "text"}[kind]


def _default_text(item: "dataclasses.Field[Any]") -> str | None:
    if "default" in item.metadata:
        return str(item.metadata["default"])
    return _text(item.default)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
