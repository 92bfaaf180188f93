"""A subscription's life under a moving clock, over HTTP: exact to the microsecond, however far a move goes (R7)."""

import datetime as dt
from typing import Any

from tests.clocks.conftest import Era, Eras

BORN = dt.datetime(2026, 3, 10, 8, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
MICRO = dt.timedelta(microseconds=1)
AT = "/v1/billing/subscriptions"


async def asked(era: Era, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer = await era.owner.send(method, f"{AT}{path}", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["subscription"]
    return shown


async def to_pro(era: Era) -> None:
    """As an operator does it, with nothing on file."""
    headers = {"selected-workspace-uuid": str(era.uuid)}
    answer = await era.operator.put(f"{AT}/plan", {"plan": "pro"}, headers=headers)
    assert answer.status_code == 200, answer.text


async def hold(era: Era, key: str) -> Any:
    answer = await era.owner.post("/v1/holds", {"amounts": {"credits": 1}}, headers={"idempotency-key": key})
    return answer.status_code, answer.json().get("reason")


async def invoices(era: Era) -> list[tuple[str, int]]:
    answer = await era.owner.get(f"{AT}/invoices")
    return [(one["status"], one["amount"]) for one in answer.json()["invoices"]]


async def test_a_trial_ends_to_the_microsecond_and_what_was_held_may_settle(eras: Eras) -> None:
    era = await eras.born(BORN, zone="America/New_York")
    begun = await asked(era, "POST", "/trial")
    ends = dt.datetime.fromisoformat(begun["trialEndsAt"])
    assert ends == BORN + 14 * DAY
    await era.to(ends - MICRO)
    assert await hold(era, "last") == (201, None)
    held = (await era.owner.post("/v1/holds", {"amounts": {"credits": 1}}, headers={"idempotency-key": "last"})).json()
    await era.to(ends)
    assert await hold(era, "late") == (402, "trialEnded")
    settled = await era.owner.post(
        f"/v1/holds/{held['hold']['id']}/settle", {"amounts": {"credits": 1}}, headers={"idempotency-key": "s"}
    )
    assert settled.status_code == 200, settled.text
    assert (await era.subscription())["subscriptionStatus"] == "paused"


async def test_one_long_move_ends_as_many_short_ones_do(eras: Eras) -> None:
    found = []
    for step in (None, 9):
        era = await eras.born(BORN, zone="Europe/Berlin")
        await to_pro(era)
        await era.use(120, "u")
        await asked(era, "PUT", "/plan", {"plan": "free"})
        if step is None:
            await era.to(BORN + 70 * DAY)
        else:
            for number in range(step, 71, step):
                await era.to(BORN + number * DAY)
            await era.to(BORN + 70 * DAY)
        shown = await era.subscription()
        found.append((shown["planKey"], shown["resetAt"], await era.posted(), sorted(await invoices(era))))
    assert found[0] == found[1]
    assert found[0][0] == "free"


async def test_a_year_of_months_from_the_31st_keeps_its_day_and_hour_in_its_zone(eras: Eras) -> None:
    # Half past nine in Berlin, which is half past eight or half past seven in UTC.
    era = await eras.born(dt.datetime(2027, 12, 31, 8, 30, tzinfo=dt.UTC), zone="Europe/Berlin")
    await to_pro(era)
    ends = []
    for _ in range(6):
        reset = dt.datetime.fromisoformat((await era.subscription())["resetAt"])
        ends.append(reset.strftime("%m-%d %H:%M"))
        await era.to(reset)
    assert ends == ["01-31 08:30", "02-29 08:30", "03-31 07:30", "04-30 07:30", "05-31 07:30", "06-30 07:30"]
    # Nobody paid: months that began in debt cost nothing, and include nothing.
    assert ((await era.subscription())["subscriptionStatus"], len(await invoices(era))) == ("past_due", 1)
    assert await era.posted() == 0
