"""Running time is charged once for every second, at the right instants, whatever happens when (rules M16, M17)."""

import asyncio
import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.deployments.deployment import OUT_OF_CREDITS
from tallystick.flows import due, overdue, prices
from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.flows.reprice import price_unpriced
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import deploying, make
from tests.deploying import instant
from tests.make import IDS

T0 = instant("2026-03-02 10:00:17.25")
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, instant("2024-01-01"))
    return database


async def workspace(database: Database, amount: int, at: dt.datetime = T0, **terms: Any) -> UUID:
    """A workspace on Free with so many credits that do not end."""
    made = await make.bare_workspace(database, at)
    if amount:
        await make.grant(database, made, amount, at, **terms)
    return made


async def test_an_hour_on_two_replicas_costs_two_hours(priced: Database) -> None:
    shop = await workspace(priced, 100)
    run = await deploying.deploy(priced, shop, T0, replicas=2)
    await deploying.change(priced, shop, run, "undeploy", T0 + HOUR)

    assert await deploying.charged(priced, shop) == 2 * 76_980_000
    assert deploying.joined(await deploying.spans(priced, run)) == [(T0, T0 + HOUR, 2)]
    assert (await deploying.balance(priced, shop))["posted"] == 100 * NANO - 2 * 76_980_000
    state = (await deploying.states(priced, shop))[run]
    assert (state["state"], state["metered_until"]) == ("ready", None)
    assert await make.differences(priced, shop) == []


async def test_each_tick_charges_up_to_it_and_asks_for_the_next(priced: Database) -> None:
    shop = await workspace(priced, 100)
    run = await deploying.deploy(priced, shop, T0)
    assert (await deploying.balance(priced, shop))["due_at"] == instant("2026-03-02 10:01")

    await due.sweep(priced, now=instant("2026-03-02 10:03:59"), ids=IDS)

    assert (await deploying.states(priced, shop))[run]["metered_until"] == instant("2026-03-02 10:03")
    assert await deploying.spans(priced, run) == [(T0, instant("2026-03-02 10:03"), 1)]
    assert (await deploying.balance(priced, shop))["due_at"] == instant("2026-03-02 10:04")
    assert await deploying.charged(priced, shop) == deploying.cost("script-1x2", instant("2026-03-02 10:03") - T0)
    assert await make.differences(priced, shop) == []


async def test_credits_run_out_tick_by_tick_and_all_stops_at_the_negative_limit(priced: Database) -> None:
    shop = await workspace(priced, 3)
    run = await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    script = await deploying.deploy(priced, shop, T0, key="etl")

    await deploying.settle(priced, shop, T0 + DAY)

    # 53.07698 credits an hour: 1 of 3 is left after 2 min 16 s, −10 after 14 min 42 s; ticks are whole minutes.
    low, end = instant("2026-03-02 10:03"), instant("2026-03-02 10:15")
    balance = await deploying.balance(priced, shop)
    spent = deploying.cost("gpu-t4", end - T0) + deploying.cost("script-1x2", end - T0)
    assert balance["posted"] == 3 * NANO - spent < -10 * NANO
    for state in (await deploying.states(priced, shop)).values():
        assert (state["state"], state["reason"], state["metered_until"]) == ("stopping", OUT_OF_CREDITS, None)
        assert state["comply_by"] == end + 5 * MINUTE
    for one in (run, script):
        assert deploying.joined(await deploying.spans(priced, one)) == [(T0, end, 1)]
    assert await deploying.facts(priced, shop, "limit.") == [
        (low, "limit.low_reached"),
        (end, "limit.negative_reached"),
    ]
    assert await deploying.facts(priced, shop, "deployment.") == [(end, "deployment.stop_requested")] * 2
    assert [kind for _, kind in await deploying.facts(priced, shop, "credits.")] == [
        "credits.granted",
        *["credits.threshold_crossed"] * 3,
        "credits.exhausted",
    ]
    assert balance["due_at"] == instant("2026-04-02 10:00:17.25"), "nothing runs: the period's end is what comes next"
    assert await make.differences(priced, shop) == []


@pytest.mark.parametrize("step", [dt.timedelta(seconds=7), MINUTE, 5 * MINUTE, 3 * HOUR])
async def test_the_stop_is_at_the_same_instant_however_late_it_is_noticed(priced: Database, step: dt.timedelta) -> None:
    shops = [await workspace(priced, 3) for _ in range(2)]
    for shop in shops:
        await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    early, late = shops
    await deploying.each(priced, early, T0, T0 + 20 * MINUTE, step)
    await deploying.settle(priced, late, T0 + 20 * MINUTE)
    assert await deploying.ledger_of(priced, early) == await deploying.ledger_of(priced, late)
    assert await make.differences(priced, early, late) == []


async def test_what_stands_at_the_negative_limit_already_stops_at_the_next_tick(priced: Database) -> None:
    shop = await workspace(priced, 5)
    run = await deploying.deploy(priced, shop, T0)
    spent = {"type": "direct.charge", "id": "x", "quantity": 16}
    await make.Meter(priced).report(shop, spent, now=T0 + 30 * dt.timedelta(seconds=1))
    await deploying.settle(priced, shop, T0 + HOUR)
    assert (await deploying.states(priced, shop))[run]["state"] == "stopping"
    assert deploying.joined(await deploying.spans(priced, run)) == [(T0, instant("2026-03-02 10:01"), 1)]
    at = instant("2026-03-02 10:01")
    assert await deploying.facts(priced, shop, "limit.") == [(at, "limit.low_reached"), (at, "limit.negative_reached")]


async def test_a_grant_pays_until_the_instant_at_which_it_ends(priced: Database) -> None:
    shop = await workspace(priced, 50, expires_at=T0 + 3 * HOUR)
    await make.grant(priced, shop, 7, T0, source="free", expires_at=T0 + 90 * MINUTE + dt.timedelta(microseconds=3))
    await make.grant(priced, shop, 90, T0, source="purchase")
    await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    await deploying.settle(priced, shop, T0 + 4 * HOUR)

    grants = await make.rows(
        priced, "SELECT amount, remaining, expired FROM credit_grant WHERE workspace_id = %s ORDER BY amount", shop
    )
    # Free first, since it ends first: 7 in 8 minutes; then the promotion, all of it within 65; then what was bought.
    until = instant("2026-03-02 14:00")
    bought = deploying.cost("gpu-t4", until - T0) - 57 * NANO
    assert [tuple(grant.values()) for grant in grants] == [
        (7 * NANO, 0, 0),
        (50 * NANO, 0, 0),
        (90 * NANO, max(90 * NANO - bought, 0), 0),
    ]
    assert await make.differences(priced, shop) == []


async def test_what_a_grant_has_left_when_it_ends_pays_for_nothing_after(priced: Database) -> None:
    end = T0 + 2 * HOUR + dt.timedelta(seconds=11)
    shops = [await workspace(priced, 500, expires_at=end) for _ in range(2)]
    for shop in shops:
        await make.grant(priced, shop, 1000, T0, source="purchase")
        await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    await deploying.settle(priced, shops[0], T0 + 5 * HOUR)
    await deploying.each(priced, shops[1], T0, T0 + 5 * HOUR, 13 * MINUTE)
    for shop in shops:
        [grant] = await make.rows(
            priced, "SELECT * FROM credit_grant WHERE workspace_id = %s AND source = 'promotion'", shop
        )
        used = deploying.cost("gpu-t4", end - T0)
        assert (grant["remaining"], grant["expired"], grant["ended_at"]) == (0, 500 * NANO - used, end)
    assert await deploying.ledger_of(priced, shops[0]) == await deploying.ledger_of(priced, shops[1])
    assert await make.differences(priced, *shops) == []


async def test_a_negative_is_settled_by_the_next_cycle_and_counts_as_used_there(priced: Database) -> None:
    shop = await make.bare_workspace(priced, T0, plan="pro")
    run = await deploying.deploy(priced, shop, T0 + DAY, profile="gpu-h100")
    # 10,000 credits last nine hours; it stops below −10.
    await deploying.settle(priced, shop, T0 + 3 * DAY)
    balance = await deploying.balance(priced, shop)
    owed = -balance["posted"]
    assert 10 * NANO <= owed == balance["overdraft"] < 30 * NANO
    assert (await deploying.states(priced, shop))[run]["state"] == "stopping"

    await deploying.settle(priced, shop, instant("2026-04-05"))

    balance = await deploying.balance(priced, shop)
    assert (balance["posted"], balance["overdraft"]) == (10_000 * NANO - owed, 0)
    assert balance["allocation"] == 10_000 * NANO - owed
    assert await make.differences(priced, shop) == []


async def test_credits_added_start_nothing_by_themselves_and_arm_the_low_limit_again(priced: Database) -> None:
    shop = await workspace(priced, 3)
    await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    await deploying.settle(priced, shop, T0 + 4 * MINUTE)
    await make.grant(priced, shop, 3, T0 + 4 * MINUTE)
    await deploying.settle(priced, shop, T0 + HOUR)
    assert [kind for _, kind in await deploying.facts(priced, shop, "limit.")] == [
        "limit.low_reached",
        "limit.low_reached",
        "limit.negative_reached",
    ]
    await make.grant(priced, shop, 100, T0 + HOUR)
    await deploying.settle(priced, shop, T0 + 2 * HOUR)
    [state] = (await deploying.states(priced, shop)).values()
    assert (state["state"], state["metered_until"]) == ("stopping", None)


async def test_a_contract_without_an_end_stops_nothing(priced: Database) -> None:
    shop = await make.bare_workspace(priced, T0, plan="enterprise")
    run = await deploying.deploy(priced, shop, T0, profile="gpu-h100")
    await deploying.settle(priced, shop, T0 + DAY)
    assert (await deploying.states(priced, shop))[run]["state"] == "deployed"
    assert (await deploying.balance(priced, shop))["posted"] < -10_000 * NANO


async def test_scaling_in_between_charges_each_number_of_replicas_for_its_own_time(priced: Database) -> None:
    shop = await workspace(priced, 100)
    run = await deploying.deploy(priced, shop, T0, profile="script-2x4", replicas=3)
    second = dt.timedelta(seconds=1)
    await deploying.change(priced, shop, run, "scale", T0 + 59 * MINUTE + 7 * second, replicas=1)
    await deploying.change(priced, shop, run, "scale", T0 + 59 * MINUTE + 8 * second, replicas=5)
    await deploying.change(priced, shop, run, "scale", T0 + 4 * HOUR, profile="script-1x2")
    await deploying.change(priced, shop, run, "undeploy", T0 + 4 * HOUR + dt.timedelta(microseconds=1))
    first = 3 * (59 * MINUTE + 7 * second) + 1 * second + 5 * (3 * HOUR + 52 * second)
    last = 5 * dt.timedelta(microseconds=1)
    assert await deploying.charged(priced, shop) == deploying.cost("script-2x4", first) + deploying.cost(
        "script-1x2", last
    )
    days = await make.rows(priced, "SELECT profile, microseconds FROM deployment_day WHERE workspace_id = %s", shop)
    micro = dt.timedelta(microseconds=1)
    assert {row["profile"]: row["microseconds"] * micro for row in days} == {"script-2x4": first, "script-1x2": last}
    assert await make.differences(priced, shop) == []


async def test_the_same_tick_is_charged_once_by_two_who_notice_it(priced: Database) -> None:
    shop = await workspace(priced, 100)
    run = await deploying.deploy(priced, shop, T0, profile="gpu-t4", replicas=2)
    for hour in range(1, 6):
        now = T0 + hour * 7 * MINUTE
        await asyncio.gather(*(due.sweep(priced, now=now, ids=IDS) for _ in range(4)))
    end = instant("2026-03-02 10:35")
    assert deploying.joined(await deploying.spans(priced, run)) == [(T0, end, 2)]
    assert await deploying.charged(priced, shop) == deploying.cost("gpu-t4", 2 * (end - T0))
    assert await make.differences(priced, shop) == []


async def test_a_stop_that_nobody_confirms_in_time_is_told_once(priced: Database) -> None:
    shop = await workspace(priced, 3)
    run = await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    await deploying.settle(priced, shop, T0 + HOUR)
    late = (await deploying.states(priced, shop))[run]["comply_by"]

    await overdue.stop_overdue(priced, now=late - dt.timedelta(microseconds=1), ids=IDS)
    told = (late, "deployment.stop_overdue")
    assert told not in await deploying.facts(priced, shop, "deployment.")
    await asyncio.gather(*(overdue.stop_overdue(priced, now=late, ids=IDS) for _ in range(3)))
    await overdue.stop_overdue(priced, now=late + DAY, ids=IDS)
    assert (await deploying.facts(priced, shop, "deployment."))[1:] == [told]

    await deploying.change(priced, shop, run, "confirm", late + DAY)
    spent = await deploying.charged(priced, shop)
    assert spent == deploying.cost("gpu-t4", instant("2026-03-02 10:16") - T0), "charging ended at the stop"
    assert await make.differences(priced, shop) == []


async def test_a_price_that_changes_in_between_counts_from_its_instant(priced: Database) -> None:
    shop = await workspace(priced, 100_000)
    profile = f"gpu-{shop.hex[-12:]}"
    start, change = instant("2026-03-02 10:00"), instant("2026-03-02 12:20:00.5")
    for at, hourly in ((start, "36"), (change, "72")):
        await prices.add_version(
            priced,
            target=f"deployment.time/{profile}",
            model="unit",
            rates={"amount": hourly, "per": 3600},
            now=start,
            ids=IDS,
            actor="test",
            valid_from=at,
        )
    run = await deploying.deploy(priced, shop, start, profile=profile, replicas=3)
    await deploying.settle(priced, shop, instant("2026-03-03"))
    # 0.01 and 0.02 credits a second.
    millisecond = dt.timedelta(milliseconds=1)
    cheap, dear = (change - start) // millisecond, (instant("2026-03-03") - change) // millisecond
    assert await deploying.charged(priced, shop) == 3 * (cheap * 10_000 + dear * 20_000)
    assert (change, change + dt.timedelta(minutes=39, seconds=59, milliseconds=500), 3) in await deploying.spans(
        priced, run
    )
    assert await make.differences(priced, shop) == []


async def test_time_without_a_price_is_counted_and_charged_when_it_gets_one(priced: Database) -> None:
    shop = await workspace(priced, 1_000)
    profile = f"gpu-{shop.hex[-12:]}"
    run = await deploying.deploy(priced, shop, T0, profile=profile)
    await deploying.change(priced, shop, run, "undeploy", T0 + 3 * HOUR)
    assert await deploying.charged(priced, shop) == 0
    await prices.add_version(
        priced,
        target=f"deployment.time/{profile}",
        model="graduated",
        rates={"tiers": [{"upTo": None, "amount": "10", "per": 3600}]},
        now=T0 + DAY,
        ids=IDS,
        actor="test",
    )
    meter = make.Meter(priced)
    await price_unpriced(priced, catalogs=meter.catalogs, models=make.MODELS, hourly_days=35, now=T0 + DAY, ids=IDS)
    [day] = await make.rows(priced, "SELECT * FROM deployment_day WHERE workspace_id = %s", shop)
    assert (day["microseconds"], day["credits"]) == (3 * 3_600_000_000, 30 * NANO)
    assert (await deploying.balance(priced, shop))["used"] == 30 * NANO
    assert await make.differences(priced, shop) == []


async def test_a_platform_may_report_time_itself_at_the_same_prices(priced: Database) -> None:
    shop = await workspace(priced, 1_000)
    report = {"type": "guardrail.time", "quantity": "1800.5", "profile": "guardrail-2x8", "replicas": 1}
    pieces = [report | {"id": str(n), "at": T0 + n * HOUR} for n in range(3)]
    outcomes = await make.Meter(priced).report(shop, *pieces, now=T0 + 3 * HOUR)
    # One rounding over all pieces: f(now) less what was charged (rule M3).
    assert sum(one.credits for one in outcomes) == 3 * 18_005 * 144_000_000 // 36_000
    with pytest.raises(TallystickError, match="no source for others"):
        make.event_of(report | {"id": "x", "from_": "tallystick/deployments"}, shop, T0)
    assert await make.differences(priced, shop) == []


async def test_measured_time_is_not_taken_back_by_an_event(priced: Database) -> None:
    shop = await workspace(priced, 1_000)
    run = await deploying.deploy(priced, shop, T0)
    await deploying.change(priced, shop, run, "undeploy", T0 + MINUTE)
    [piece, _] = await make.rows(priced, "SELECT source_id FROM usage_event WHERE workspace_id = %s", shop)
    event = make.cancellation("c", "tallystick/deployments", piece["source_id"], shop, T0 + HOUR)
    batch = Batch([Item(shop, event)], T0 + HOUR)
    await make.Meter(priced).book(batch)
    assert [one and one.kind for one in batch.outcomes] == ["rejected"]
    assert await make.differences(priced, shop) == []


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2028-01-31 13:30:00.000001", "2028-03-31 13:30:00.000001"),
        ("2026-12-30 23:59:59.999999", "2027-03-02"),
        ("2027-02-28", "2027-05-31 12:00:00.5"),
    ],
)
async def test_months_with_their_ends_and_leap_days_are_charged_to_the_microsecond(
    priced: Database, begin: str, end: str
) -> None:
    start, stop = instant(begin), instant(end)
    shop = await make.bare_workspace(priced, start, plan="pro", zone="America/New_York")
    ending = start + 40 * DAY + dt.timedelta(seconds=1)
    await make.grant(priced, shop, 2, start, source="free", expires_at=ending)
    run = await deploying.deploy(priced, shop, start, replicas=2)
    await deploying.change(priced, shop, run, "scale", start + 33 * DAY + 7 * MINUTE, replicas=1)
    await deploying.settle(priced, shop, stop)
    scaled = start + 33 * DAY + 7 * MINUTE
    await deploying.change(priced, shop, run, "undeploy", stop)

    assert deploying.joined(await deploying.spans(priced, run)) == [(start, scaled, 2), (scaled, stop, 1)]
    periods = await make.rows(priced, "SELECT starts_at, ends_at FROM billing_period WHERE workspace_id = %s", shop)
    expected = 0
    for period in periods:
        low, high = max(period["starts_at"], start), min(period["ends_at"], stop)
        replica_time = 2 * max(min(high, scaled) - low, 0 * DAY) + max(high - max(low, scaled), 0 * DAY)
        expected += deploying.cost("script-1x2", max(replica_time, 0 * DAY))
    assert len(periods) >= 3
    assert await deploying.charged(priced, shop) == expected
    [daily] = await make.rows(
        priced, "SELECT sum(microseconds) AS time FROM deployment_day WHERE workspace_id = %s", shop
    )
    assert int(daily["time"]) * dt.timedelta(microseconds=1) == 2 * (scaled - start) + (stop - scaled)
    assert await make.differences(priced, shop) == []


async def test_a_workspace_that_cannot_be_settled_holds_up_no_other(priced: Database) -> None:
    shops = sorted([await workspace(priced, 100) for _ in range(3)])
    profile = f"gpu-{shops[0].hex[-12:]}"
    # More than one charge may come to: 100,000,000 credits a second.
    rates = {"amount": "100000000", "per": 1}
    target = f"deployment.time/{profile}"
    await prices.add_version(
        priced, target=target, model="unit", rates=rates, now=T0, ids=IDS, actor="test", valid_from=T0
    )
    await deploying.deploy(priced, shops[0], T0, profile=profile)
    runs = [await deploying.deploy(priced, shop, T0) for shop in shops[1:]]
    with pytest.raises(TallystickError, match="one event"):
        await due.sweep(priced, now=T0 + 5 * MINUTE, ids=IDS)
    for shop, run in zip(shops[1:], runs, strict=True):
        assert (await deploying.states(priced, shop))[run]["metered_until"] == instant("2026-03-02 10:05")
    async with priced.data() as conn:
        await conn.execute("UPDATE balance SET due_at = NULL WHERE workspace_id = %s", [shops[0]])


async def test_pieces_have_no_fixed_price(priced: Database) -> None:
    with pytest.raises(TallystickError, match="no fixed price"):
        await prices.add_version(
            priced, target="script.time", model="fixed", rates={"amount": "1"}, now=T0, ids=IDS, actor="test"
        )


async def test_what_is_on_its_way_stops_too_and_what_has_no_hardware_goes_on(priced: Database) -> None:
    shop = await workspace(priced, 3)
    run = await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    waiting = await deploying.deploy(priced, shop, T0, key="waiting", begin="deploying")
    draft = await deploying.deploy(priced, shop, T0, key="draft", begin="draft")
    tool = await deploying.deploy(priced, shop, T0, profile=None, key="tool")
    await deploying.settle(priced, shop, T0 + HOUR)
    states = await deploying.states(priced, shop)
    assert [states[one]["state"] for one in (run, waiting, draft, tool)] == [
        "stopping",
        "stopping",
        "draft",
        "deployed",
    ]
    assert {await deploying.charged(priced, shop, one) for one in (waiting, draft, tool)} == {0}
    assert await make.differences(priced, shop) == []
