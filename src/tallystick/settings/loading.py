"""Settings are read from `TALLY_*` variables and a TOML file, and checked before use.

A variable of the environment wins over the file, an option of the command line (`overrides`) over both.
"""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from tallystick.kernel.credits import parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.settings.fields import Settings, default_home

PREFIX: Final = "TALLY_"

_OF_OTHERS: Final = frozenset({"TALLY_TOKEN", "TALLY_BASE_URL"})
"""Variables that belong to the command line client; the server has no use for them and no complaint."""

_TEST_PREFIX: Final = "TALLY_TEST_"


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """`origins` says for each field where its value came from: `default`, `file`, `environment` or `option`."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def load(environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> LoadedSettings:
    """Settings from `environ`, the TOML file that it or the home names, and `overrides` (by field; None is absent).

    Raises `invalidSetting` with `setting` and `value` in its details. An unknown key in the file is such an error,
    because somebody wrote it on purpose; an unknown variable is a warning, because it may be another program's.
    """
    fields = {item.name: item for item in dataclasses.fields(Settings)}
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    from_environment = {name: environ[variable(name)] for name in fields if environ.get(variable(name), "") != ""}
    from_file = _read_file(given, from_environment)
    unknown = [key for key in from_file if key not in fields]
    if unknown:
        raise _invalid(variable(unknown[0]), unknown[0], "is not a setting; `tally settings` lists them")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in fields:
        origins[name] = "default"
        for origin, source in (("option", given), ("environment", from_environment), ("file", from_file)):
            if name in source:
                values[name] = _read(name, source[name])
                origins[name] = origin
                break
    settings = Settings(**values)
    if settings.low_limit > settings.deploy_threshold:
        raise _invalid(variable("low_limit"), settings.low_limit, "must not be above TALLY_DEPLOY_THRESHOLD")
    return LoadedSettings(settings, MappingProxyType(origins), _warnings(environ, fields))


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def _read_file(given: Mapping[str, object], from_environment: Mapping[str, str]) -> dict[str, Any]:
    named = given.get("config", from_environment.get("config"))
    home = given.get("home", from_environment.get("home"))
    path = Path(str(named)) if named else (Path(str(home)) if home else default_home()) / "tally.toml"
    try:
        content = path.expanduser().read_text(encoding="utf-8")
    except OSError as error:
        if not named and isinstance(error, FileNotFoundError | NotADirectoryError):
            return {}
        raise _invalid(variable("config"), str(path), f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _invalid(variable("config"), str(path), "is not UTF-8 text") from error
    try:
        return tomllib.loads(content, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(variable("config"), str(path), f"is not valid TOML: {error}") from error


def _read(name: str, raw: object) -> Any:
    """The value of a field from text or a TOML value, checked."""
    optional, kind = kind_of(name)
    if raw == "" and optional:
        return None
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if str(raw).lower() not in choices:
            raise _invalid(variable(name), raw, f"must be one of {', '.join(choices)}")
        return str(raw).lower()
    value = _READERS[kind](name, raw)
    bounds = next(item.metadata for item in dataclasses.fields(Settings) if item.name == name)
    low, high = bounds["low"], bounds["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        raise _invalid(variable(name), raw, f"must lie between {low} and {high}")
    return value


_AMOUNTS: Final = frozenset(
    {"free_credits", "free_tool_runs", "deploy_threshold", "low_limit", "negative_limit", "fine_tune_minimum"}
)


def _read_bool(name: str, raw: object) -> bool:
    known = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    value = known.get(str(raw).strip().lower())
    if value is None:
        raise _invalid(variable(name), raw, "must be true or false")
    return value


def _read_int(name: str, raw: object) -> int:
    text = str(raw).strip().replace("_", "")
    if isinstance(raw, bool) or not (text.isascii() and text.lstrip("-").isdigit()):
        raise _invalid(variable(name), raw, "must be a whole number")
    return int(text)


def _read_decimal(name: str, raw: object) -> Decimal:
    try:
        value = Decimal(str(raw).strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if isinstance(raw, bool) or not value.is_finite():
        raise _invalid(variable(name), raw, "must be a decimal number")
    if name in _AMOUNTS:
        try:
            parse_credits(value, signed=True)
        except TallystickError as error:
            raise _invalid(variable(name), raw, "must be an amount with at most nine decimals") from error
    if name == "negative_limit" and value >= 0:
        raise _invalid(variable(name), raw, "must lie below zero")
    return value


def _read_path(name: str, raw: object) -> Path:
    text = str(raw)
    if not text.strip() or "\0" in text:
        raise _invalid(variable(name), raw, "must be a path")
    # Absolute from the start: a later change of folder must not move the data.
    return Path(text).expanduser().absolute()


def _read_str(name: str, raw: object) -> str:
    text = str(raw).strip()
    if name in ("public_url", "model_base_url", "support_url"):
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise _invalid(variable(name), raw, "must begin with http:// or https:// and name a host")
        return text.rstrip("/")
    return text


_READERS: Final[Mapping[Any, Callable[[str, object], Any]]] = {
    bool: _read_bool,
    int: _read_int,
    Decimal: _read_decimal,
    Path: _read_path,
    str: _read_str,
}

_HINTS: Final = get_type_hints(Settings)


def kind_of(name: str) -> tuple[bool, Any]:
    """Whether a field may be None, and its type otherwise."""
    hint = _HINTS[name]
    members = get_args(hint)
    if type(None) in members:
        return True, next(member for member in members if member is not type(None))
    return False, hint


def _warnings(environ: Mapping[str, str], fields: Mapping[str, object]) -> tuple[str, ...]:
    known = {variable(name) for name in fields} | _OF_OTHERS
    strange = sorted(
        key for key in environ if key.startswith(PREFIX) and key not in known and not key.startswith(_TEST_PREFIX)
    )
    return tuple(f"{key} is not a setting of this version; `tally settings` lists them." for key in strange)


def _invalid(setting: str, value: object, why: str) -> TallystickError:
    secret = any(item.metadata["secret"] and variable(item.name) == setting for item in dataclasses.fields(Settings))
    shown = "(hidden)" if secret else str(value)[:200]
    return TallystickError("invalidSetting", f"{setting} {why}.", setting=setting, value=shown)
