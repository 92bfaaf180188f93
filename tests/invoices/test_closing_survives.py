"""A period is closed and its invoice issued exactly once, though whoever does it dies at any step or meets another."""

import asyncio
import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.billing.invoices import new_line
from tallystick.flows import due, invoicing, issuing
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Database
from tests import bills, make
from tests.flows.test_running_survives import DiedError, dying_at
from tests.invoices import closings
from tests.invoices.closings import BIRTH, HOUR, at, charge
from tests.make import IDS

END = at(2, 28, 9, 30)


async def _used(database: Database) -> UUID:
    """A contract with usage beyond its credits: everything that a period's end can bring."""
    await make.catalog(database, BIRTH)
    workspace_id = await closings.contract(database, included_credits=10 * NANO, price_minor=5_000)
    await make.Meter(database).report(workspace_id, charge("a", "25", at(2, 3), agent="Ada"), now=at(2, 3))
    return workspace_id


async def _dying(work: Any) -> int:
    """Let it die at each of its statements in turn, until it gets through; how often it died."""
    for statement in range(1, 200):
        with dying_at(statement):
            try:
                await work()
            except DiedError:
                continue
            return statement - 1
    raise AssertionError("it never got through")


async def test_closing_and_issuing_die_at_every_statement_and_are_done_once(database: Database) -> None:
    workspace_id = await _used(database)
    assert await _dying(lambda: due.bring_up(database, workspace_id, now=END + HOUR, ids=IDS)) > 10
    [draft] = await make.rows(database, "SELECT id FROM invoice WHERE workspace_id = %s", workspace_id)
    billing = bills.billing(invoice_series="DIE")
    died = await _dying(
        lambda: issuing.issue_draft(database, billing, workspace_id, draft["id"], now=END + HOUR, ids=IDS)
    )
    assert died > 10
    [issued] = await make.rows(database, "SELECT * FROM invoice WHERE workspace_id = %s", workspace_id)
    assert (issued["number"], issued["net_minor"]) == ("DIE-000001", 5_000 + 15)
    told = await bills.facts_of(database, workspace_id)
    assert (told.count("invoice.issued"), told.count("subscription.renewed")) == (1, 1)
    assert await make.differences(database, workspace_id) == []


async def test_many_workers_at_one_period_make_one_invoice(database: Database) -> None:
    workspace_id = await _used(database)
    now = END + HOUR

    async def worker() -> None:
        await closings.issue_due(database, workspace_id, now)

    await asyncio.gather(*(worker() for _ in range(6)))
    rows = await make.rows(database, "SELECT number, status FROM invoice WHERE workspace_id = %s", workspace_id)
    assert [row["status"] for row in rows] == ["issued"]
    assert await make.differences(database, workspace_id) == []


async def test_numbers_have_no_gap_and_no_double_though_many_issue_at_once_and_some_fail(database: Database) -> None:
    billing = bills.billing(invoice_series="GAP")
    workspaces = [await make.bare_workspace(database, BIRTH) for _ in range(12)]

    async def issue(place: int) -> None:
        async def work(conn: Connection) -> None:
            books = await due.lock(conn, {workspaces[place]}, now=BIRTH, ids=IDS)
            assert books
            lines = [new_line("custom", "Work", 100 + place)]
            await invoicing.issue_now(conn, billing, workspaces[place], "custom", lines, now=BIRTH, ids=IDS)
            await asyncio.sleep(0.001)
            if place % 3 == 0:
                raise TallystickError("broken", "The number was taken, and nothing came of it.")

        await database.run(work)

    results = await asyncio.gather(*(issue(place) for place in range(12)), return_exceptions=True)
    assert sum(isinstance(result, TallystickError) for result in results) == 4
    rows = await make.rows(database, "SELECT number FROM invoice WHERE series = 'GAP' ORDER BY number")
    assert [row["number"] for row in rows] == [f"GAP-{number:06d}" for number in range(1, 9)]


async def test_a_year_that_nobody_looked_at_is_invoiced_period_by_period(database: Database) -> None:
    """The server was down from February on: the same invoices as if it had been up, each in its turn."""
    workspace_id = await _used(database)
    late = dt.datetime(2027, 1, 31, 12, tzinfo=dt.UTC)
    issued = await closings.issue_due(database, workspace_id, late)
    assert len(issued) == 12
    assert [invoice.period_end for invoice in issued][:3] == [END, at(3, 31, 9, 30), at(4, 30, 9, 30)]
    assert [invoice.net_minor for invoice in issued] == [5_015] + [5_000] * 11
    numbers = [invoice.number for invoice in issued]
    assert numbers == sorted(numbers, key=str)
    assert await make.differences(database, workspace_id) == []


async def test_a_workspace_has_one_currency(database: Database) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH)
    billing = bills.billing()
    lines = [new_line("custom", "Work", 100)]

    async def issue(currency: str) -> None:
        async def work(conn: Connection) -> None:
            await invoicing.issue_now(
                conn, billing, workspace_id, "custom", lines, now=BIRTH, ids=IDS, currency=currency
            )

        await database.run(work)

    await issue("eur")
    with pytest.raises(TallystickError) as refused:
        await issue("usd")
    assert (refused.value.code, refused.value.details["expected"]) == ("currencyMismatch", "eur")
    await issue("eur")
