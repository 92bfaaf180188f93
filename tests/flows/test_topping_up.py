"""Automatic top-up: once below the threshold, never twice, never beyond a day's cap; it stops when it fails."""

import asyncio
import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.billing.payments import FAILED, SUCCEEDED, Outcome
from tallystick.flows import accounts, collecting, payments, topping_up
from tallystick.flows.billing import Billing
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import bills, make
from tests.bills import BANK, CARD, OTHER_CARD, CardHouse, billing, payer
from tests.conftest import NOW
from tests.flows.test_purchases import author, bought, posted, use
from tests.make import IDS

HOUR = dt.timedelta(hours=1)


async def poor(database: Database, house: CardHouse, terms: Billing, **options: Any) -> UUID:
    """A workspace on Free with 100 credits and top-up of 500 below 50."""
    workspace = await payer(database, NOW, house, plan="free", method=options.pop("method", CARD))
    await make.grant(database, workspace, 100, NOW)
    await topping_up.switch_on(
        database,
        terms,
        credits_=options.pop("credits_", 500) * NANO,
        threshold=50 * NANO,
        daily_cap=options.pop("daily_cap", None),
        author=author(workspace),
    )
    return workspace


async def turn(database: Database, terms: Billing, workspace: UUID, now: dt.datetime = NOW) -> int:
    return await topping_up.due(database, terms, workspace, now=now, ids=IDS)


async def state(database: Database, workspace: UUID) -> str:
    return (await bills.account_of(database, workspace)).top_up.state


async def test_it_buys_below_the_threshold_and_not_at_it(database: Database) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 50 * NANO, NOW)
    assert await turn(database, terms, workspace) == 0
    await use(database, workspace, 1, NOW)
    assert await turn(database, terms, workspace) == 1
    assert await posted(database, workspace) == 550 * NANO - 1
    assert await turn(database, terms, workspace) == 0
    (purchase,) = await bought(database, workspace)
    assert (purchase["is_automatic"], purchase["status"], purchase["created_by"]) == (True, "paid", "topup")
    told = await bills.facts_of(database, workspace)
    assert (told.count("top_up.succeeded"), told.count("credits.purchased")) == (1, 1)


async def test_many_at_once_buy_once(database: Database) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 60 * NANO, NOW)
    assert sum(await asyncio.gather(*(turn(database, terms, workspace) for _ in range(6)))) == 1
    assert (len(await bought(database, workspace)), house.asked) == (1, 1)


async def test_while_one_is_on_its_way_no_other_is_begun(database: Database) -> None:
    house = CardHouse(slow={BANK.id})
    terms = billing(house)
    workspace = await poor(database, house, terms, method=BANK)
    await use(database, workspace, 60 * NANO, NOW)
    for hours in range(5):
        await turn(database, terms, workspace, NOW + hours * HOUR)
    assert [one["status"] for one in await bought(database, workspace)] == ["pending"]
    (payment,) = await make.rows(database, "SELECT * FROM payment WHERE workspace_id = %s", workspace)
    assert payment["purpose"] == "topup"
    await payments.record(database, terms, workspace, payment["id"], Outcome(SUCCEEDED), now=NOW + 9 * HOUR, ids=IDS)
    assert await posted(database, workspace) == 540 * NANO


async def test_an_answer_that_is_lost_is_looked_for_and_nothing_is_bought_twice(database: Database) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 60 * NANO, NOW)
    house.loses = 1
    assert await turn(database, terms, workspace) == 1
    assert await turn(database, terms, workspace, NOW + HOUR) == 0
    (payment,) = await make.rows(database, "SELECT * FROM payment WHERE workspace_id = %s", workspace)
    await payments.look_again(database, terms, workspace, payment["id"], now=NOW + HOUR, ids=IDS)
    assert (house.asked, await posted(database, workspace)) == (1, 540 * NANO)


async def test_on_a_day_it_buys_no_more_than_its_cap(database: Database) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await poor(database, house, terms, daily_cap=1_000 * NANO)
    for _ in range(4):
        await use(database, workspace, 500 * NANO, NOW)
        await turn(database, terms, workspace)
    assert len(await bought(database, workspace)) == 2
    midnight = (NOW + dt.timedelta(days=1)).replace(hour=0, minute=0, second=0)
    assert await turn(database, terms, workspace, midnight - dt.timedelta(seconds=1)) == 0
    assert await turn(database, terms, workspace, midnight) == 1


async def test_the_operators_cap_stands_over_that_of_the_workspace(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    terms = billing(house, topup_daily_cap=400)
    for cap in (None, 1_000 * NANO):
        with pytest.raises(TallystickError) as refused:
            await topping_up.switch_on(
                database, terms, credits_=500 * NANO, threshold=0, daily_cap=cap, author=author(workspace)
            )
        assert (refused.value.code, refused.value.details["dailyCap"]) == ("invalidAmount", "400")


async def test_after_a_failure_it_stops_and_tells_and_does_not_try_again(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 60 * NANO, NOW)
    await turn(database, terms, workspace)
    assert await state(database, workspace) == "stopped"
    for hours in range(1, 4):
        assert await turn(database, terms, workspace, NOW + hours * HOUR) == 0
    assert house.asked == 1
    assert (await bills.facts_of(database, workspace)).count("top_up.stopped") == 1


async def test_a_new_method_is_used_at_once(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 60 * NANO, NOW)
    await turn(database, terms, workspace)
    later = NOW + HOUR
    await accounts.set_method(database, terms, workspace, OTHER_CARD, actor="test", now=later, ids=IDS)
    assert await turn(database, terms, workspace, later) == 1
    assert [one["status"] for one in await bought(database, workspace)] == ["failed", "paid"]
    assert await state(database, workspace) == "on"


async def test_a_method_that_came_while_the_old_one_failed_is_used_too(database: Database) -> None:
    house = CardHouse(slow={BANK.id})
    terms = billing(house)
    workspace = await poor(database, house, terms, method=BANK)
    await use(database, workspace, 60 * NANO, NOW)
    await turn(database, terms, workspace)
    (payment,) = await make.rows(database, "SELECT * FROM payment WHERE workspace_id = %s", workspace)
    await payments.record(database, terms, workspace, payment["id"], Outcome(FAILED), now=NOW + HOUR, ids=IDS)
    assert await state(database, workspace) == "stopped"
    later = NOW + 2 * HOUR
    await accounts.set_method(database, terms, workspace, CARD, actor="test", now=later, ids=IDS)
    assert await turn(database, terms, workspace, later) == 1


async def test_switched_on_again_it_tries_again(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 60 * NANO, NOW)
    await turn(database, terms, workspace)
    house.declines.clear()
    later = author(workspace, now=NOW + HOUR)
    await topping_up.switch_on(database, terms, credits_=500 * NANO, threshold=50 * NANO, daily_cap=None, author=later)
    assert await posted(database, workspace) == 540 * NANO


async def test_switched_off_it_buys_nothing(database: Database) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await poor(database, house, terms)
    changed = await topping_up.switch_off(database, terms, author(workspace))
    assert (changed.top_up.state, changed.top_up.credits) == ("off", 500 * NANO)
    await use(database, workspace, 60 * NANO, NOW)
    assert await turn(database, terms, workspace) == 0


async def test_with_nothing_on_file_it_is_not_switched_on(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, method=None)
    with pytest.raises(TallystickError) as refused:
        await topping_up.switch_on(
            database, billing(house), credits_=500 * NANO, threshold=0, daily_cap=None, author=author(workspace)
        )
    assert refused.value.code == "paymentMethodNotFound"


async def test_switched_on_while_below_it_buys_at_once(database: Database) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await payer(database, NOW, house, plan="free")
    await make.grant(database, workspace, 10, NOW)
    await topping_up.switch_on(
        database, terms, credits_=500 * NANO, threshold=50 * NANO, daily_cap=None, author=author(workspace)
    )
    assert await posted(database, workspace) == 510 * NANO


async def test_after_a_crash_between_purchase_and_payment_the_turn_of_collecting_pays_it_once(
    database: Database,
) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 60 * NANO, NOW)
    begun = await database.run(lambda conn: topping_up._begin(conn, terms, workspace, NOW, IDS))
    assert begun is not None and house.asked == 0
    for hours in range(3):
        await collecting.turn(database, terms, workspace, now=NOW + hours * HOUR, ids=IDS)
    assert [one["status"] for one in await bought(database, workspace)] == ["paid"]
    assert (house.asked, await posted(database, workspace)) == (1, 540 * NANO)


async def test_who_pays_in_another_currency_is_not_topped_up(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    await bills.owed(database, workspace, 100, NOW, currency="eur")
    async with database.data() as conn:
        await conn.execute("UPDATE billing_account SET currency = 'eur' WHERE workspace_id = %s", [workspace])
    with pytest.raises(TallystickError) as refused:
        await topping_up.switch_on(
            database, billing(house), credits_=500 * NANO, threshold=0, daily_cap=None, author=author(workspace)
        )
    assert refused.value.code == "currencyMismatch"


async def test_who_is_past_due_is_not_topped_up(database: Database) -> None:
    house = CardHouse()
    terms = billing(house)
    workspace = await poor(database, house, terms)
    await use(database, workspace, 60 * NANO, NOW)
    async with database.data() as conn:
        await conn.execute("UPDATE subscription SET status = 'past_due' WHERE workspace_id = %s", [workspace])
    assert await turn(database, terms, workspace) == 0
