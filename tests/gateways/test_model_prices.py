"""Public prices, held against the source's own calculator over all of its models."""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TimeOfDateConstraint, Usage

from tallystick.domain.metering.counters import disjoint
from tallystick.domain.metering.prices import BEGINNING, PriceBook, PriceVersion, in_force, targets_for_model
from tallystick.domain.metering.rating import exact_cost_of_tokens, rate_tokens, token_numerator
from tallystick.gateways.model_prices import COUNTER_OF, ModelDirectory, public_versions, source
from tallystick.kernel.credits import NANO

NOW = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)
NANO_CREDITS_PER_USD = 100 * NANO

USAGES: list[dict[str, int]] = [
    {"input_tokens": 1200, "cached": 1024, "output_tokens": 45, "reasoning": 20},
    {"input_tokens": 1, "output_tokens": 1},
    {"input_tokens": 150_001, "cached": 20_000, "cache_write": 30_000, "cache_write_1h": 7_001, "output_tokens": 999},
    {"input_tokens": 700_000, "audio_input": 11_111, "image_input": 2_222, "output_tokens": 8_000, "audio_output": 501},
    {"input_tokens": 200_000, "output_tokens": 3, "searches": 7},
]


def their_usage(usage: dict[str, int]) -> Usage:
    """The same usage in the source's words; overlaps that we don't report are told as none."""
    names = {
        "cached": "cache_read_tokens",
        "cache_write": "cache_write_tokens",
        "cache_write_1h": "cache_write_1h_tokens",
        "audio_input": "input_audio_tokens",
        "image_input": "input_image_tokens",
        "audio_output": "output_audio_tokens",
        "reasoning": "output_reasoning_tokens",
        "searches": "web_searches",
    }
    overlaps = {"cache_audio_read_tokens": 0, "cache_image_read_tokens": 0}
    return Usage(**{names.get(name, name): count for name, count in usage.items()} | overlaps)


def instants(model: ModelInfo) -> Iterator[dt.datetime]:
    """Around every date and every hour at which the price of a model changes."""
    yield NOW
    if isinstance(model.prices, ModelPrice):
        return
    tick = dt.timedelta(microseconds=1)
    midnights = [NOW.replace(hour=0, minute=0, second=0)]
    for entry in model.prices:
        if isinstance(entry.constraint, StartDateConstraint):
            start = dt.datetime.combine(entry.constraint.start_date, dt.time.min, dt.UTC)
            midnights.append(start)
            yield from (start - tick, start, start + tick)
    for entry in model.prices:
        if isinstance(entry.constraint, TimeOfDateConstraint):
            for time in (entry.constraint.start_time, entry.constraint.end_time):
                for midnight in midnights:
                    edge = midnight.replace(hour=time.hour, minute=time.minute, second=time.second)
                    yield from (edge - tick, edge, edge + tick)


@pytest.fixture(scope="module")
def versions() -> list[PriceVersion]:
    return public_versions(NOW)


def test_every_model_costs_what_its_source_says(versions: list[PriceVersion]) -> None:
    book = PriceBook(versions)
    compared = unpriced = 0
    for provider in providers:
        for model in provider.models:
            for usage in USAGES:
                ours, theirs = disjoint(**usage), their_usage(usage)
                for time in instants(model):
                    version = in_force(book.public_timeline((provider.id, model.id)), time)
                    usd = model.calc_price(theirs, provider, genai_request_timestamp=time).total_price
                    if version is None:
                        assert not has_token_price(model), (provider.id, model.id)
                        unpriced += 1
                        continue
                    exact = Fraction(usd) * NANO_CREDITS_PER_USD
                    # A source price may be off by half a nano-credit per million once rounded (rule M1), and the
                    # source's own decimals lose a digit now and then.
                    slack = Fraction(sum(ours), 2_000_000)
                    assert abs(rate_tokens(token_numerator(version, ours, time)) - exact) <= slack + Fraction(1, 2), (
                        provider.id,
                        model.id,
                        usage,
                        time,
                    )
                    cost = exact_cost_of_tokens(version, token_numerator(version, ours, time))
                    assert cost is not None
                    assert abs(cost * NANO_CREDITS_PER_USD - exact) <= slack
                    compared += 1
    assert compared > 10_000
    assert unpriced < compared / 10


def has_token_price(model: ModelInfo) -> bool:
    prices = [model.prices] if isinstance(model.prices, ModelPrice) else [entry.prices for entry in model.prices]
    return any(price.__dict__.get(key) is not None for price in prices for key in COUNTER_OF)


def test_where_the_source_has_no_float_noise_the_amount_is_exactly_its_own(versions: list[PriceVersion]) -> None:
    book = PriceBook(versions)
    model = next(
        model for provider in providers if provider.id == "openai" for model in provider.models if model.id == "gpt-4o"
    )
    provider = next(provider for provider in providers if provider.id == "openai")
    version = in_force(book.public_timeline(("openai", "gpt-4o")), NOW)
    assert version is not None
    for usage in USAGES:
        usd = model.calc_price(their_usage(usage), provider, genai_request_timestamp=NOW).total_price
        assert rate_tokens(token_numerator(version, disjoint(**usage), NOW)) == round(
            Fraction(usd) * NANO_CREDITS_PER_USD
        )


def test_versions_say_where_they_are_from_and_what_stood_there(versions: list[PriceVersion]) -> None:
    keys = {(version.target, version.valid_from) for version in versions}
    assert len(keys) == len(versions)
    assert len({version.id for version in versions}) == len(versions)
    assert {version.origin for version in versions} == {"public"}
    assert {version.source for version in versions} == {source()}
    assert source().startswith("genai-prices 0.")
    by_target: dict[str, list[PriceVersion]] = {}
    for version in versions:
        by_target.setdefault(version.target, []).append(version)
    assert all(history[0].valid_from == BEGINNING for history in by_target.values())
    assert '"input_mtok": "2.5"' in by_target["llm.tokens/openai/gpt-4o"][0].source_text


def test_all_three_odd_kinds_of_price_are_there(versions: list[PriceVersion]) -> None:
    assert sum("above" in version.rates for version in versions) > 50
    assert any("schedule" in version.rates for version in versions)
    assert sum("perThousand" in version.rates for version in versions) > 50
    assert any("0000000000" in version.source_text for version in versions), "float noise is kept as text"


def test_markup_and_worth_are_applied_when_the_version_is_made() -> None:
    def gpt(**given: Any) -> PriceVersion:
        return next(v for v in public_versions(NOW, **given) if v.target == "llm.tokens/openai/gpt-4o")

    marked = gpt(credits_per_usd=10, markup=Decimal("1.3"))
    assert marked.rates["perMillion"]["inputTokens"] == "32.5"
    call = disjoint(1_000_000, 0)
    for version in (marked, gpt()):
        assert exact_cost_of_tokens(version, token_numerator(version, call, NOW)) == Fraction(5, 2)
    assert "cost" not in gpt(markup=Decimal(0)).rates


# --- the directory ----------------------------------------------------------------------------------------------------

NAMES: list[tuple[str, str | None, tuple[str, str] | None]] = [
    ("gpt-4o", None, ("openai", "gpt-4o")),
    ("gpt-4o", "openai", ("openai", "gpt-4o")),
    (" GPT-4o ", "OpenAI", ("openai", "gpt-4o")),
    ("gpt-4o-2024-08-06", None, ("openai", "gpt-4o")),
    ("openai/gpt-4o", None, ("openai", "gpt-4o")),
    ("openai/gpt-4o", "litellm", ("openai", "gpt-4o")),
    ("gpt-4o", "azure", ("openai", "gpt-4o")),
    ("azure/gpt-4o", None, ("openai", "gpt-4o")),
    ("gpt-4o", "azure.ai.openai", ("openai", "gpt-4o")),
    ("gpt-4o", "our-gateway", ("openai", "gpt-4o")),
    ("claude-3-5-sonnet-20241022", None, ("anthropic", "claude-3-5-sonnet")),
    ("claude-sonnet-4-5-20250929", "anthropic", ("anthropic", "claude-sonnet-4-5")),
    ("anthropic/claude-3.5-sonnet", "openrouter", ("openrouter", "anthropic/claude-3.5-sonnet")),
    ("openrouter/anthropic/claude-3.5-sonnet", None, ("openrouter", "anthropic/claude-3.5-sonnet")),
    ("gemini-2.5-pro", "gcp.vertex_ai", ("google", "gemini-2.5-pro")),
    ("gemini/gemini-2.5-pro", None, ("google", "gemini-2.5-pro")),
    ("our-own-model", None, None),
    ("our-own-model", "openai", None),
    ("", None, None),
    ("/", None, None),
    ("openai/", "openai", None),
    ("x" * 100_000, None, None),
    ("gpt-4o", "x" * 100_000, ("openai", "gpt-4o")),
    ("\x00\ud800 ￿", "\x00", None),
]


@pytest.fixture(scope="module")
def directory() -> ModelDirectory:
    return ModelDirectory()


@pytest.mark.parametrize(("model", "provider", "expected"), NAMES)
def test_a_reported_name_finds_its_public_model(
    directory: ModelDirectory, model: str, provider: str | None, expected: tuple[str, str] | None
) -> None:
    assert directory.resolve(model, provider) == expected
    assert directory.resolve(model, provider) == expected


def test_what_resolves_is_a_model_that_may_have_a_price(
    directory: ModelDirectory, versions: list[PriceVersion]
) -> None:
    book = PriceBook(versions)
    for model, provider, expected in NAMES:
        if expected:
            assert book.at(targets_for_model(provider, model, directory.resolve(model, provider)), NOW) is not None


def test_the_directory_never_grows_without_bound(directory: ModelDirectory) -> None:
    for number in range(20_500):
        directory.resolve(f"zz-{number}", "zz")
    assert len(directory._resolved) <= 20_000


def test_the_source_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys, tallystick.gateways.model_prices as m;"
        "m.ModelDirectory(); m.source(); print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
