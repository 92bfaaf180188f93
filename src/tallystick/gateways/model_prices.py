"""Public model prices: the snapshot packaged with `genai-prices`, as dated price versions and as a model directory.

Nothing here uses the network. The package is imported when first asked, since that takes most of a second.

What the source can say and a version cannot: prices by service tier (batch, fast), by hour of audio, by page, by
character or message, for cached audio or image, for video, citations and image output. They are kept in
`source_text` and priced, where they are tokens, at the price of the counter they are part of. A model that has no
price by token, request or search is left out: its calls are unpriced (rule M6), not free.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from tallystick.domain.metering.meters import LLM_TOKENS
from tallystick.domain.metering.prices import BEGINNING, PriceVersion
from tallystick.domain.metering.rates import canonical_rates
from tallystick.kernel.credits import NANO, format_credits

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TimeOfDateConstraint

_NAMESPACE: Final = UUID("5f3b5a0e-6f0d-5c1e-9a55-7a111c4b0003")

COUNTER_OF: Final[Mapping[str, str]] = {
    "input_mtok": "inputTokens",
    "cache_read_mtok": "cachedInputTokens",
    "cache_write_mtok": "cacheWriteTokens",
    "cache_write_1h_mtok": "cacheWrite1hTokens",
    "input_audio_mtok": "audioInputTokens",
    "input_image_mtok": "imageInputTokens",
    "output_mtok": "outputTokens",
    "output_reasoning_mtok": "reasoningTokens",
    "output_audio_mtok": "audioOutputTokens",
    "requests_kcount": "requests",
    "web_searches_kcount": "searches",
}
"""Which of our counters a price of the source is for."""

_PER_THOUSAND: Final = ("requests", "searches")
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_NANO_STEP: Final = Decimal(1).scaleb(-9)


def source() -> str:
    """The source and its version, as in `PriceVersion.source`; cheap, for telling whether an import is due."""
    return f"genai-prices {installed_version('genai-prices')}"


def public_versions(
    now: dt.datetime, *, credits_per_usd: int = 100, markup: Decimal = Decimal(1)
) -> list[PriceVersion]:
    """Every public price as price versions of `llm.tokens/<provider>/<model>`, by target and start (rule M1)."""
    from genai_prices.data import providers

    name = source()
    versions = []
    for provider in providers:
        for model in provider.models:
            target = f"{LLM_TOKENS}/{provider.id}/{model.id}"
            for start, prices, windows in _history(model):
                versions.append(
                    PriceVersion(
                        id=uuid5(_NAMESPACE, f"{name} {target} {start.isoformat()}"),
                        target=target,
                        valid_from=start,
                        model="tokens",
                        rates=_rates(prices, windows, Decimal(credits_per_usd), markup),
                        origin="public",
                        source=name,
                        source_text=_source_text(prices, windows),
                        created_at=now,
                    )
                )
    return versions


Window = tuple[dt.time, dt.time, "ModelPrice"]
Entry = tuple[dt.datetime, "ModelPrice", list[Window]]


def _history(model: "ModelInfo") -> Iterator[Entry]:
    """(start, price, windows of the day) of a model, by start; nothing for a model without a usable price."""
    from genai_prices.types import ModelPrice, StartDateConstraint

    if isinstance(model.prices, ModelPrice):
        if _is_usable(model.prices):
            yield BEGINNING, model.prices, []
        return
    if not any(_is_usable(entry.prices) for entry in model.prices):
        return
    dates = {entry.constraint.start_date for entry in model.prices if isinstance(entry.constraint, StartDateConstraint)}
    starts = [BEGINNING, *(dt.datetime.combine(date, dt.time.min, dt.UTC) for date in sorted(dates))]
    for start in starts:
        yield start, *_prices_from(model.prices, start)


def _prices_from(entries: "list[ConditionalPrice]", start: dt.datetime) -> "tuple[ModelPrice, list[Window]]":
    """The price from `start` until the next date, and the windows of the day over it, first match first.

    The last entry whose condition holds wins; where none does, the first entry stands.
    """
    from genai_prices.types import TimeOfDateConstraint

    windows: list[Window] = []
    for entry in reversed(entries):
        constraint = entry.constraint
        if isinstance(constraint, TimeOfDateConstraint):
            windows.append((*_hours(constraint), entry.prices))
        elif constraint is None or constraint.active(start):
            return entry.prices, windows
    return entries[0].prices, windows


def _hours(constraint: "TimeOfDateConstraint") -> tuple[dt.time, dt.time]:
    day = dt.date(2000, 1, 1)

    def utc(time: dt.time) -> dt.time:
        moment = dt.datetime.combine(day, time)
        return moment.time() if moment.tzinfo is None else moment.astimezone(dt.UTC).time()

    return utc(constraint.start_time), utc(constraint.end_time)


def _is_usable(prices: "ModelPrice") -> bool:
    return any(prices.__dict__.get(key) is not None for key in COUNTER_OF)


def _rates(prices: "ModelPrice", windows: list[Window], credits_per_usd: Decimal, markup: Decimal) -> dict[str, Any]:
    factor = credits_per_usd * markup
    rates = _bands(prices, factor)
    if windows:
        rates["schedule"] = [
            {"from": f"{start:%H:%M}", "until": f"{end:%H:%M}"} | _bands(window, factor)
            for start, end, window in windows
        ]
    if markup > 0:
        rates["cost"] = {"creditsPerUsd": credits_per_usd, "markup": markup}
    return canonical_rates("tokens", rates)


def _bands(prices: "ModelPrice", factor: Decimal) -> dict[str, Any]:
    """The base table and one whole table above each threshold that any of the prices has."""
    thresholds = sorted({start for _, value in _priced(prices) for start, _ in _tiers(value)})
    bands = _table(prices, -1, factor)
    if thresholds:
        bands["above"] = [{"inputTokens": at} | _table(prices, at, factor) for at in thresholds]
    return bands


def _table(prices: "ModelPrice", threshold: int, factor: Decimal) -> dict[str, Any]:
    table: dict[str, Any] = {"perMillion": {}}
    for key, value in _priced(prices):
        counter = COUNTER_OF[key]
        scale = "perThousand" if counter in _PER_THOUSAND else "perMillion"
        table.setdefault(scale, {})[counter] = _in_credits(_usd_at(value, threshold), factor)
    return table


def _usd_at(value: Any, threshold: int) -> Decimal:
    """The price in USD for calls whose input exceeds `threshold` (-1: no threshold)."""
    usd = value if isinstance(value, Decimal) else value.base
    for start, price in _tiers(value):
        if start <= threshold:
            usd = price
    return Decimal(usd)


def _in_credits(usd: Decimal, factor: Decimal) -> str:
    """Credits as text, rounded half even to a nano-credit per scale (rule M1)."""
    nano = _EXACT.multiply(usd, factor).quantize(_NANO_STEP, context=_EXACT)
    return format_credits(int(nano * NANO))


def _priced(prices: "ModelPrice") -> list[tuple[str, Any]]:
    return [(key, value) for key, value in prices.__dict__.items() if key in COUNTER_OF and value is not None]


def _tiers(value: Any) -> list[tuple[int, Decimal]]:
    return [] if isinstance(value, Decimal) else [(tier.start, tier.price) for tier in value.tiers]


def _source_text(prices: "ModelPrice", windows: list[Window]) -> str:
    """The source's own USD prices as decimal text, by its names, those that no counter of ours has included."""
    text: dict[str, Any] = _texts(prices)
    if windows:
        text["windows"] = [
            {"start": start.isoformat(), "end": end.isoformat()} | _texts(window) for start, end, window in windows
        ]
    return json.dumps(text)


def _texts(prices: "ModelPrice") -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for key, value in prices.__dict__.items():
        if isinstance(value, Decimal):
            texts[key] = f"{value:f}"
        elif value is not None:
            tiers = [[start, f"{price:f}"] for start, price in _tiers(value)]
            texts[key] = {"base": f"{value.base:f}", "tiers": tiers}
    return texts


_LONGEST_NAME: Final = 200
_MAX_RESOLVED: Final = 20_000


class ModelDirectory:
    """Which public model a reported name means; answers are cached, unknown names too."""

    def __init__(self) -> None:
        self._resolved: dict[tuple[str, str | None], tuple[str, str] | None] = {}
        self._providers: list[Provider] | None = None
        self._owners: dict[int, str] = {}

    def load(self) -> None:
        """Import the snapshot now rather than at the first name; takes most of a second, once per process."""
        if self._providers is None:
            from genai_prices.data import providers

            self._owners = {id(model): provider.id for provider in providers for model in provider.models}
            self._providers = providers

    def resolve(self, model: str, provider: str | None = None) -> tuple[str, str] | None:
        """(provider, model id) of the public price that a reported model means, or None.

        Aliases and dated names find their model: `gpt-4o-2024-08-06`, `openai/gpt-4o`, `gpt-4o` on `azure`. A
        provider that is not known, such as a gateway's own name, is as good as none. Any text is safe to ask for.
        """
        key = (model, provider)
        try:
            return self._resolved[key]
        except KeyError:
            pass
        if len(self._resolved) >= _MAX_RESOLVED:
            self._resolved.clear()
        found = self._resolved[key] = self._find(model, provider)
        return found

    def _find(self, model: str, provider: str | None) -> tuple[str, str] | None:
        self.load()
        name = model.strip().lower()
        if not name or len(name) > _LONGEST_NAME:
            return None
        given = self._provider_called(provider) if provider else None
        if given:
            found = self._in(given, name)
            if found:
                return found
        owner, slash, rest = name.partition("/")
        if slash and rest:
            prefix = self._provider_called(owner)
            if prefix and (given is None or prefix is given):
                found = self._in(prefix, rest)
                if found:
                    return found
        return None if given else self._anywhere(name)

    def _anywhere(self, name: str) -> tuple[str, str] | None:
        for provider in self._providers or ():
            if provider.model_match is not None and provider.model_match.is_match(name):
                return self._in(provider, name)
        return None

    def _in(self, provider: "Provider", name: str) -> tuple[str, str] | None:
        found = provider.find_model(name, all_providers=self._providers)
        return None if found is None else (self._owners[id(found)], found.id)

    def _provider_called(self, text: str) -> "Provider | None":
        name = text.strip().lower()
        if not name or len(name) > _LONGEST_NAME:
            return None
        providers = self._providers or ()
        for provider in providers:
            if provider.id == name:
                return provider
        for provider in providers:
            if provider.provider_match is not None and provider.provider_match.is_match(name):
                return provider
        return None
