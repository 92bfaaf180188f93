"""Which price is in force, what a price may look like, and that an edit in place is seen."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tallystick.domain.metering.counters import TokenCounters
from tallystick.domain.metering.meters import CATEGORIES, SHIPPED, Meter, check_meter
from tallystick.domain.metering.prices import (
    BEGINNING,
    PriceBook,
    PriceVersion,
    check_target,
    in_force,
    targets_for_model,
    targets_for_tool_call,
)
from tallystick.domain.metering.pricing import (
    Use,
    amount,
    nano_usd,
    provider_cost,
    tariff_for_model,
    tariff_for_tool_call,
    tariff_for_type,
    version_for,
)
from tallystick.domain.metering.rates import canonical_rates, compile_rates
from tallystick.kernel.errors import TallystickError
from tests.domain.price_factory import price, token_price

DAY = dt.timedelta(days=1)
MAY = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
TOOL, CONNECTOR = UUID(int=7), UUID(int=8)


def unit(amount: str, **given: Any) -> PriceVersion:
    return price("unit", {"amount": amount}, **given)


# --- which one is in force --------------------------------------------------------------------------------------------


def test_the_latest_start_not_after_the_time_is_in_force() -> None:
    first, second = unit("1"), unit("2", valid_from=MAY)
    book = PriceBook([second, first])
    assert book.at(("tool.call",), BEGINNING) is first
    assert book.at(("tool.call",), MAY - dt.timedelta(microseconds=1)) is first
    assert book.at(("tool.call",), MAY) is second
    assert book.at(("tool.call",), MAY + 900 * DAY) is second
    assert book.at(("asset.created",), MAY) is None
    assert PriceBook().at(("tool.call",), MAY) is None


def test_the_first_target_with_any_version_in_force_wins() -> None:
    general = unit("1")
    special = unit("2", target=f"tool.call/connector:{CONNECTOR}", valid_from=MAY)
    newest = unit("3", valid_from=MAY + DAY)
    book = PriceBook([general, special, newest])
    targets = targets_for_tool_call(TOOL, CONNECTOR, "slack", "send")
    assert book.at(targets, MAY - DAY) is general
    assert book.at(targets, MAY) is special
    assert book.at(targets, MAY + 2 * DAY) is special
    assert book.at(("tool.call",), MAY + 2 * DAY) is newest


def test_an_operators_price_stands_over_a_public_one_whatever_their_dates() -> None:
    public = token_price({"perMillion": {"inputTokens": "1"}}, origin="public")
    own = token_price({"perMillion": {"inputTokens": "2"}}, valid_from=MAY)
    later_public = token_price({"perMillion": {"inputTokens": "3"}}, origin="public", valid_from=MAY + DAY)
    book = PriceBook([public, own, later_public])
    model = ("openai", "gpt-4o")
    assert book.at(targets_for_model("openai", "gpt-4o", model), MAY - DAY) is public
    assert book.at(targets_for_model("openai", "gpt-4o", model), MAY + 2 * DAY) is own
    assert in_force(book.public_timeline(model), MAY) is public
    assert in_force(book.public_timeline(model), MAY + 2 * DAY) is later_public
    assert in_force(book.public_timeline(None), MAY) is None
    assert book.get(own.id) is own


def test_targets_are_tried_from_the_most_specific_one() -> None:
    assert targets_for_tool_call(TOOL, CONNECTOR, "slack", "send") == (
        f"tool.call/tool:{TOOL}",
        f"tool.call/connector:{CONNECTOR}",
        "tool.call/integration:slack/send",
        "tool.call/integration:slack",
        "tool.call",
    )
    assert targets_for_tool_call(action="send") == ("tool.call",)
    assert targets_for_model("azure", "gpt-4o-2024-08-06", ("openai", "gpt-4o")) == (
        "llm.tokens/azure/gpt-4o-2024-08-06",
        "llm.tokens/openai/gpt-4o",
        "llm.tokens/*/gpt-4o-2024-08-06",
        "llm.tokens/*/gpt-4o",
        "llm.tokens",
    )
    assert targets_for_model(None, "own-model") == ("llm.tokens/*/own-model", "llm.tokens")
    assert targets_for_model("openai", None) == ("llm.tokens",)


starts = st.integers(0, 20).map(lambda days: MAY + days * DAY)


@given(
    st.lists(st.tuples(st.sampled_from(["a.b", "a.b/x", "a.b/y"]), st.sampled_from(["operator", "public"]), starts)),
    st.lists(st.sampled_from(["a.b", "a.b/x", "a.b/y"]), min_size=1, max_size=3, unique=True),
    starts,
)
def test_the_book_equals_a_search_through_all_versions(
    keys: list[tuple[str, str, dt.datetime]], targets: list[str], time: dt.datetime
) -> None:
    versions = [
        unit(str(n), target=target, origin=origin, valid_from=start)
        for n, (target, origin, start) in enumerate(dict.fromkeys(keys))
    ]
    expected = None
    for target in targets:
        for origin in ("operator", "shipped", "public"):
            begun = [v for v in versions if (v.target, v.origin) == (target, origin) and v.valid_from <= time]
            if begun and expected is None:
                expected = max(begun, key=lambda version: version.valid_from)
    assert PriceBook(versions).at(tuple(targets), time) is expected


# --- what a price may look like ---------------------------------------------------------------------------------------

CANONICAL = [
    ("fixed", {"amount": 5}, {"amount": "5"}),
    ("fixed", {"amount": Decimal("0.010")}, {"amount": "0.01"}),
    ("unit", {"amount": "1e-3"}, {"amount": "0.001", "per": 1}),
    ("package", {"amount": "1.50", "per": 1000}, {"amount": "1.5", "per": 1000}),
    (
        "volume",
        {"tiers": [{"upTo": 5, "amount": 1}, {"amount": 2, "per": 3, "flat": "4.0"}]},
        {
            "tiers": [
                {"upTo": 5, "amount": "1", "per": 1, "flat": "0"},
                {"upTo": None, "amount": "2", "per": 3, "flat": "4"},
            ]
        },
    ),
    ("percentage", {"percent": "120.0"}, {"percent": "120", "creditsPerUsd": "100"}),
    ("tokens", {"perMillion": {"inputTokens": "250.0"}}, {"perMillion": {"inputTokens": "250"}}),
    ("tokens", {}, {"perMillion": {}}),
    (
        "tokens",
        {"perThousand": {"searches": 10}, "above": [], "schedule": [], "cost": {"creditsPerUsd": 100, "markup": "1.0"}},
        {"perMillion": {}, "perThousand": {"searches": "10"}, "cost": {"creditsPerUsd": "100", "markup": "1"}},
    ),
]


@pytest.mark.parametrize(("model", "rates", "expected"), CANONICAL)
def test_rates_are_stored_in_one_canonical_form(model: str, rates: dict[str, Any], expected: dict[str, Any]) -> None:
    assert canonical_rates(model, rates) == expected
    assert canonical_rates(model, expected) == expected


REFUSED = [
    ("bulk", {"amount": "1"}, "model"),
    ("fixed", [], "rates"),
    ("fixed", {}, "amount"),
    ("fixed", {"amount": "-1"}, "amount"),
    ("fixed", {"amount": "0.0000000001"}, "amount"),
    ("fixed", {"amount": "100000000.1"}, "amount"),
    ("fixed", {"amount": "1e30"}, "amount"),
    ("fixed", {"amount": "NaN"}, "amount"),
    ("fixed", {"amount": 0.1}, "amount"),
    ("fixed", {"amount": True}, "amount"),
    ("fixed", {"amount": None}, "amount"),
    ("fixed", {"amount": "1", "per": 2}, "rates.per"),
    ("unit", {"amount": "1", "per": 0}, "per"),
    ("unit", {"amount": "1", "per": "10"}, "per"),
    ("unit", {"amount": "1", "per": 10**13}, "per"),
    ("unit", {"amount": "1", "per": True}, "per"),
    ("graduated", {"tiers": []}, "tiers"),
    ("graduated", {"tiers": {}}, "tiers"),
    ("graduated", {"tiers": [{"upTo": 5, "amount": "1"}]}, "tiers[0].upTo"),
    ("graduated", {"tiers": [{"amount": "1"}, {"amount": "1"}]}, "tiers[0].upTo"),
    (
        "graduated",
        {"tiers": [{"upTo": 5, "amount": "1"}, {"upTo": 5, "amount": "1"}, {"amount": "1"}]},
        "tiers[1].upTo",
    ),
    ("volume", {"tiers": [{"upTo": 5, "amount": "1"}, {"amount": "-1"}]}, "tiers[1].amount"),
    ("volume", {"tiers": [{"amount": "1"}] * 101}, "tiers"),
    ("volume", {"tiers": [7]}, "tiers[0]"),
    ("percentage", {}, "percent"),
    ("percentage", {"percent": "-1"}, "percent"),
    ("percentage", {"percent": "1000001"}, "percent"),
    ("percentage", {"percent": "1e400"}, "percent"),
    ("percentage", {"percent": 1.5}, "percent"),
    ("percentage", {"percent": "1", "creditsPerUsd": "0"}, "creditsPerUsd"),
    ("tokens", {"perMillion": {"inputTokens": "-1"}}, "perMillion.inputTokens"),
    ("tokens", {"perMillion": {"tokens": "1"}}, "perMillion.tokens"),
    ("tokens", {"perMillion": {"requests": "1"}}, "perMillion.requests"),
    ("tokens", {"perThousand": {"inputTokens": "1"}}, "perThousand.inputTokens"),
    ("tokens", {"above": [{"inputTokens": 0}]}, "above[0].inputTokens"),
    ("tokens", {"above": [{"inputTokens": 5}, {"inputTokens": 5}]}, "above[1].inputTokens"),
    ("tokens", {"schedule": [{"from": "00:00", "until": "24:00"}]}, "schedule[0].until"),
    ("tokens", {"schedule": [{"from": "9:00", "until": "10:00"}]}, "schedule[0].from"),
    ("tokens", {"schedule": [{"from": "09:00", "until": "09:00"}]}, "schedule[0].until"),
    ("tokens", {"schedule": [{"from": "09:00"}]}, "schedule[0].until"),
    ("tokens", {"cost": {"creditsPerUsd": "100", "markup": "0"}}, "cost.markup"),
    ("tokens", {"cost": {"creditsPerUsd": "100"}}, "cost.markup"),
]


@pytest.mark.parametrize(("model", "rates", "field"), REFUSED)
def test_a_price_that_cannot_be_is_refused_with_the_field_named(model: str, rates: Any, field: str) -> None:
    with pytest.raises(TallystickError) as caught:
        canonical_rates(model, rates)
    assert caught.value.code == "invalidPrice"
    assert caught.value.details["field"] == field
    with pytest.raises(TallystickError):
        compile_rates(model, rates)


@given(
    st.sampled_from(["fixed", "unit", "package", "graduated", "volume", "percentage", "tokens"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "amount",
                        "per",
                        "tiers",
                        "upTo",
                        "percent",
                        "perMillion",
                        "inputTokens",
                        "above",
                        "schedule",
                        "cost",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
)
def test_any_json_is_either_a_price_that_compiles_or_a_named_refusal(model: str, rates: Any) -> None:
    try:
        canonical = canonical_rates(model, rates)
    except TallystickError as error:
        code = error.code
        assert code == "invalidPrice"
    else:
        compile_rates(model, canonical)


@pytest.mark.parametrize("target", ["", "x" * 501, " tool.call", "tool.call\n", "tool.call/\x00"])
def test_a_target_is_printable_text(target: str) -> None:
    with pytest.raises(TallystickError, match="target"):
        check_target(target, "unit")


def test_only_language_models_are_priced_by_token() -> None:
    assert check_target("llm.tokens/*/gpt-4o", "tokens") == "llm.tokens/*/gpt-4o"
    with pytest.raises(TallystickError, match="by token"):
        check_target("tool.call", "tokens")


def test_every_field_is_in_the_digest_and_the_order_of_keys_is_not() -> None:
    version = price("unit", {"amount": "1", "per": 10})
    others = [
        replace(version, id=UUID(int=1)),
        replace(version, target="asset.created"),
        replace(version, valid_from=MAY),
        replace(version, model="package"),
        replace(version, rates={"amount": "1", "per": 11}),
        replace(version, origin="public"),
        replace(version, source="other"),
        replace(version, source_text="other"),
        replace(version, created_at=MAY),
    ]
    digests = {other.digest() for other in others}
    assert len(digests) == len(others)
    assert version.digest() not in digests
    assert len(version.digest()) == 16
    assert replace(version, rates={"per": 10, "amount": "1"}).digest() == version.digest()
    zone = dt.timezone(dt.timedelta(hours=2))
    moved = replace(version, valid_from=MAY).digest()
    assert replace(version, valid_from=MAY.astimezone(zone)).digest() == moved


# --- what one use costs -----------------------------------------------------------------------------------------------

CALL = TokenCounters(input=1_000_000, requests=1)
GPT = ("openai", "gpt-4o")
PUBLIC = token_price(
    {"perMillion": {"inputTokens": "250"}, "cost": {"creditsPerUsd": "100", "markup": "1"}}, origin="public"
)


def llm(book: PriceBook, model: str = "gpt-4o", canonical: tuple[str, str] | None = GPT, **given: Any) -> Use:
    return Use(tariff_for_model(book, None, model, canonical), MAY, counters=CALL, **given)


def test_a_language_model_call_is_priced_by_our_version_whatever_the_provider_took() -> None:
    book = PriceBook([PUBLIC])
    use = llm(book, cost=Decimal("0.5"))
    version = version_for(use)
    assert version is PUBLIC
    assert amount(version, use) == 250 * 10**9
    assert provider_cost(use) == 500_000_000
    assert provider_cost(llm(book)) == 2_500_000_000


def test_an_unknown_model_is_unpriced_but_its_reported_cost_is_kept() -> None:
    book = PriceBook([PUBLIC])
    use = llm(book, model="own", canonical=None, cost=Decimal("0.5"))
    assert version_for(use) is None
    assert provider_cost(use) == 500_000_000
    assert provider_cost(llm(book, model="own", canonical=None)) is None


def test_a_percentage_is_of_the_reported_cost_else_of_the_public_price_else_unpriced() -> None:
    share = price("percentage", {"percent": "120"}, target="llm.tokens/*/gpt-4o")
    catch_all = price("percentage", {"percent": "200"}, target="llm.tokens")
    own_gpt = price("percentage", {"percent": "120"}, target="llm.tokens/openai/gpt-4o")
    book = PriceBook([PUBLIC, share, catch_all, own_gpt])
    reported, public = llm(book, cost=Decimal("1")), llm(book)
    for use, expected in ((reported, 120), (public, 300)):
        version = version_for(use)
        assert version is own_gpt
        assert amount(version, use) == expected * 10**9
    other = llm(book, model="own", canonical=None)
    assert version_for(other) is None
    assert version_for(structs.replace(other, cost=Decimal(0))) is catch_all


def test_the_sum_of_counters_is_of_the_version_that_is_asked_for() -> None:
    own = price("tokens", {"perMillion": {"inputTokens": "1"}}, target="llm.tokens/openai/gpt-4o")
    use = llm(PriceBook([PUBLIC, own]))
    assert amount(own, use) == 10**9
    assert provider_cost(use) == 2_500_000_000
    assert amount(own, use) == 10**9


def test_tools_and_other_types_find_their_prices() -> None:
    tool = price("unit", {"amount": "0.5"}, target=f"tool.call/connector:{CONNECTOR}")
    storage = price("graduated", {"tiers": [{"upTo": 10, "amount": "1"}, {"amount": "0.5"}]}, target="storage.records")
    book = PriceBook([tool, storage])
    call = Use(tariff_for_tool_call(book, None, CONNECTOR, None, None), MAY, quantity=3)
    assert version_for(call) is tool
    assert amount(tool, call) == 1_500_000_000
    assert version_for(Use(tariff_for_tool_call(book, None, TOOL, None, None), MAY)) is None
    insert = Use(tariff_for_type(book, "storage.records"), MAY, quantity=4)
    assert version_for(insert) is storage
    assert amount(storage, insert, before=8) == 3 * 10**9
    assert provider_cost(insert) is None


COSTS = [
    ("0", 0),
    ("0.5", 500_000_000),
    ("5E-10", 0),
    ("15E-10", 2),
    ("1E-400", 0),
    ("99999999.9", 99_999_999_900_000_000),
]


@pytest.mark.parametrize(("cost", "expected"), COSTS)
def test_a_reported_cost_is_kept_in_nano_usd(cost: str, expected: int) -> None:
    assert nano_usd(Decimal(cost)) == expected


@pytest.mark.parametrize(
    ("cost", "code"),
    [("-1", "invalidAmount"), ("NaN", "invalidAmount"), ("1E9", "amountTooLarge"), ("1E+9999", "amountTooLarge")],
)
def test_a_reported_cost_out_of_range_is_refused(cost: str, code: str) -> None:
    with pytest.raises(TallystickError) as caught:
        nano_usd(Decimal(cost))
    assert caught.value.code == code


# --- meters -----------------------------------------------------------------------------------------------------------


def test_the_shipped_meters_have_the_slugs_and_categories_of_the_interface() -> None:
    by_type = {meter.type: meter for meter in SHIPPED}
    slugs = {type_: meter.slug_for("openai", "slack", "send") for type_, meter in by_type.items()}
    assert slugs == {
        "llm.tokens": "integration.openai.chat",
        "tool.call": "integration.slack.action.send",
        "storage.records": "native.storage",
        "storage.bytes": "native.storage",
        "orchestration.execution": "native.execution",
        "deployment.time": "native.hosting",
        "fine_tuning.job": "native.fineTuning",
        "fine_tuning.time": "native.fineTuning",
        "guardrail.time": "native.guardrail",
        "script.time": "native.script",
        "asset.created": "native.asset",
        "moderation.flag": "native.moderation",
        "direct.charge": "native.direct",
    }
    assert {meter.category for meter in SHIPPED} == set(CATEGORIES)
    assert by_type["tool.call"].slug_for() == "integration.unknown.action.unknown"
    for meter in SHIPPED:
        assert check_meter(meter) is meter


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "search"),
        ("type", "Search.query"),
        ("type", "search..query"),
        ("type", "search/query.x"),
        ("type", "a." + "b" * 200),
        ("category", "fun"),
        ("slug", ""),
        ("slug", "native/x"),
        ("unit", ""),
    ],
)
def test_a_meter_that_cannot_be_is_refused_with_the_field_named(field: str, value: str) -> None:
    meter = replace(Meter("search.query", "other", "native.search", "queries"), **{field: value})
    with pytest.raises(TallystickError) as caught:
        check_meter(meter)
    assert caught.value.code == "invalidMeter"
    assert caught.value.details["field"] == field
