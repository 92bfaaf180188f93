"""Booking usage events through the flow and PostgreSQL: exactly once, priced, debited, rolled up, corrected."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tallystick.flows import prices
from tallystick.flows.batches import Outcome
from tallystick.flows.ingest import IngestLimits
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make
from tests.make import IDS, Meter

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
EXECUTION = {"type": "orchestration.execution", "workflow": "wf", "status": "success"}


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, T0 - 400 * DAY)
    return database


@pytest.fixture
def meter(priced: Database) -> Meter:
    return Meter(priced)


@pytest.fixture
async def workspace(priced: Database) -> UUID:
    workspace_id = await make.bare_workspace(priced, T0 - 10 * DAY)
    await make.grant(priced, workspace_id, 75, T0 - 10 * DAY)
    await make.grant(priced, workspace_id, 100, T0 - 10 * DAY, unit="tool_runs")
    return workspace_id


async def figures(database: Database, workspace_id: UUID) -> dict[str, Any]:
    """What every layer says, after checking that they agree."""
    [events] = await make.rows(
        database,
        "SELECT count(*) AS n, coalesce(sum(credits), 0)::bigint AS credits, "
        "coalesce(sum(tool_runs), 0)::bigint AS tool_runs FROM usage_event WHERE workspace_id = %s",
        workspace_id,
    )
    for table in ("rollup_daily", "rollup_hourly"):
        [sums] = await make.rows(
            database,
            f"SELECT coalesce(sum(credits), 0)::bigint AS credits, coalesce(sum(tool_runs), 0)::bigint AS tool_runs "
            f"FROM {table} WHERE workspace_id = %s",
            workspace_id,
        )
        assert sums == {"credits": events["credits"], "tool_runs": events["tool_runs"]}, table
    [sums] = await make.rows(
        database,
        "SELECT coalesce(sum(credits), 0)::bigint AS credits FROM rollup_workflow WHERE workspace_id = %s",
        workspace_id,
    )
    assert sums == {"credits": events["credits"]}
    balances = await make.rows(database, "SELECT * FROM balance WHERE workspace_id = %s ORDER BY unit", workspace_id)
    for row in balances:
        assert row["used"] == events[row["unit"]]
        [entries] = await make.rows(
            database,
            "SELECT coalesce(sum(amount), 0)::bigint AS total, "
            "coalesce(sum(amount) FILTER (WHERE account = 'usage'), 0)::bigint AS used "
            "FROM ledger_entry WHERE workspace_id = %s AND unit = %s",
            workspace_id,
            row["unit"],
        )
        assert entries == {"total": 0, "used": row["used"]}
    return {"events": events["n"], "credits": balances[0]["posted"], "tool_runs": balances[1]["posted"]}


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.error.code if outcome.error else outcome.kind for outcome in outcomes]


async def test_an_event_becomes_an_exact_debit(meter: Meter, workspace: UUID) -> None:
    report = {
        "type": "llm.tokens",
        "id": "e1",
        "model": "gpt-4o-mini",
        "agent": "a",
        "workflow": "w",
        "inputTokens": 1204,
        "cachedInputTokens": 1024,
        "outputTokens": 310,
    }
    [outcome] = await meter.report(workspace, report, now=T0)
    # US$0.15, 0.075 and 0.60 a million: (180 × 0.15 + 1024 × 0.075 + 310 × 0.60) / 10⁶ × 100 credits.
    assert outcome == Outcome("accepted", credits=28_980_000)
    assert await figures(meter.database, workspace) == {
        "events": 1,
        "credits": 75 * NANO - 28_980_000,
        "tool_runs": 100 * NANO,
    }


async def test_the_same_event_again_changes_nothing_whatever_its_time(meter: Meter, workspace: UUID) -> None:
    report = EXECUTION | {"id": "e1"}
    first = await meter.report(workspace, report, report, now=T0)
    again = await meter.report(workspace, report | {"at": T0 - 3 * DAY}, now=T0)
    assert kinds(first) == ["accepted", "duplicate"]
    assert kinds(again) == ["duplicate"]
    assert (await figures(meter.database, workspace))["events"] == 1


async def test_the_same_identity_with_other_content_is_a_conflict(meter: Meter, workspace: UUID) -> None:
    report = EXECUTION | {"id": "e1"}
    await meter.report(workspace, report, now=T0)
    outcomes = await meter.report(workspace, report | {"status": "error"}, report, EXECUTION | {"id": "e2"}, now=T0)
    assert kinds(outcomes) == ["conflict", "duplicate", "accepted"]
    assert (await figures(meter.database, workspace))["credits"] == 75 * NANO - 20_000_000


async def test_the_same_id_of_another_source_or_workspace_is_another_event(meter: Meter, workspace: UUID) -> None:
    other = await make.bare_workspace(meter.database, T0 - DAY)
    report = EXECUTION | {"id": "e1"}
    outcomes = await meter.report(workspace, report, report | {"from_": "elsewhere"}, now=T0)
    assert kinds(outcomes + await meter.report(other, report, now=T0)) == ["accepted"] * 3


async def test_usage_beyond_the_money_is_booked_and_flagged(meter: Meter, workspace: UUID) -> None:
    await meter.report(
        workspace,
        {"type": "direct.charge", "id": "1", "quantity": "70"},
        {"type": "direct.charge", "id": "2", "quantity": "6.5"},
        now=T0,
    )
    found = await make.rows(
        meter.database, "SELECT overdrawn FROM usage_event WHERE workspace_id = %s ORDER BY source_id", workspace
    )
    assert [row["overdrawn"] for row in found] == [False, True]
    assert (await figures(meter.database, workspace))["credits"] == -1_500_000_000


async def test_a_tool_call_takes_tool_runs_and_its_connectors_price(meter: Meter, workspace: UUID) -> None:
    await prices.add_version(
        meter.database,
        target="tool.call/integration:hubspot/enrich",
        model="unit",
        rates={"amount": "0.5"},
        now=T0 - DAY,
        ids=IDS,
        actor="test",
    )
    call = {"type": "tool.call", "integration": "hubspot", "action": "enrich", "connector": "crm", "quantity": 3}
    outcomes = await meter.report(workspace, call | {"id": "1"}, call | {"id": "2", "action": "other"}, now=T0)
    assert [outcome.credits for outcome in outcomes] == [1_500_000_000, 0]
    found = await figures(meter.database, workspace)
    assert (found["credits"], found["tool_runs"]) == (75 * NANO - 1_500_000_000, 94 * NANO)
    slugs = await make.rows(
        meter.database, "SELECT slug FROM rollup_daily WHERE workspace_id = %s ORDER BY slug", workspace
    )
    assert [row["slug"] for row in slugs] == [
        "integration.hubspot.action.enrich",
        "integration.hubspot.action.other",
    ]


async def test_a_connector_with_its_own_key_is_not_charged_from_the_moment_it_says_so(
    meter: Meter, workspace: UUID
) -> None:
    call = {"type": "llm.tokens", "model": "gpt-4o", "inputTokens": 1000, "connector": "mine"}
    [before] = await meter.report(workspace, call | {"id": "1"}, now=T0)
    async with meter.database.data() as conn:
        await conn.execute(
            "UPDATE resource SET attributes = '{\"useCredits\": false}' WHERE workspace_id = %s AND kind = 'connector'",
            [workspace],
        )
        await conn.execute("UPDATE balance SET resources_no = resources_no + 1 WHERE workspace_id = %s", [workspace])
    [after] = await meter.report(workspace, call | {"id": "2"}, now=T0)
    assert (before.credits, after.credits) == (250_000_000, 0)
    states = await make.rows(
        meter.database, "SELECT state FROM usage_event WHERE workspace_id = %s ORDER BY source_id", workspace
    )
    assert [row["state"] for row in states] == ["priced", "waived"]


async def test_an_unknown_model_is_counted_as_unpriced(meter: Meter, workspace: UUID) -> None:
    report = {"type": "llm.tokens", "id": "1", "model": "in-house-7b", "inputTokens": 10, "outputTokens": 1}
    [outcome] = await meter.report(workspace, report, now=T0)
    assert outcome == Outcome("accepted", 0)
    [row] = await make.rows(meter.database, "SELECT * FROM rollup_daily WHERE workspace_id = %s", workspace)
    assert (row["unpriced"], row["tokens_in"], row["credits"]) == (1, 10, 0)


@pytest.mark.parametrize("together", [True, False])
async def test_a_cancelled_event_is_taken_back_on_the_day_of_use(meter: Meter, workspace: UUID, together: bool) -> None:
    event = EXECUTION | {"id": "e1", "quantity": 100, "at": T0 - 2 * DAY}
    cancel = {"type": "event.cancelled", "id": "c1", "source": "test", "reason": "wrong"}
    # `id` of the report is the cancellation's own; the target's stands in data.
    batch = make.Batch(
        [
            make.Item(workspace, make.event_of(event, workspace, T0)),
            make.Item(workspace, make.cancellation("c1", "test", "e1", workspace, T0)),
        ],
        T0,
    )
    assert cancel["type"] == batch.items[1].event.type
    halves = [batch] if together else [make.Batch([item], T0) for item in batch.items]
    for half in halves:
        await meter.book(half)
    assert [o.kind for half in halves for o in half.outcomes if o] == ["accepted", "accepted"]
    assert (await figures(meter.database, workspace))["credits"] == 75 * NANO
    days = await make.rows(meter.database, "SELECT * FROM rollup_daily WHERE workspace_id = %s", workspace)
    assert [(row["day"], row["events"], row["credits"]) for row in days] == [((T0 - 2 * DAY).date(), 0, 0)]

    again = make.Batch([make.Item(workspace, make.cancellation("c2", "test", "e1", workspace, T0))], T0)
    await meter.book(again)
    unknown = make.Batch([make.Item(workspace, make.cancellation("c3", "test", "e9", workspace, T0))], T0)
    await meter.book(unknown)
    assert kinds([o for o in again.outcomes + unknown.outcomes if o]) == ["duplicate", "eventNotFound"]


async def test_a_replacement_books_the_difference(meter: Meter, workspace: UUID) -> None:
    await meter.report(workspace, EXECUTION | {"id": "e1", "quantity": 100}, now=T0)
    replacing = EXECUTION | {"id": "e2", "quantity": 30, "replaces": {"source": "test", "id": "e1"}}
    [outcome] = await meter.report(workspace, replacing, now=T0 + DAY)
    assert outcome == Outcome("accepted", -700_000_000)
    assert (await figures(meter.database, workspace))["credits"] == 75 * NANO - 300_000_000
    third = EXECUTION | {"id": "e3", "quantity": 1, "replaces": {"source": "test", "id": "e1"}}
    outcomes = await meter.report(workspace, replacing, third, now=T0 + DAY)
    assert kinds(outcomes) == ["duplicate", "alreadyCorrected"]


async def test_a_return_refills_the_grant_that_would_burn_last(meter: Meter, workspace: UUID) -> None:
    await make.grant(meter.database, workspace, 10, T0, source="purchase")
    await meter.report(workspace, {"type": "direct.charge", "id": "1", "quantity": 80}, now=T0)
    await meter.book(make.Batch([make.Item(workspace, make.cancellation("c", "test", "1", workspace, T0))], T0))
    left = await make.rows(
        meter.database,
        "SELECT source, remaining FROM credit_grant WHERE workspace_id = %s AND unit = 'credits' ORDER BY priority",
        workspace,
    )
    assert [(row["source"], row["remaining"]) for row in left] == [("promotion", 75 * NANO), ("purchase", 10 * NANO)]


async def test_a_return_after_its_grant_expired_becomes_an_adjustment_of_the_period(
    meter: Meter, priced: Database
) -> None:
    workspace = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace, 5, T0, expires_at=T0 + DAY)
    await meter.report(workspace, {"type": "direct.charge", "id": "1", "quantity": 5}, now=T0)
    cancel = make.cancellation("c", "test", "1", workspace, T0 + 2 * DAY)
    await meter.book(make.Batch([make.Item(workspace, cancel)], T0 + 2 * DAY))
    [grant] = await make.rows(
        priced, "SELECT * FROM credit_grant WHERE workspace_id = %s AND source = 'adjustment'", workspace
    )
    assert (grant["remaining"], grant["expires_at"]) == (5 * NANO, dt.datetime(2026, 4, 2, 10, tzinfo=dt.UTC))
    assert (await figures(priced, workspace))["credits"] == 5 * NANO


async def test_tiers_fill_over_the_billing_period_however_events_are_split(meter: Meter, workspace: UUID) -> None:
    await prices.add_meter(
        meter.database,
        make.operator_meter(f"search.q{workspace.hex[:8]}"),
        now=T0,
        ids=IDS,
        actor="test",
    )
    kind = f"search.q{workspace.hex[:8]}"
    await prices.add_version(
        meter.database,
        target=kind,
        model="graduated",
        rates={"tiers": [{"upTo": 10, "amount": "1"}, {"upTo": None, "amount": "0.5"}]},
        now=T0 - 90 * DAY,
        ids=IDS,
        actor="test",
    )
    await meter.report(workspace, {"type": kind, "id": "1", "quantity": 8}, now=T0)
    [second] = await meter.report(workspace, {"type": kind, "id": "2", "quantity": "4.5"}, now=T0)
    assert second.credits == 3_250_000_000
    await meter.book(make.Batch([make.Item(workspace, make.cancellation("c", "test", "1", workspace, T0))], T0))
    assert (await figures(meter.database, workspace))["credits"] == 75 * NANO - 4_500_000_000
    [counter] = await make.rows(meter.database, "SELECT * FROM price_counter WHERE workspace_id = %s", workspace)
    assert counter["quantity"] == Decimal("4.5")


async def test_imported_usage_before_birth_is_covered_and_leaves_the_balance_alone(
    meter: Meter, workspace: UUID
) -> None:
    old = {"type": "direct.charge", "id": "1", "quantity": 500, "at": T0 - 300 * DAY}
    young = {"type": "direct.charge", "id": "2", "quantity": 5, "at": T0 - DAY}
    await meter.report(workspace, old, young, now=T0, history="file-1")
    await meter.report(workspace, old | {"id": "3"}, now=T0, history="file-1")
    [balance, _] = await make.rows(
        meter.database, "SELECT * FROM balance WHERE workspace_id = %s ORDER BY unit", workspace
    )
    assert (balance["posted"], balance["allocation"], balance["overdraft"]) == (70 * NANO, 75 * NANO, 0)
    [history] = await make.rows(
        meter.database, "SELECT * FROM credit_grant WHERE workspace_id = %s AND source = 'history'", workspace
    )
    assert (history["amount"], history["remaining"]) == (1000 * NANO, 0)
    await meter.book(make.Batch([make.Item(workspace, make.cancellation("c", "test", "1", workspace, T0))], T0))
    [history] = await make.rows(
        meter.database, "SELECT * FROM credit_grant WHERE workspace_id = %s AND source = 'history'", workspace
    )
    assert history["amount"] == 500 * NANO
    assert (await make.rows(meter.database, "SELECT posted FROM balance WHERE workspace_id = %s", workspace))[0][
        "posted"
    ] in (70 * NANO, 100 * NANO)


async def test_one_resource_too_many_is_rejected_and_its_identity_stays_free(priced: Database, workspace: UUID) -> None:
    meter = Meter(priced, IngestLimits(resources_max=2))
    outcomes = await meter.report(workspace, *(EXECUTION | {"id": f"{n}", "agent": f"a{n}"} for n in range(3)), now=T0)
    assert kinds(outcomes) == ["accepted", "accepted", "tooManyResources"]
    wider = Meter(priced)
    outcomes = await wider.report(workspace, EXECUTION | {"id": "2", "agent": "a2"}, now=T0)
    assert kinds(outcomes) == ["accepted"]
    resources = await make.rows(
        priced, "SELECT key FROM resource WHERE workspace_id = %s AND kind = 'agent'", workspace
    )
    assert sorted(row["key"] for row in resources) == ["a0", "a1", "a2"]


async def test_a_renewal_that_is_due_happens_before_the_debit(meter: Meter, priced: Database) -> None:
    workspace = await make.bare_workspace(priced, T0, plan="pro")
    await meter.report(workspace, {"type": "direct.charge", "id": "1", "quantity": 9_999}, now=T0)
    later = dt.datetime(2026, 4, 2, 10, 0, tzinfo=dt.UTC)
    await meter.report(workspace, {"type": "direct.charge", "id": "2", "quantity": 2}, now=later)
    assert (await figures(priced, workspace))["credits"] == 9_998 * NANO
