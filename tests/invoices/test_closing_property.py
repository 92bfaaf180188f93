"""However usage comes, late, corrected or taken back across periods: Σ invoices + open = Σ charges (rule M28)."""

import datetime as dt
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.flows.batches import Batch
from tallystick.flows.ingest import IngestLimits
from tallystick.flows.names import Item
from tallystick.kernel.periods import period_of
from tallystick.store.database import Database
from tests import make
from tests.invoices import closings
from tests.invoices.closings import BIRTH, charge

MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
# Around the margins and edges that a partition could slip on, and far from them.
PASSES = (MINUTE, 4 * MINUTE, 6 * MINUTE, 50 * MINUTE, HOUR, 7 * HOUR, 3 * DAY, 11 * DAY, 27 * DAY)
AGES = (0 * DAY, 10 * MINUTE, 44 * MINUTE, 46 * MINUTE, HOUR, 26 * HOUR, 9 * DAY, 31 * DAY, 65 * DAY)

reports = st.tuples(
    st.just("report"),
    st.sampled_from(PASSES),
    st.sampled_from(AGES),
    st.integers(1, 50),
    st.sampled_from(["Ada", "Bob", None]),
)
corrections = st.tuples(st.just("cancel"), st.sampled_from(PASSES[:5]), st.integers(0, 30))
# Some look at the clock at once after a period's end, some an hour after it: then its invoice is issued.
turns = st.tuples(st.just("issue"), st.sampled_from([0 * DAY, 54 * MINUTE, HOUR, 2 * DAY]))
steps = st.lists(st.one_of(reports, reports, turns, corrections), min_size=10, max_size=24)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, enterprise=st.booleans())
async def test_every_charge_is_on_one_invoice_or_still_open(
    database: Database, steps: list[Any], enterprise: bool
) -> None:
    await make.catalog(database, BIRTH)
    # Hours of usage that comes very late are not kept.
    meter = make.Meter(database, IngestLimits(hourly_days=1_000))
    if enterprise:
        workspace_id = await closings.contract(database, included_credits=10**10, price_minor=1_000)
    else:
        workspace_id = await make.bare_workspace(database, BIRTH, plan="pro")
    now, known = BIRTH, list[str]()
    for number, step in enumerate(steps):
        if step[0] == "report":
            _, passes, age, amount, agent = step
            now += passes
            data = {} if agent is None else {"agent": agent}
            own_id = f"e{number}"
            await meter.report(workspace_id, charge(own_id, str(amount), now - age, **data), now=now)
            known.append(own_id)
        elif step[0] == "cancel":
            now += step[1]
            if known:
                await meter.book(_cancellation(workspace_id, known[step[2] % len(known)], f"c{number}", now))
        else:
            now = max(now, _next_end(now)) + step[1]
            await closings.issue_due(database, workspace_id, now)
    await closings.issue_due(database, workspace_id, now + dt.timedelta(days=1))
    [total] = await make.rows(
        database, "SELECT coalesce(sum(credits), 0) AS n FROM usage_event WHERE workspace_id = %s", workspace_id
    )
    [listed] = await make.rows(
        database, "SELECT coalesce(sum(credits), 0) AS n FROM invoice_usage WHERE workspace_id = %s", workspace_id
    )
    assert listed["n"] + await _open(database, workspace_id) == total["n"]
    assert await make.differences(database, workspace_id) == []


def _next_end(now: dt.datetime) -> dt.datetime:
    """The end of the billing period of an instant."""
    return period_of(BIRTH, "monthly", "UTC", now).end


async def _open(database: Database, workspace_id: UUID) -> int:
    """The charges that no invoice lists, one by one: after every watermark, or of a period that has no invoice yet."""
    marks = await make.rows(
        database,
        "SELECT charged_through AS through, period_end AS until FROM invoice"
        " WHERE workspace_id = %s AND charged_through IS NOT NULL",
        workspace_id,
    )
    rows = await make.rows(
        database, "SELECT id, used_at, credits FROM usage_event WHERE workspace_id = %s", workspace_id
    )
    return sum(
        row["credits"]
        for row in rows
        if not any(row["id"] <= mark["through"] and row["used_at"] < mark["until"] for mark in marks)
    )


def _cancellation(workspace_id: UUID, target: str, own_id: str, now: dt.datetime) -> Batch:
    return Batch([Item(workspace_id, make.cancellation(own_id, "test", target, workspace_id, now))], now)
