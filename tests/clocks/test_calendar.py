"""Months, leap days, zones and edges (R7): years pass on a test clock, over HTTP, and every instant is looked at."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from tallystick.store.database import Database
from tests import make
from tests.clocks.conftest import Eras

DAY = dt.timedelta(days=1)
MOMENT = dt.timedelta(microseconds=1)


async def ends(database: Database, born: dt.datetime, zone: str, months: int) -> list[dt.datetime]:
    """The ends of so many billing months, as PostgreSQL's calendar has them."""
    found = await make.rows(
        database,
        "SELECT ((%s::timestamptz AT TIME ZONE %s) + n * interval '1 month') AT TIME ZONE %s AS at"
        " FROM generate_series(1, %s) AS n",
        born,
        zone,
        zone,
        months,
    )
    return [row["at"] for row in found]


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("zone", "born"),
    [
        ("UTC", "2024-01-31T10:30:00Z"),
        ("UTC", "2024-02-29T23:59:59.999999Z"),
        ("UTC", "2025-12-30T00:00:00Z"),
        # Half and quarter hours; the local day is another than UTC's.
        ("Asia/Kolkata", "2023-12-30T20:00:00Z"),
        ("Asia/Kathmandu", "2024-01-30T18:20:00Z"),
        ("America/St_Johns", "2024-01-31T03:45:00Z"),
        # Summer time of half an hour.
        ("Australia/Lord_Howe", "2024-01-31T02:00:00Z"),
        # 31 March 2024, 02:30 did not exist in Berlin.
        ("Europe/Berlin", "2024-01-31T01:30:00Z"),
        ("America/New_York", "2023-12-31T04:59:59Z"),
        ("Pacific/Apia", "2024-01-30T10:00:00Z"),
    ],
)
async def test_a_period_ends_on_the_anchors_day_to_the_microsecond(eras: Eras, zone: str, born: str) -> None:
    era = await eras.born(at(born), plan="pro", zone=zone)
    for end in await ends(eras.database, at(born), zone, 14):
        assert at((await era.subscription())["resetAt"]) == end
        assert (await era.use(1, f"u{end}"))["accepted"] == 1
        await era.to(end - MOMENT)
        assert await era.posted() == 9_999
        await era.to(end)
        assert await era.posted() == 10_000
        assert at((await era.subscription())["periodStartAt"]) == end
    assert await make.differences(eras.database, era.uuid) == []


async def test_twelve_years_pass_in_one_move(eras: Eras) -> None:
    born = at("2024-02-29T12:00:00Z")
    era = await eras.born(born, plan="pro", zone="Europe/Berlin")
    await era.grant(7, at("2028-02-29T11:00:00Z"))
    await era.to("2036-02-29T12:00:00Z")
    resets = await make.rows(
        eras.database,
        "SELECT effective_at AS at FROM ledger_transaction WHERE workspace_id = %s AND unit = 'credits'"
        " AND kind = 'reset' ORDER BY seq",
        era.uuid,
    )
    expected = await ends(eras.database, born, "Europe/Berlin", 144)
    assert [row["at"] for row in resets] == expected
    assert [end.date().isoformat() for end in expected if end.month == 2] == [
        f"{year}-02-{29 if year % 4 == 0 else 28}" for year in range(2025, 2037)
    ]
    assert await era.posted() == 10_000
    assert await make.differences(eras.database, era.uuid) == []


EDGE = at("2024-02-29T10:30:00Z")
"""Where the first period of a workspace that was born on 31 January, 10:30, ends."""


async def test_a_hold_a_grant_and_a_period_that_end_together(eras: Eras) -> None:
    era = await eras.born(EDGE - 29 * DAY, plan="pro")
    await era.grant(30, EDGE)
    await era.to(EDGE - dt.timedelta(minutes=10))
    held = await era.hold(10_020, 600, "h")
    await era.to(EDGE - MOMENT)
    before = await era.credits()
    assert (before["posted"], before["held"], before["available"]) == (10_030, 10_020, 10)
    await era.to(EDGE)
    after = await era.credits()
    assert (after["posted"], after["held"], after["granted"]) == (10_000, 0, 10_000)
    assert (await era.owner.get(f"/v1/holds/{held['id']}")).json()["hold"]["status"] == "expired"
    assert await make.differences(eras.database, era.uuid) == []


async def test_a_hold_that_outlives_its_period_keeps_what_it_relies_on(eras: Eras) -> None:
    """Rule M20: of 10,000 that end, 10,000 are kept for 10,020 that are held; what the settle leaves of them goes."""
    era = await eras.born(EDGE - 29 * DAY, plan="pro")
    await era.grant(30)
    await era.to(EDGE - dt.timedelta(minutes=10))
    held = await era.hold(10_020, 601, "h")
    await era.to(EDGE)
    assert (await era.credits())["posted"] == 20_030
    settled = await era.owner.post(
        f"/v1/holds/{held['id']}/settle", {"amounts": {"credits": 4_000}}, headers={"idempotency-key": "s"}
    )
    assert settled.status_code == 200, settled.text
    found = await era.credits()
    assert (found["posted"], found["held"]) == (10_030, 0)
    await era.to(EDGE + dt.timedelta(seconds=2))
    assert (await era.credits())["posted"] == 10_030
    assert await make.differences(eras.database, era.uuid) == []


async def test_a_negative_is_settled_by_the_next_period_at_its_first_instant(eras: Eras) -> None:
    era = await eras.born(EDGE - 29 * DAY, plan="pro")
    await era.use(10_250, "u")
    await era.to(EDGE - MOMENT)
    assert await era.posted() == -250
    await era.to(EDGE)
    found = await era.credits()
    assert (found["posted"], found["granted"], found["used"]) == (9_750, 9_750, 0)
    subscription = await era.subscription()
    assert subscription["subscriptionAvailableCreditsCount"] == 10_000
    assert subscription["subscriptionCreditsUsedCount"] == 250


async def test_usage_of_a_closed_period_is_paid_by_the_open_one_and_shown_on_its_day(eras: Eras) -> None:
    era = await eras.born(EDGE - 29 * DAY, plan="pro")
    await era.to(EDGE - 3 * DAY)
    await era.use(100, "in time")
    await era.to(EDGE + 5 * DAY)
    before = await era.credits()
    assert (await era.use(40, "late", EDGE - MOMENT))["accepted"] == 1
    after = await era.credits()
    assert before["posted"] - after["posted"] == 40
    days = await era.owner.get(
        "/v1/billing/usage/metrics", params={"from": "2024-02-26", "to": "2024-03-05", "unit": "credits"}
    )
    used = {day["date"][:10]: sum(item["count"] for item in day["items"]) for day in days.json()["metrics"]}
    assert {day: count for day, count in used.items() if count} == {"2024-02-26": 100, "2024-02-29": 40}
    # Four hundred days are the limit, by this clock.
    await era.to(EDGE + 400 * DAY - MOMENT)
    assert (await era.use(1, "just in time", EDGE - MOMENT))["accepted"] == 1
    await era.to(EDGE + 400 * DAY)
    assert (await era.use(1, "too late", EDGE - MOMENT))["rejected"][0]["reason"] == "timeTooOld"
    assert await make.differences(eras.database, era.uuid) == []


async def test_late_usage_counts_in_the_tiers_of_its_own_period(eras: Eras) -> None:
    """Rule M5: 0.01 each up to 1,000 in a billing period, 0.001 beyond; the counter is that of the event's time."""
    meter = {"type": "late.search", "category": "other", "slug": "native.late", "unit": "searches", "reason": "test"}
    assert (await eras.operator.post("/v1/meters", meter)).status_code == 201
    rates = {"tiers": [{"upTo": 1_000, "amount": "0.01"}, {"upTo": None, "amount": "0.001"}]}
    price = {"target": "late.search", "model": "graduated", "rates": rates, "reason": "test"}
    assert (await eras.operator.post("/v1/prices", price)).status_code == 201
    era = await eras.born(EDGE - 29 * DAY, plan="pro")

    async def search(key: str, count: int, time: dt.datetime) -> Decimal:
        before = await era.posted()
        event = {"specversion": "1.0", "id": key, "source": "t", "type": "late.search", "time": time.isoformat()}
        sent = await era.owner.post("/v1/events", event | {"data": {"quantity": count}})
        assert sent.json()["accepted"] == 1, sent.text
        return before - await era.posted()

    await era.to(EDGE - MOMENT)
    assert await search("first", 900, EDGE - MOMENT) == 9
    await era.to(EDGE)
    assert await search("second", 500, EDGE) == 5
    assert await search("late", 200, EDGE - MOMENT) == Decimal("1.1")
    assert await search("third", 600, EDGE) == Decimal("5.1")
    assert await make.differences(eras.database, era.uuid) == []


STEPS: list[list[str]] = [
    [],
    ["2024-02-29T10:30:00Z"],
    ["2024-02-29T10:29:59.999999Z", "2024-02-29T10:30:00Z", "2024-02-29T10:30:00.000001Z"],
    ["2024-02-10T00:00:00Z", "2024-02-15T00:00:00Z", "2024-03-01T00:00:00Z", "2024-03-30T00:00:00Z"],
    [f"2024-02-{day:02d}T{day % 24:02d}:00:00Z" for day in range(1, 30)],
]


async def test_the_books_do_not_depend_on_how_often_the_clock_stops(eras: Eras) -> None:
    told: list[list[dict[str, Any]]] = []
    for steps in STEPS:
        era = await eras.born(EDGE - 29 * DAY, plan="pro", zone="Asia/Kolkata")
        await era.grant(100, at("2024-02-15T00:00:00Z"))
        await era.grant(50, EDGE)
        await era.grant(25, at("2024-03-31T10:30:00Z"))
        await era.use(60, "first")
        await era.hold(10_100, 86_400, "h")
        for step in steps:
            await era.to(step)
        await era.to("2024-04-15T00:00:00Z")
        assert await era.posted() == 10_000
        told.append(await era.history())
        assert await make.differences(eras.database, era.uuid) == []
    assert all(one == told[0] for one in told)


async def test_a_budgets_month_is_utcs_and_ends_where_the_billing_period_does_not(eras: Eras) -> None:
    era = await eras.born(at("2024-01-30T20:00:00Z"), plan="pro", zone="Asia/Kolkata")
    made = await era.owner.post("/v1/budgets", {"name": "cap", "scope": "workspace", "per": "month", "amount": 100})
    assert made.status_code == 201, made.text
    await era.to("2024-01-31T23:59:59.999999Z")
    await era.use(100, "january")
    refused = await era.owner.post("/v1/holds", {"amounts": {"credits": 1}})
    assert (refused.status_code, refused.json()["reason"]) == (402, "budgetExceeded")
    # In Kolkata it has been February for hours.
    await era.to("2024-02-01T00:00:00Z")
    assert (await era.owner.post("/v1/holds", {"amounts": {"credits": 100}})).status_code == 201


async def test_free_credits_end_after_their_days_by_the_clock(eras: Eras) -> None:
    made = await eras.operator.post("/v1/workspaces", {"name": "Free", "clock": "2027-12-31T23:30:00Z"})
    token, uuid = made.json()["adminToken"], made.json()["workspace"]["uuid"]
    owner = type(eras.operator)(eras.operator.http, token)

    async def shown(to: str) -> list[Decimal]:
        moved = await eras.operator.post(f"/v1/workspaces/{uuid}/clock", {"to": to})
        assert moved.status_code == 200, moved.text
        return [one["posted"] for one in (await owner.get("/v1/balances")).json()["balances"]]

    # 2028 has a 29 February among its first ninety days.
    assert await shown("2028-03-30T23:29:59.999999Z") == [75, 10_000]
    assert await shown("2028-03-30T23:30:00Z") == [0, 0]
