"""Every setting of the program: one typed list, read from `TALLY_*` variables and a TOML file, checked before use.

A variable of the environment wins over the file, an option of the command line (`overrides`) over both.
"""
# ruff: noqa: RUF009 - the calls make dataclass fields, which is what the rule asks for

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import platformdirs

from tallystick.kernel.credits import parse_credits
from tallystick.kernel.errors import TallystickError

PREFIX: Final = "TALLY_"

_OF_OTHERS: Final = frozenset({"TALLY_TOKEN", "TALLY_BASE_URL"})
"""Variables that belong to the command line client; the server has no use for them and no complaint."""

_TEST_PREFIX: Final = "TALLY_TEST_"


def default_home() -> Path:
    """The user's data folder of this platform, such as `~/.local/share/tallystick`."""
    return Path(platformdirs.user_data_dir("tallystick", appauthor=False))


def _setting(default: Any, doc: str, *, low: int | None = None, high: int | None = None, secret: bool = False) -> Any:
    """A field with its documentation; `low` and `high` bound a number, both inclusive."""
    return field(
        default=default,
        metadata=MappingProxyType({"doc": doc, "low": low, "high": high, "secret": secret}),
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked values. The variable of a field is its name in capitals behind `TALLY_`."""

    home: Path = field(
        default_factory=default_home,
        metadata=MappingProxyType(
            {
                "doc": "Folder of the embedded database, its log, `demo.json` and `tally.toml`.",
                "low": None,
                "high": None,
                "secret": False,
                "default": "the user's data folder",
            }
        ),
    )
    config: Path | None = _setting(None, "TOML file of settings; without it `tally.toml` in `TALLY_HOME`, if there.")
    host: str = _setting("127.0.0.1", "Address that the server listens on.")
    port: int = _setting(8787, "Port that the server listens on; 0 picks a free one.", low=0, high=65_535)
    public_url: str | None = _setting(
        None, "Address at which browsers and clients reach the server; without it `http://HOST:PORT`."
    )
    database_url: str | None = _setting(
        None, "PostgreSQL 15 or newer to use in place of the embedded one, as a libpq URL.", secret=True
    )
    data_database_url: str | None = _setting(
        None, "Where workspaces' rows live when that is not `TALLY_DATABASE_URL`, as a libpq URL.", secret=True
    )
    pg_bindir: Path | None = _setting(
        None, "Folder of the PostgreSQL programs (`postgres`, `initdb`, `pg_dump`) to run in place of the bundled ones."
    )
    pool_size: int = _setting(10, "Database connections of one server process, at most.", low=2, high=500)
    lanes: int = _setting(
        2,
        "Queues of the group committer; a workspace always uses the same one, each holds a connection.",
        low=1,
        high=64,
    )
    worker: bool = _setting(True, "Whether `tally serve` does the background work itself.")
    worker_seconds: int = _setting(5, "Seconds between two looks at what background work is due.", low=1, high=3_600)

    batch_events_max: int = _setting(5_000, "Usage events that one commit takes, at most.", low=1, high=100_000)
    request_events_max: int = _setting(10_000, "Usage events in one request, at most.", low=1, high=1_000_000)
    request_bytes_max: int = _setting(
        16_777_216, "Bytes of one request's body after decompression, at most.", low=1_024, high=1_073_741_824
    )
    event_bytes_max: int = _setting(
        65_536, "Bytes of one usage event's data, at most; a larger one is rejected.", low=1_024, high=16_777_216
    )
    queue_events_max: int = _setting(
        50_000,
        "Usage events that wait for a commit, at most; beyond it the server answers 503 `busy`.",
        low=1,
        high=10_000_000,
    )
    event_age_max_days: int = _setting(400, "Days: an older event is rejected `timeTooOld`.", low=1, high=36_500)
    event_ahead_max_seconds: int = _setting(
        300, "Seconds: an event further in the future is rejected `timeInFuture`.", low=0, high=86_400
    )
    hourly_rollup_days: int = _setting(35, "Days that hourly totals are kept; daily ones stay.", low=2, high=3_650)
    metrics_days_max: int = _setting(366, "Days in the range of one usage query, at most.", low=1, high=3_660)
    resources_max: int = _setting(
        10_000,
        "Resources of one kind in a workspace that events may create; then `tooManyResources`.",
        low=1,
        high=10_000_000,
    )

    credits_per_usd: int = _setting(
        100, "Credits in one US dollar of list value, used when prices in dollars are imported.", low=1, high=1_000_000
    )
    markup: Decimal = _setting(
        Decimal("1.0"),
        "Factor on imported prices, a decimal; applied when the price version is made.",
        low=0,
        high=1_000,
    )
    free_credits: Decimal = _setting(
        Decimal(75), "Credits granted to a new workspace, a decimal with at most nine places.", low=0, high=100_000_000
    )
    free_tool_runs: Decimal = _setting(
        Decimal(10_000), "Tool runs granted to a new workspace.", low=0, high=100_000_000
    )
    free_days: int = _setting(90, "Days until those grants expire.", low=1, high=36_500)

    hold_seconds: int = _setting(
        900, "Seconds that a hold lives when its request names no deadline (rule M20).", low=1, high=86_400
    )
    hold_seconds_max: int = _setting(
        86_400, "Seconds that a hold may live, at most; extending counts from now.", low=1, high=31_536_000
    )
    hold_wait_seconds_max: int = _setting(
        30, "Seconds that a hold may wait for open holds to settle, at most.", low=0, high=600
    )
    budgets_max: int = _setting(1_000, "Budgets of one workspace, at most.", low=1, high=100_000)
    deploy_threshold: Decimal = _setting(
        Decimal(5), "Credits below which new deployments are refused (rule M16).", low=0, high=100_000_000
    )
    negative_limit: Decimal = _setting(
        Decimal(-10), "Credits at which deployments stop (rule M16); below zero.", low=-100_000_000, high=0
    )
    fine_tune_minimum: Decimal = _setting(
        Decimal(25), "Credits of which more must be available for a fine-tuning job.", low=0, high=100_000_000
    )
    receipt_charges_max: int = _setting(10_000, "Charges that one receipt shows, at most.", low=1, high=1_000_000)
    estimate_days: int = _setting(30, "Days back from which estimates take past runs.", low=1, high=366)
    estimate_runs_max: int = _setting(200, "Past runs that one estimate takes, the newest.", low=1, high=10_000)
    runner: bool = _setting(True, "Whether `tally serve` and `tally demo` execute workflows themselves.")
    runner_concurrency: int = _setting(8, "Runs that one runner executes at once, at most.", low=1, high=1_000)
    runner_poll_milliseconds: int = _setting(500, "Pause of an idle runner between two looks.", low=10, high=60_000)
    runner_lease_seconds: int = _setting(30, "Seconds after which a lost runner's run is another's.", low=3, high=3_600)
    runner_call_seconds: int = _setting(120, "Seconds that one call of a node may take, at most.", low=1, high=3_600)
    runner_hold_credits: Decimal = _setting(
        Decimal(1), "Credits set aside for a language model's call while its cost is not known.", low=0, high=10_000
    )
    runner_allowed_hosts: str | None = _setting(
        None, "Hosts, `host:port`, addresses and networks, by commas, that nodes may call though they are private."
    )
    model_base_url: str | None = _setting(
        None, "OpenAI-compatible endpoint of the language models of workflows, such as `https://api.openai.com/v1`."
    )
    model_api_key: str | None = _setting(None, "Its key; it is sent to that endpoint alone.", secret=True)
    simulation_charges_max: int = _setting(
        50_000, "Charges that one simulation takes, at most.", low=1, high=10_000_000
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "Least level that is logged.")
    log_format: Literal["text", "json"] = _setting("text", "How a line of the log is written.")


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
    return LoadedSettings(Settings(**values), MappingProxyType(origins), _warnings(environ, fields))


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


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
    optional, kind = _kind(name)
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
    {"free_credits", "free_tool_runs", "deploy_threshold", "negative_limit", "fine_tune_minimum"}
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
    if name in ("public_url", "model_base_url"):
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


def _kind(name: str) -> tuple[bool, Any]:
    """Whether a field may be None, and its type otherwise."""
    hint = _HINTS[name]
    members = get_args(hint)
    if type(None) in members:
        return True, next(member for member in members if member is not type(None))
    return False, hint


def _kind_text(name: str) -> str:
    _, kind = _kind(name)
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


if __name__ == "__main__":
    print(render_reference(), end="")  # noqa: T201 - the page is the output
