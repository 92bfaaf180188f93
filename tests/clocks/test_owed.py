"""What money owed asks for happens at its instant, however a clock is moved and wherever it is cut off (bar R7)."""

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tallystick.flows import clocks
from tallystick.store.database import Database
from tests import bills, make
from tests.bills import CARD, CardHouse
from tests.clocks.conftest import Era, Eras
from tests.clocks.test_clock import CutError, fragile
from tests.make import IDS

__all__ = ["fragile"]

DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
GROSS = 11_781
"""What a month of Pro costs with tax."""

Mover = Callable[[Era, dt.datetime], Awaitable[None]]


async def in_one_move(era: Era, to: dt.datetime) -> None:
    await era.to(to)


def by(step: dt.timedelta) -> Mover:
    async def move(era: Era, to: dt.datetime) -> None:
        shown = await era.owner.get("/v1/workspaceManagement/workspaces/current")
        at = dt.datetime.fromisoformat(shown.json()["workspace"]["clock"])
        while at < to:
            at = await era.to(min(at + step, to))

    return move


async def told(era: Era) -> dict[str, list[dict[str, Any]]]:
    """All that there is of money, without ids and numbers."""
    queries = {
        "invoices": "SELECT purpose, status, period_start, period_end, issued_at, due_at, paid_at, closed_at,"
        " total_minor, paid_minor, attempts, next_at FROM invoice WHERE workspace_id = %s"
        " ORDER BY created_at, period_start",
        "payments": "SELECT status, amount_minor, created_at, finished_at FROM payment WHERE workspace_id = %s"
        " ORDER BY created_at",
        "facts": "SELECT kind, at FROM fact WHERE workspace_id = %s AND kind ~ '^(sub|inv|pay)' ORDER BY at, kind",
        "subscription": "SELECT status, anchor_at, past_due_since FROM subscription WHERE workspace_id = %s ORDER BY 2",
        "periods": "SELECT starts_at, ends_at, is_idle FROM billing_period WHERE workspace_id = %s ORDER BY starts_at",
    }
    return {name: await make.rows(era.runtime.database, query, era.uuid) for name, query in queries.items()}


@pytest.fixture
def failing(eras: Eras) -> CardHouse:
    """The bank declines every card from now on; afterwards it doesn't."""
    house = eras.billing.providers["stripe"]
    assert isinstance(house, CardHouse)
    return house


BORN = [
    ("UTC", "2024-01-31T10:30:00Z"),
    ("Europe/Berlin", "2024-02-29T22:30:00Z"),
    ("America/New_York", "2024-10-31T05:00:00Z"),
    ("Asia/Kathmandu", "2024-12-31T18:15:00Z"),
    ("Pacific/Apia", "2011-11-30T10:30:00Z"),
]


@pytest.mark.parametrize(("zone", "born"), BORN)
async def test_however_a_clock_is_moved_the_same_is_owed_told_and_stopped_at_the_same_instants(
    eras: Eras, failing: CardHouse, zone: str, born: str
) -> None:
    at = dt.datetime.fromisoformat(born)
    seen = []
    for move in (in_one_move, by(9 * DAY), by(67 * HOUR)):
        failing.declines.clear()
        era = await eras.born(at, plan="pro", zone=zone)
        await move(era, at + 40 * DAY)
        failing.declines.add(CARD.id)
        await move(era, at + 85 * DAY)
        failing.declines.clear()
        seen.append(await told(era))
        assert await make.differences(eras.database, era.uuid) == []
    assert seen[0] == seen[1] == seen[2]
    kinds = [one["kind"] for one in seen[0]["facts"]]
    assert kinds.count("payment.failed") == 5
    assert kinds.count("subscription.past_due") == 1
    [first, second, *_] = seen[0]["invoices"]
    # To the microsecond: an hour after the period, and collected at once.
    assert first["issued_at"] == first["period_end"] + HOUR == first["paid_at"]
    assert second["issued_at"] == second["period_end"] + HOUR == second["due_at"]
    failures = [one["at"] for one in seen[0]["facts"] if one["kind"] == "payment.failed"]
    [stop] = [one["at"] for one in seen[0]["facts"] if one["kind"] == "subscription.past_due"]
    assert failures[0] == second["issued_at"]
    local = [(instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for instant in (*failures, stop)]
    if zone != "Pacific/Apia":
        assert [(one - local[0]) / DAY for one in local] == [0, 1, 3, 5, 7, 14]


def check_is_alike(found: dict[str, list[dict[str, Any]]], expected: dict[str, list[dict[str, Any]]]) -> None:
    """The same but for the minutes after which an attempt is looked at that was perhaps made and perhaps not."""
    assert {name: len(rows) for name, rows in found.items()} == {name: len(rows) for name, rows in expected.items()}
    for name, rows in found.items():
        for one, other in zip(rows, expected[name], strict=True):
            for key, value in one.items():
                if isinstance(value, dt.datetime):
                    assert dt.timedelta(0) <= value - other[key] <= dt.timedelta(minutes=20), (name, key)
                else:
                    assert value == other[key], (name, key)


async def test_a_move_that_is_cut_off_anywhere_charges_nobody_twice_and_ends_the_same(
    eras: Eras, failing: CardHouse, fragile: Callable[[int], Database]
) -> None:
    born = dt.datetime(2024, 1, 31, 10, 30, tzinfo=dt.UTC)
    to = born + 75 * DAY
    whole = await eras.born(born, plan="pro")
    await whole.to(to)
    expected = await told(whole)
    assert [one["status"] for one in expected["invoices"]] == ["paid", "paid"]
    for transactions in (1, 2, 3, 5, 8, 13, 21, 34):
        taken, cut = failing.taken, await eras.born(born, plan="pro")
        for _ in range(3):
            try:
                await clocks.advance(fragile(transactions), eras.billing, cut.uuid, to, actor="test", ids=IDS)
            except CutError:
                assert await make.differences(eras.database, cut.uuid) == []
        assert await cut.to(to) == to
        check_is_alike(await told(cut), expected)
        assert failing.taken - taken == 2 * GROSS


async def test_a_clock_that_is_moved_while_the_provider_is_down_collects_when_it_is_back(
    eras: Eras, failing: CardHouse
) -> None:
    born = dt.datetime(2024, 1, 31, 10, 30, tzinfo=dt.UTC)
    era = await eras.born(born, plan="pro")
    failing.is_down = True
    await era.to(born + 32 * DAY)
    assert await bills.facts_of(eras.database, era.uuid) != []
    [invoice] = (await told(era))["invoices"]
    assert (invoice["status"], invoice["paid_minor"]) == ("issued", 0)
    failing.is_down = False
    taken = failing.taken
    await era.to(born + 33 * DAY)
    [invoice] = (await told(era))["invoices"]
    assert (invoice["status"], failing.taken - taken) == ("paid", GROSS)


async def test_where_a_clock_stands_what_was_cut_off_is_made_up_for_by_the_same_call(
    eras: Eras, failing: CardHouse, fragile: Callable[[int], Database]
) -> None:
    born = dt.datetime(2024, 1, 31, 10, 30, tzinfo=dt.UTC)
    issued = dt.datetime(2024, 2, 29, 11, 30, tzinfo=dt.UTC)
    era = await eras.born(born, plan="pro")
    await era.to(issued - HOUR)
    # The clock moves, and the process dies before the invoice is issued.
    with pytest.raises(CutError):
        await clocks.advance(fragile(2), eras.billing, era.uuid, issued, actor="test", ids=IDS)
    assert [one["status"] for one in (await told(era))["invoices"]] == ["draft"]
    await era.to(issued)
    assert [one["status"] for one in (await told(era))["invoices"]] == ["paid"]
