"""Levers on runs that are written down as strings: what is left of them, and what that costs."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.metering.events import EventData
from tallystick.domain.metering.prices import PriceBook
from tallystick.domain.runs.booked import Booked, Used, uses_of
from tallystick.domain.runs.repricing import Repricer
from tallystick.domain.runs.simulation import Amounts, Levers, Outcome, Run, simulate
from tallystick.kernel.credits import NANO
from tests.domain.price_factory import price, token_price

START = dt.datetime(2026, 3, 14, 9, tzinfo=dt.UTC)
LARGE = token_price({"perMillion": {"inputTokens": "1000", "outputTokens": "4000"}}, target="llm.tokens/*/large")
SMALL = token_price({"perMillion": {"inputTokens": "100", "outputTokens": "400"}}, target="llm.tokens/*/small")
CALL = price("unit", {"amount": "0.5"}, target="tool.call")
EXECUTION = price("unit", {"amount": "0.01"}, target="orchestration.execution")
BOOK = PriceBook([LARGE, SMALL, CALL, EXECUTION])
REPRICER = Repricer(BOOK, lambda model, integration: None)
METERS = {"L": ("llm.tokens", "llm"), "T": ("tool.call", "tool_calls"), "X": ("orchestration.execution", "execution")}


def booked(place: int, kind: str, node: str, **given: Any) -> Booked:
    meter, category = METERS[kind]
    facts = EventData(
        node=node,
        agent=given.pop("agent", None),
        input_tokens=given.pop("tokens_in", 0),
        output_tokens=given.pop("tokens_out", 0),
    )
    tokens = (facts.input_tokens or 0, facts.output_tokens or 0)
    version = {"L": LARGE, "T": CALL, "X": EXECUTION}[kind]
    quantity = given.pop("quantity", 1)
    charged = {
        "L": (tokens[0] * 1000 + tokens[1] * 4000) * NANO // 10**6,
        "T": quantity * NANO // 2,
        "X": NANO // 100,
    }[kind]
    fields: dict[str, Any] = {
        "id": UUID(int=place + 1),
        "source": "test",
        "source_id": str(place),
        "type": meter,
        "meter": meter,
        "category": category,
        "slug": category,
        "status": None,
        "used_at": START + dt.timedelta(seconds=place),
        "booked_at": START,
        "facts": facts,
        "workflow_id": None,
        "agent_id": None,
        "connector_id": None,
        "tool_id": None,
        "language_model": "large" if kind == "L" else None,
        "integration": None,
        "quantity": sum(tokens) if kind == "L" else quantity,
        "tokens_in": tokens[0],
        "tokens_out": tokens[1],
        "credits": charged,
        "tool_runs": quantity * NANO if kind == "T" else 0,
        "provider_cost": None,
        "state": "priced",
        "price_version_id": version.id,
        "counter_before": None,
        "overdrawn": False,
        "over_budget": False,
        "reverses": None,
        "adjusts": None,
    }
    return Booked(**(fields | given))


def run_of(text: str) -> list[Booked]:
    """`L:a` a model call of node a by its agent, `T:a` a tool call of it, `X:a` its execution, `X:a!` a failed one.

    The n-th model call has n × 100 input tokens and n × 10 output tokens, so that each is known by its cost.
    """
    rows, calls = [], 0
    for place, word in enumerate(text.split()):
        kind, _, node = word.partition(":")
        failed, node = node.endswith("!"), node.rstrip("!")
        node, _, quantity = node.partition("*")
        given: dict[str, Any] = {"status": "error" if failed else "success"}
        if kind in "LT":
            given["agent"] = "agent"
        if kind == "L":
            calls += 1
            given |= {"tokens_in": 100 * calls, "tokens_out": 10 * calls}
        if quantity:
            given["quantity"] = int(quantity)
        rows.append(booked(place, kind, node, **given))
    return rows


def llm(*calls: tuple[int, int], rate: int = 1) -> int:
    """Nano-credits of model calls by input and output, each 10 and 100 tokens the n-th, by the large model's price."""
    return sum((100 * i * 1000 + 10 * o * 4000) * NANO // 10**6 for i, o in calls) * rate


def pulled(text: str, dropped: bool | None = None, **levers: Any) -> Outcome:
    return simulate([Run(tuple(uses_of(run_of(text))), dropped)], Levers(**levers), REPRICER)


def test_without_a_lever_nothing_changes() -> None:
    outcome = pulled("L:a T:a L:a X:a")
    assert (outcome.saved, outcome.dropped, outcome.repriced) == (Amounts(), 0, 0)
    assert outcome.before == Amounts(llm((1, 1), (2, 2)) + NANO // 2 + NANO // 100, NANO)


def test_another_model_prices_each_call_as_its_own() -> None:
    outcome = pulled("L:a T:a L:a X:a", language_model="small")
    assert outcome.after.credits == llm((1, 1), (2, 2)) // 10 + NANO // 2 + NANO // 100
    assert (outcome.dropped, outcome.repriced, outcome.unpriced) == (0, 2, 0)
    assert outcome.lines["llm"][1] == Amounts(llm((1, 1), (2, 2)) // 10)


def test_a_model_without_a_price_is_told() -> None:
    assert pulled("L:a", language_model="nobody's").unpriced == 1
    [call] = uses_of(run_of("L:a"))
    assert REPRICER.has_price(call, "small")
    assert not REPRICER.has_price(call, "nobody's")


@pytest.mark.parametrize(
    ("text", "steps", "left", "calls", "tools"),
    [
        ("L:a T:a L:a T:a L:a X:a", 2, "as it was", [(1, 1), (2, 2), (3, 3)], 2),
        ("L:a T:a L:a T:a L:a X:a", 1, "the second call answers", [(1, 1), (2, 3)], 1),
        ("L:a T:a L:a T:a L:a X:a", 0, "the first call answers", [(1, 3)], 0),
        ("L:a T:a T:a T:a L:a X:a", 1, "of several calls at once one is done", [(1, 1), (2, 2)], 1),
        ("L:a T:a T:a T:a L:a T:a L:a X:a", 2, "it is asked once more", [(1, 1), (2, 3)], 2),
        ("L:a T:a*5 L:a X:a", 2, "several calls in one event", [(1, 1), (2, 2)], 2),
        ("L:a T:a T:a X:a!", 1, "it never answered", [(1, 1)], 1),
        ("T:a T:a X:a", 1, "tools alone", [], 1),
        ("L:a T:a L:a X:a L:b T:b L:b X:b", 0, "each agent has its own steps", [(1, 2), (3, 4)], 0),
    ],
)
def test_fewer_steps(text: str, steps: int, left: str, calls: list[tuple[int, int]], tools: int) -> None:
    after = pulled(text, max_steps=steps).after
    executions = text.count("X") * NANO // 100
    assert after == Amounts(llm(*calls) + tools * NANO // 2 + executions, tools * NANO), left


@pytest.mark.parametrize(
    ("text", "said", "after"),
    [
        ("X:a X:f", None, "X:f"),
        ("X:a X:f X:b", None, "X:a X:f X:b"),
        ("X:a X:f X:b", True, "X:f"),  # another branch went on
        ("X:a X:f", False, "X:a X:f"),  # it let the record through and stands last
        ("X:a X:b", None, "X:a X:b"),
        ("L:a T:a L:a X:a X:f", None, "X:f"),
    ],
)
def test_a_filter_that_stands_first_leaves_only_itself_of_what_it_drops(
    text: str, said: bool | None, after: str
) -> None:
    outcome = pulled(text, said, filter_node="f")
    assert outcome.after == pulled(after).before
    assert outcome.dropped == len(text.split()) - len(after.split())


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("X:a! X:b X:c", "X:a!"),
        ("X:a X:b! L:c X:c", "X:a X:b!"),
        ("X:a! X:a X:b", "X:a! X:a X:b"),  # tried again, and well then
        ("X:a X:b X:c!", "X:a X:b X:c!"),
        ("X:a! X:a! X:b X:c!", "X:a! X:a!"),
    ],
)
def test_without_fallback_a_run_ends_at_the_first_node_that_failed_for_good(text: str, after: str) -> None:
    assert pulled(text, no_fallback=True).after == pulled(after).before


def test_levers_together_save_no_more_than_each_alone() -> None:
    text = "L:a T:a L:a T:a L:a X:a X:b! L:c X:c"
    both = pulled(text, max_steps=1, language_model="small", no_fallback=True)
    assert both.after.credits == llm((1, 1), (2, 3)) // 10 + NANO // 2 + 2 * NANO // 100
    alone = [pulled(text, **{name: value}).saved.credits for name, value in (("max_steps", 1), ("no_fallback", True))]
    assert max(alone) < both.saved.credits


@given(st.lists(st.sampled_from(["L:a", "T:a", "X:a", "X:a!", "X:f", "L:b", "T:b*3", "X:b!"]), max_size=14), st.data())
def test_dropping_work_never_costs_more_and_sums_hold(words: list[str], data: st.DataObject) -> None:
    levers = {
        "max_steps": data.draw(st.none() | st.integers(0, 4)),
        "filter_node": data.draw(st.none() | st.just("f")),
        "no_fallback": data.draw(st.booleans()),
    }
    rows = run_of(" ".join(words))
    outcome = simulate([Run(tuple(uses_of(rows)))], Levers(**levers), REPRICER)
    assert outcome.before == Amounts(sum(row.credits for row in rows), sum(row.tool_runs for row in rows))
    assert outcome.saved.tool_runs >= 0
    if levers["max_steps"] is None:
        assert outcome.saved.credits >= 0


def test_what_was_taken_back_stays_as_it_is() -> None:
    rows = run_of("L:a")
    back = booked(5, "L", "a", reverses=rows[0].id, credits=-rows[0].credits, used_at=rows[0].used_at)
    uses = uses_of([*rows, back])
    outcome = simulate([Run(tuple(uses))], Levers(language_model="small"), REPRICER)
    assert (outcome.before, outcome.after, outcome.repriced) == (Amounts(), Amounts(), 0)


def test_a_late_price_is_part_of_its_call_and_prices_it_otherwise_too() -> None:
    [call] = run_of("L:a")
    unpriced = booked(0, "L", "a", tokens_in=100, tokens_out=10, credits=0, state="unpriced", price_version_id=None)
    late = booked(5, "L", "a", adjusts=unpriced.id, credits=call.credits, used_at=call.used_at)
    uses = uses_of([unpriced, late])
    assert [(used.credits, used.is_unpriced) for used in uses] == [(call.credits, False)]
    outcome = simulate([Run(tuple(uses))], Levers(language_model="small"), REPRICER)
    assert outcome.after.credits == call.credits // 10


def test_uses_keep_every_row_once_whatever_takes_what_back() -> None:
    rows = run_of("L:a T:a")
    late = booked(7, "L", "a", adjusts=rows[0].id)
    back = booked(8, "L", "a", reverses=late.id)
    stray = booked(9, "L", "a", reverses=UUID(int=999))
    uses = uses_of([back, stray, *rows, late])
    assert sorted(row.id for used in uses for row in used.every) == sorted(row.id for row in (*rows, late, back, stray))
    assert [len(used.later) for used in uses] == [2, 0, 0]
    assert isinstance(uses[0], Used)
    assert Decimal(uses[0].event.quantity) == 110
