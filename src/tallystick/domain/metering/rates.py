"""The `rates` of a price version: how a price is written down, checked, and compiled into integers for rating.

Every amount is a decimal string in credits with at most nine decimals, so that it is exact to the nano-credit and can
be read by a person; the scale it stands for is named beside it. A number is taken too; what is stored is the canonical
string. One form per model:

- fixed       `{"amount": "5"}`: per event, whatever its quantity
- unit        `{"amount": "0.01", "per": 1}`: per `per` units, in proportion
- package     `{"amount": "1", "per": 1000}`: per package of `per` units, begun ones whole
- graduated   `{"tiers": [{"upTo": 1000, "amount": "0.01", "per": 1, "flat": "0"}, {"upTo": null, "amount": "0.005"}]}`:
              each unit at the price of the tier it falls into; `flat` is owed once its tier is begun
- volume      the same form: all units at the price of the tier that the total falls into, and that tier's `flat`
- percentage  `{"percent": "120", "creditsPerUsd": "100"}`: of the provider's cost
- tokens      `{"perMillion": {"inputTokens": "250"}, "perThousand": {"searches": "1000"}}` by counter. `above` holds
              whole tables for calls whose input exceeds a threshold, `schedule` whole prices for hours of the UTC day
              (the first window that holds the time wins), `cost` says how the public USD price became credits.

Errors are `invalidPrice` with the field's path and the value. Limits: an amount is at most 100,000,000 credits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import lcm
from typing import Any, Final, NoReturn

from tallystick.domain.metering.counters import REPORTED
from tallystick.kernel.credits import NANO, format_credits, parse_credits
from tallystick.kernel.errors import TallystickError

MODELS: Final = ("fixed", "unit", "package", "graduated", "volume", "percentage", "tokens")
TIERED: Final = ("package", "graduated", "volume")
"""Models that run over one counter per workspace, price and billing period (rule M5)."""

MILLION: Final = 1_000_000
MAX_PER: Final = 10**12
_MAX_ROWS: Final = 100
_MAX_FACTOR: Final = 10**6
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")

PER_MILLION: Final = REPORTED[:9]
PER_THOUSAND: Final = REPORTED[9:]

FALLBACK: Final = {
    "cachedInputTokens": "inputTokens",
    "cacheWriteTokens": "inputTokens",
    "cacheWrite1hTokens": "cacheWriteTokens",
    "audioInputTokens": "inputTokens",
    "imageInputTokens": "inputTokens",
    "reasoningTokens": "outputTokens",
    "audioOutputTokens": "outputTokens",
}
"""A counter without a price of its own has the price of the whole it is a part of."""


@dataclass(frozen=True, slots=True)
class Fixed:
    amount: int


@dataclass(frozen=True, slots=True)
class Unit:
    amount: int
    per: int


@dataclass(frozen=True, slots=True)
class Package:
    amount: int
    per: int


@dataclass(frozen=True, slots=True)
class Tier:
    """`amount` nano-credits per unit scale of the tiers, for units up to and with `up_to` (None: all further ones)."""

    up_to: int | None
    amount: int
    flat: int


@dataclass(frozen=True, slots=True)
class Graduated:
    tiers: tuple[Tier, ...]
    per: int


@dataclass(frozen=True, slots=True)
class Volume:
    tiers: tuple[Tier, ...]
    per: int


@dataclass(frozen=True, slots=True)
class Percentage:
    """Nano-credits per USD of cost, as a fraction."""

    numerator: int
    denominator: int


Bands = tuple[tuple[int, tuple[int, ...]], ...]
"""(threshold, nano-credits per million of each counter), highest threshold first; the last threshold is -1."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """`windows` are (from, until, bands) in seconds of the UTC day. Cost in USD = credits × `cost` as a fraction."""

    bands: Bands
    windows: tuple[tuple[int, int, Bands], ...]
    cost: tuple[int, int] | None


Rates = Fixed | Unit | Package | Graduated | Volume | Percentage | Tokens


def canonical_rates(model: str, rates: Any, *, credits_per_usd: Decimal = Decimal(100)) -> dict[str, Any]:
    """The canonical form of `rates` for storing; `credits_per_usd` fills a percentage that names none (rule M1).

    Raises `invalidPrice`.
    """
    if model not in MODELS:
        _refuse("model", model, f"one of {', '.join(MODELS)}")
    table = _object("rates", rates, _FIELDS[model])
    if model == "tokens":
        canonical = _tokens(table)
    elif model == "percentage":
        per_usd = table.get("creditsPerUsd", credits_per_usd)
        canonical = {
            "percent": _factor("percent", table.get("percent")),
            "creditsPerUsd": _factor("creditsPerUsd", per_usd, positive=True),
        }
    elif model in ("graduated", "volume"):
        canonical = {"tiers": _tiers(table.get("tiers"))}
    elif model == "fixed":
        canonical = {"amount": _amount("amount", table.get("amount"))}
    else:
        canonical = {
            "amount": _amount("amount", table.get("amount")),
            "per": _count("per", table.get("per", 1)),
        }
    return canonical


def compile_rates(model: str, rates: Mapping[str, Any]) -> Rates:
    """Integers for rating, from canonical `rates`. Raises `invalidPrice` for anything else."""
    canonical = canonical_rates(model, rates)
    if model == "tokens":
        return _compile_tokens(canonical)
    if model == "percentage":
        top, bottom = Decimal(canonical["percent"]).as_integer_ratio()
        usd_top, usd_bottom = Decimal(canonical["creditsPerUsd"]).as_integer_ratio()
        return Percentage(top * usd_top * NANO, bottom * usd_bottom * 100)
    if model in ("graduated", "volume"):
        per = lcm(*(row["per"] for row in canonical["tiers"]))
        tiers = tuple(
            Tier(row["upTo"], _nano(row["amount"]) * (per // row["per"]), _nano(row["flat"]))
            for row in canonical["tiers"]
        )
        return Graduated(tiers, per) if model == "graduated" else Volume(tiers, per)
    amount = _nano(canonical["amount"])
    if model == "fixed":
        return Fixed(amount)
    return Unit(amount, canonical["per"]) if model == "unit" else Package(amount, canonical["per"])


_TABLE_FIELDS: Final = frozenset({"perMillion", "perThousand"})
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "fixed": frozenset({"amount"}),
    "unit": frozenset({"amount", "per"}),
    "package": frozenset({"amount", "per"}),
    "graduated": frozenset({"tiers"}),
    "volume": frozenset({"tiers"}),
    "percentage": frozenset({"percent", "creditsPerUsd"}),
    "tokens": _TABLE_FIELDS | {"above", "schedule", "cost"},
}
_TIER_FIELDS: Final = frozenset({"upTo", "amount", "per", "flat"})


def _tiers(rows: Any) -> list[dict[str, Any]]:
    canonical: list[dict[str, Any]] = []
    reached = 0
    rows = _list("tiers", rows)
    if not rows:
        _refuse("tiers", rows, "a list of at least one tier")
    for number, row in enumerate(rows):
        path = f"tiers[{number}]"
        tier = _object(path, row, _TIER_FIELDS)
        up_to = tier.get("upTo")
        if (up_to is None) != (number == len(rows) - 1):
            _refuse(f"{path}.upTo", up_to, "a number in every tier but the last, where it is null")
        if up_to is not None:
            up_to = _count(f"{path}.upTo", up_to)
            if up_to <= reached:
                _refuse(f"{path}.upTo", up_to, "above that of the tier before")
            reached = up_to
        canonical.append(
            {
                "upTo": up_to,
                "amount": _amount(f"{path}.amount", tier.get("amount")),
                "per": _count(f"{path}.per", tier.get("per", 1)),
                "flat": _amount(f"{path}.flat", tier.get("flat", "0")),
            }
        )
    return canonical


def _tokens(table: Mapping[str, Any]) -> dict[str, Any]:
    canonical = _banded("", table)
    windows: list[dict[str, Any]] = []
    for number, row in enumerate(_list("schedule", table.get("schedule", []))):
        path = f"schedule[{number}]."
        window = _object(path[:-1], row, _TABLE_FIELDS | {"above", "from", "until"})
        hours = {name: _clock(f"{path}{name}", window.get(name)) for name in ("from", "until")}
        if hours["from"] == hours["until"]:
            _refuse(f"{path}until", hours["until"], "another time than `from`")
        windows.append(hours | _banded(path, window))
    if windows:
        canonical["schedule"] = windows
    if "cost" in table:
        cost = _object("cost", table["cost"], frozenset({"creditsPerUsd", "markup"}))
        canonical["cost"] = {
            name: _factor(f"cost.{name}", cost.get(name), positive=True) for name in ("creditsPerUsd", "markup")
        }
    return canonical


def _banded(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    canonical = _counter_table(path, table)
    above: list[dict[str, Any]] = []
    reached = 0
    for number, row in enumerate(_list(f"{path}above", table.get("above", []))):
        here = f"{path}above[{number}]."
        band = _object(here[:-1], row, _TABLE_FIELDS | {"inputTokens"})
        threshold = _count(f"{here}inputTokens", band.get("inputTokens"))
        if threshold <= reached:
            _refuse(f"{here}inputTokens", threshold, "above that of the band before")
        reached = threshold
        above.append({"inputTokens": threshold} | _counter_table(here, band))
    if above:
        canonical["above"] = above
    return canonical


def _counter_table(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    canonical: dict[str, Any] = {}
    for scale, names in (("perMillion", PER_MILLION), ("perThousand", PER_THOUSAND)):
        amounts = _object(f"{path}{scale}", table.get(scale, {}), frozenset(names))
        if amounts or scale == "perMillion":
            canonical[scale] = {name: _amount(f"{path}{scale}.{name}", amounts[name]) for name in amounts}
    return canonical


def _compile_tokens(canonical: Mapping[str, Any]) -> Tokens:
    windows = tuple(
        (_seconds(row["from"]), _seconds(row["until"]), _compile_bands(row)) for row in canonical.get("schedule", [])
    )
    cost: tuple[int, int] | None = None
    if "cost" in canonical:
        credits_per_usd = Decimal(canonical["cost"]["creditsPerUsd"]).as_integer_ratio()
        markup = Decimal(canonical["cost"]["markup"]).as_integer_ratio()
        cost = (credits_per_usd[1] * markup[1], credits_per_usd[0] * markup[0])
    return Tokens(_compile_bands(canonical), windows, cost)


def _compile_bands(table: Mapping[str, Any]) -> Bands:
    upper = [(row["inputTokens"], _compile_counters(row)) for row in table.get("above", [])]
    return (*reversed(upper), (-1, _compile_counters(table)))


def _compile_counters(table: Mapping[str, Any]) -> tuple[int, ...]:
    own = {name: _nano(amount) for name, amount in table["perMillion"].items()}
    own |= {name: _nano(amount) * (MILLION // 1000) for name, amount in table.get("perThousand", {}).items()}

    def price(name: str) -> int:
        if name in own:
            return own[name]
        return price(FALLBACK[name]) if name in FALLBACK else 0

    return tuple(price(name) for name in REPORTED)


def _object(path: str, value: Any, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(path, value, "an object")
    for name in value:
        if name not in known:
            _refuse(f"{path}.{name}", value[name], f"left out; known are {', '.join(sorted(known))}")
    return value


def _list(path: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MAX_ROWS:
        _refuse(path, value, f"a list of at most {_MAX_ROWS}")
    return value


def _amount(path: str, value: Any) -> str:
    try:
        return format_credits(parse_credits(value, field=path))
    except TallystickError:
        _refuse(path, value, "credits, 0 or more, with at most nine decimals")


def _nano(amount: str) -> int:
    return parse_credits(amount)


def _count(path: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_PER:
        _refuse(path, value, f"an integer from 1 to {MAX_PER}")
    return int(value)


def _factor(path: str, value: Any, *, positive: bool = False) -> str:
    """A plain decimal of at most nine decimals, without an exponent or trailing zeros."""
    expected = f"a decimal {'above' if positive else 'from'} 0, at most {_MAX_FACTOR}, with at most nine decimals"
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        _refuse(path, value, expected)
    try:
        factor = Decimal(value)
    except InvalidOperation:
        _refuse(path, value, expected)
    if not factor.is_finite() or factor.adjusted() > 9 or not 0 <= factor <= _MAX_FACTOR or (positive and not factor):
        _refuse(path, value, expected)
    nano = factor.scaleb(9)
    if nano != nano.to_integral_value():
        _refuse(path, value, expected)
    return format_credits(int(nano))


def _clock(path: str, value: Any) -> str:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        _refuse(path, value, "a time of the UTC day such as 16:30")
    return value


def _seconds(clock: str) -> int:
    return int(clock[:2]) * 3600 + int(clock[3:]) * 60


def _refuse(path: str, value: object, expected: str) -> NoReturn:
    raise TallystickError("invalidPrice", f"A price's {path} must be {expected}.", field=path, value=str(value)[:64])
