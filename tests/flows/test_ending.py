"""Closing a workspace (rule M30): refuse, void, stop, the last invoice, what was bought, and what is personal."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.credits.holds import Amounts, Scope
from tallystick.flows import buying, ending, profiles
from tallystick.flows.batches import Batch
from tallystick.flows.holding import Place
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import bills, deploying, make
from tests.bills import author
from tests.flows.test_lifecycle import PRO, Shop, shop, use, verified
from tests.make import IDS

T0 = dt.datetime(2026, 3, 10, 9, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


async def closed(one: Shop, bought: Any = "forfeit") -> ending.Closed:
    return await ending.close_workspace(
        one.database, one.billing, author(one.id, one.now), bought=bought, reason="asked for", real=one.now
    )


async def test_closing_ends_everything_and_keeps_ledger_and_invoices(database: Database) -> None:
    one = await shop(database)
    await one.card()
    await one.change(PRO)
    await make.grant(database, one.id, 500, one.now, source="purchase")
    await use(one, 100)
    await one.to(T0 + 3 * DAY)
    made = await closed(one)
    assert made.forfeited == 500 * NANO
    rows = await make.rows(database, "SELECT posted, held, due_at FROM balance WHERE workspace_id = %s", one.id)
    assert [(row["posted"], row["held"], row["due_at"]) for row in rows] == [(0, 0, None), (0, 0, None)]
    [sub] = await make.rows(database, "SELECT status, ended_at FROM subscription WHERE workspace_id = %s", one.id)
    assert (sub["status"], sub["ended_at"]) == ("canceled", one.now)
    assert "workspace.closed" in await bills.facts_of(database, one.id)
    assert [line[0] for line in await one.lines()] == ["change", "closing"]
    assert await make.differences(database, one.id) == []
    with pytest.raises(TallystickError) as refused:
        await closed(one)
    assert refused.value.code in ("workspaceNotFound", "subscriptionNotFound")


async def test_the_last_invoice_lists_what_was_used(database: Database) -> None:
    meter = make.Meter(database)
    await make.catalog(database, T0)
    one = await shop(database)
    await make.grant(database, one.id, 500, one.now)
    await meter.report(one.id, {"type": "orchestration.execution", "id": "e1"}, now=T0 + DAY)
    await one.to(T0 + 3 * DAY)
    made = await closed(one)
    assert made.invoice_id is not None
    [row] = await make.rows(
        database, "SELECT purpose, status, total_minor, number FROM invoice WHERE workspace_id = %s", one.id
    )
    assert (row["purpose"], row["status"], row["total_minor"], row["number"] is None) == ("closing", "paid", 0, False)
    assert await make.differences(database, one.id) == []


async def test_personal_data_is_blanked_after_its_days_and_not_before(database: Database) -> None:
    one = await shop(database)
    email = f"{IDS.secret()[:10].lower()}@example.com"
    person = IDS.new(T0)

    async def join(conn: Any) -> None:
        await conn.execute(
            "INSERT INTO person (id, email, first_name, last_name, created_at) VALUES (%s, %s, 'Ada', 'L', %s)",
            [person, email, T0],
        )
        await conn.execute(
            "INSERT INTO member (workspace_id, person_id, role, created_at) VALUES (%s, %s, 'owner', %s)",
            [one.id, person, T0],
        )
        await conn.execute("UPDATE workspace SET email = %s WHERE id = %s", [email, one.id])

    await database.run(join)
    await closed(one)
    await ending.blank_closed(database, days=30, now=T0 + 30 * DAY - DAY, ids=IDS)
    assert (await _person(database, person))["email"] == email
    await ending.blank_closed(database, days=30, now=T0 + 30 * DAY, ids=IDS)
    blanked = await _person(database, person)
    assert (blanked["email"], blanked["first_name"]) == (f"blanked-{person}@invalid", "")
    [row] = await make.rows(database, "SELECT email, blanked_at FROM workspace WHERE id = %s", one.id)
    assert (row["email"], row["blanked_at"]) == (None, T0 + 30 * DAY)
    assert await make.rows(database, "SELECT 1 FROM ledger_entry WHERE workspace_id = %s", one.id) == []


async def test_what_runs_is_charged_until_the_closing_and_no_longer(database: Database) -> None:
    await profiles.ship_profiles(database)
    one = await shop(database)
    await make.grant(database, one.id, 100, one.now)
    await deploying.deploy(database, one.id, one.now)
    await deploying.deploy(database, one.id, one.now, key="late", begin="deploying")
    one.now += dt.timedelta(hours=2, minutes=30, seconds=17)
    made = await closed(one)
    assert made.deployments_stopped == 2
    rows = await make.rows(database, "SELECT state FROM deployment WHERE workspace_id = %s", one.id)
    assert {row["state"] for row in rows} == {"ready"}
    [used] = await make.rows(
        database, "SELECT sum(credits)::bigint AS credits FROM usage_event WHERE workspace_id = %s", one.id
    )
    assert used["credits"] == deploying.cost("script-1x2", dt.timedelta(hours=2, minutes=30, seconds=17))


async def _person(database: Database, person: UUID) -> dict[str, Any]:
    [row] = await make.rows(database, "SELECT email, first_name FROM person WHERE id = %s", person)
    return row


async def test_bought_credits_are_given_back_where_the_operator_says_so(database: Database) -> None:
    one = await shop(database)
    await one.card()
    purchase = await buying.buy(database, one.billing, 1_000 * NANO, author(one.id, one.now))
    assert purchase.status == "paid"
    await use(one, 250)
    made = await closed(one, "refund")
    after = await buying.find(database, one.id, purchase.id)
    assert (made.forfeited, made.refunded_minor) == (0, after.refunded_minor + after.refunded_tax_minor)
    # 750 of 1,000 credits at a cent each, before tax.
    assert after.refunded_minor == 750
    assert sum(one.house.refunds.values()) == made.refunded_minor


async def test_holds_are_voided_and_what_runs_is_taken_down(database: Database) -> None:
    one = await shop(database)
    await make.grant(database, one.id, 100, one.now)
    hold = Place(
        workspace_id=one.id,
        key="k",
        request_hash=b"h",
        amounts=Amounts(5 * NANO, 0),
        scope=Scope(),
        seconds=600,
    )
    meter = make.Meter(database)
    await meter.book(Batch([], one.now, operation=hold))
    assert hold.error is None
    made = await closed(one)
    assert made.holds_voided == 1
    rows = await make.rows(database, "SELECT status FROM hold WHERE workspace_id = %s", one.id)
    assert [row["status"] for row in rows] == ["voided"]


__all__ = ["verified"]
