"""A test clock belongs to one workspace, moves forward alone, and takes all that is due with it (rule M30)."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tallystick.flows import clocks, due
from tallystick.runtime import Runtime
from tallystick.store.database import Connection, Database
from tallystick.surfaces import worker
from tests import make
from tests.clocks.conftest import Era, Eras
from tests.conftest import NOW
from tests.make import IDS
from tests.surfaces.conftest import Caller, new_house

BORN = dt.datetime(2024, 1, 31, 10, 30, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


async def test_a_workspace_is_born_by_its_clock_and_lives_by_it(eras: Eras) -> None:
    era = await eras.born(BORN)
    shown = (await era.owner.get("/v1/workspaceManagement/workspaces/current")).json()["workspace"]
    assert (shown["createdAt"], shown["clock"]) == ("2024-01-31T10:30:00Z", "2024-01-31T10:30:00Z")
    subscription = await era.subscription()
    assert (subscription["startAt"], subscription["resetAt"]) == ("2024-01-31T10:30:00Z", "2024-02-29T10:30:00Z")
    asked = (await era.operator.get(f"/v1/workspaces/{era.uuid}/clock")).json()["clock"]
    assert asked == {"workspaceUuid": str(era.uuid), "at": "2024-01-31T10:30:00Z", "isTest": True}
    assert await era.to(BORN + HOUR) == BORN + HOUR
    held = await era.hold(0, 60, "h")
    assert (held["createdAt"], held["expiresAt"]) == ("2024-01-31T11:30:00Z", "2024-01-31T11:31:00Z")


async def test_a_clock_only_moves_forward_and_only_where_there_is_one(eras: Eras, operator: Caller) -> None:
    era = await eras.born(BORN)
    await era.to(BORN + DAY)
    back = await operator.post(f"/v1/workspaces/{era.uuid}/clock", {"to": BORN.isoformat()})
    assert (back.status_code, back.json()["reason"]) == (409, "clockMovesForward")
    assert back.json()["details"] == {"clock": "2024-02-01T10:30:00+00:00", "to": "2024-01-31T10:30:00+00:00"}
    assert await era.to(BORN + DAY) == BORN + DAY
    house = await new_house(operator)
    none = await operator.post(f"/v1/workspaces/{house.uuid}/clock", {"to": "2030-01-01T00:00:00Z"})
    assert (none.status_code, none.json()["reason"]) == (409, "noTestClock")
    asked = (await operator.get(f"/v1/workspaces/{house.uuid}/clock")).json()["clock"]
    assert (asked["at"], asked["isTest"]) == (NOW.isoformat().replace("+00:00", "Z"), False)
    for to in ("2030-01-01T00:00:00", "1969-12-31T23:59:59Z"):
        refused = await operator.post(f"/v1/workspaces/{era.uuid}/clock", {"to": to})
        assert (refused.status_code, refused.json()["reason"]) == (400, "invalidTime"), to


@pytest.mark.parametrize(
    ("away", "reason"),
    [
        (dt.timedelta(seconds=300), None),
        (dt.timedelta(seconds=301), "timeInFuture"),
        (-400 * DAY, None),
        (-400 * DAY - dt.timedelta(seconds=1), "timeTooOld"),
    ],
)
@pytest.mark.parametrize("sender", ["owner", "operator about it", "operator"])
async def test_the_window_for_events_is_that_of_the_clock(
    eras: Eras, away: dt.timedelta, reason: str | None, sender: str
) -> None:
    era = await eras.born(BORN)
    event = {"specversion": "1.0", "id": "1", "source": "test", "type": "orchestration.execution", "data": {}}
    sent = event | {"subject": str(era.uuid), "time": (BORN + away).isoformat()}
    caller = era.owner if sender == "owner" else era.operator
    headers = {"selected-workspace-uuid": str(era.uuid)} if sender == "operator about it" else {}
    answer = (await caller.post("/v1/events", sent, headers=headers)).json()
    assert answer["accepted"] == (reason is None)
    assert [one["reason"] for one in answer["rejected"]] == [reason] * (reason is not None)


async def test_an_operators_batch_books_each_event_at_the_time_of_its_workspace(eras: Eras, operator: Caller) -> None:
    early, late = await eras.born(BORN), await eras.born(dt.datetime(2031, 7, 1, tzinfo=dt.UTC))
    house = await new_house(operator)
    event = {"specversion": "1.0", "source": "test", "type": "orchestration.execution", "data": {}}
    whose = [early.uuid, house.uuid, late.uuid, early.uuid, house.uuid, late.uuid]
    sent = await operator.post(
        "/v1/events", [event | {"id": str(place), "subject": str(uuid)} for place, uuid in enumerate(whose)]
    )
    assert (sent.json()["accepted"], sent.json()["rejected"]) == (6, [])
    # What its time is not, another's is: each is refused for its own workspace only.
    again = await operator.post(
        "/v1/events",
        [event | {"id": f"t{n}", "subject": str(u), "time": BORN.isoformat()} for n, u in enumerate(whose[:3])],
    )
    assert [(one["index"], one["reason"]) for one in again.json()["rejected"]] == [(1, "timeTooOld"), (2, "timeTooOld")]
    about_early = await operator.post(
        "/v1/events", event | {"id": "default"}, headers={"selected-workspace-uuid": str(early.uuid)}
    )
    assert about_early.json()["accepted"] == 1
    times = {}
    for uuid in (early.uuid, house.uuid, late.uuid):
        rows = await make.rows(
            eras.database, "SELECT DISTINCT time, used_at FROM usage_event WHERE workspace_id = %s", uuid
        )
        times[uuid] = [(row["time"], row["used_at"]) for row in rows]
    assert times[early.uuid] == [(BORN, BORN)]
    assert times[house.uuid] == [(NOW, NOW)]
    assert times[late.uuid] == [(dt.datetime(2031, 7, 1, tzinfo=dt.UTC),) * 2]


async def test_commits_at_once_keep_their_times_apart(eras: Eras, operator: Caller) -> None:
    """Holds and events of several clocks and of the machine's, all in flight together."""
    born = [BORN + n * 40 * DAY for n in range(4)]
    several = [await eras.born(at) for at in born]
    houses = [await new_house(operator) for _ in range(4)]
    callers = [(era.owner, era.uuid, at) for era, at in zip(several, born, strict=True)]
    callers += [(house.owner, house.uuid, NOW) for house in houses]

    async def one(caller: Caller, number: int) -> None:
        event = {"specversion": "1.0", "id": f"{number}", "source": "t", "type": "orchestration.execution", "data": {}}
        sent = await caller.post("/v1/events", event)
        assert sent.json()["accepted"] == 1, sent.text
        placed = await caller.post("/v1/holds", {"amounts": {"credits": 0}})
        assert placed.status_code == 201, placed.text

    await asyncio.gather(*(one(caller, n) for n in range(6) for caller, _, _ in callers))
    database = eras.database
    for _, uuid, at in callers:
        for query in (
            "SELECT DISTINCT time AS at FROM usage_event WHERE workspace_id = %s",
            "SELECT DISTINCT created_at AS at FROM hold WHERE workspace_id = %s",
            "SELECT DISTINCT effective_at AS at FROM ledger_transaction WHERE workspace_id = %s AND kind = 'usage'",
        ):
            found = {row["at"].replace(microsecond=0) for row in await make.rows(database, query, uuid)}
            assert found <= {at}, query


async def test_what_is_due_by_a_clock_waits_for_that_clock_and_touches_nobody_else(
    eras: Eras, operator: Caller, runtime: Runtime
) -> None:
    era = await eras.born(BORN)
    await era.grant(10, BORN + DAY)
    house = await new_house(operator)
    there = await make.rows(runtime.database, "SELECT * FROM balance WHERE workspace_id = %s ORDER BY unit", house.uuid)
    # Two years late by the machine's clock; the sweep goes by.
    while await due.sweep(runtime.database, now=NOW, ids=IDS):
        pass
    assert await era.posted() == 10
    await era.to(BORN + DAY - dt.timedelta(microseconds=1))
    assert await era.posted() == 10
    await era.to(BORN + DAY)
    assert await era.posted() == 0
    again = await make.rows(runtime.database, "SELECT * FROM balance WHERE workspace_id = %s ORDER BY unit", house.uuid)
    assert again == there


async def test_an_operators_grant_is_dated_by_the_clock_of_whom_it_names(eras: Eras, operator: Caller) -> None:
    era = await eras.born(BORN)
    house = await new_house(operator)
    body = {"workspaceUuid": str(era.uuid), "unit": "credits", "amount": 5, "reason": "test", "source": "free"}
    given = await operator.post("/v1/grants", body, headers={"selected-workspace-uuid": str(house.uuid)})
    assert given.json()["grant"]["createdAt"] == "2024-01-31T10:30:00Z"
    assert given.json()["grant"]["expiresAt"] == "2024-04-30T10:30:00Z"
    # Over by the machine's clock long ago, and yet to come here.
    body |= {"expiresAt": "2024-02-01T00:00:00Z"}
    assert (await operator.post("/v1/grants", body)).status_code == 201
    body |= {"workspaceUuid": str(house.uuid)}
    assert (await operator.post("/v1/grants", body)).json()["reason"] == "invalidExpiry"


async def test_tokens_end_by_the_machines_clock(eras: Eras) -> None:
    era = await eras.born(BORN)
    made = await era.owner.post(
        "/v1/workspaceManagement/tokens", {"name": "brief", "expiresAt": (NOW + HOUR).isoformat()}
    )
    assert made.status_code == 201, made.text
    assert made.json()["token"]["createdAt"] == NOW.isoformat().replace("+00:00", "Z")
    over = await era.owner.post("/v1/workspaceManagement/tokens", {"name": "x", "expiresAt": "2024-02-02T00:00:00Z"})
    assert over.json()["reason"] == "invalidExpiry"
    await era.to(NOW + 100 * DAY)
    brief = Caller(era.owner.http, made.json()["token"]["token"])
    assert (await brief.get("/v1/balances")).status_code == 200


async def test_a_late_price_is_booked_at_the_time_of_the_workspace(eras: Eras, runtime: Runtime) -> None:
    """Two years before the machine's time: nothing that is due between the two may be settled with it."""
    era = await eras.born(BORN)
    await era.grant(10, BORN + DAY)
    model = f"late-{era.uuid.hex}"
    event = {"specversion": "1.0", "id": "1", "source": "t", "type": "llm.tokens"}
    await era.owner.post("/v1/events", event | {"data": {"model": model, "inputTokens": 10}})
    rates = {"perMillion": {"inputTokens": "100000"}}
    body = {"target": f"llm.tokens/*/{model}", "model": "tokens", "rates": rates, "reason": "test"}
    assert (await era.operator.post("/v1/prices", body)).status_code == 201
    [late] = [job for job in worker.jobs(runtime.settings) if job.name == "price_unpriced"]
    assert await worker.turn(late, runtime) >= 1
    assert await era.posted() == 9
    [adjusted] = await make.rows(
        eras.database, "SELECT time, used_at FROM usage_event WHERE workspace_id = %s AND adjusts IS NOT NULL", era.uuid
    )
    assert (adjusted["time"], adjusted["used_at"]) == (BORN, BORN)
    assert await make.differences(eras.database, era.uuid) == []


class CutError(Exception):
    """The process died between two transactions."""


@pytest.fixture
async def fragile(database_url: str) -> AsyncIterator[Callable[[int], Database]]:
    """A database that gives out after so many transactions."""
    made: list[Database] = []

    class Fragile(Database):
        left = 0

        async def run(self, work: Callable[[Connection], Awaitable[Any]], *, admin: bool = False) -> Any:
            if not self.left:
                raise CutError
            self.left -= 1
            return await super().run(work, admin=admin)

    database = Fragile(database_url, pool_size=2)
    await database.open()
    made.append(database)

    def after(count: int) -> Database:
        database.left = count
        return database

    yield after
    await database.close()


async def eventful(era: Era) -> None:
    """Grants that end on the way, a hold that lapses, and a debt that the next period pays."""
    await era.grant(100, BORN + 45 * DAY)
    await era.grant(50, BORN + 29 * DAY)
    await era.hold(20, 3_600, "h")
    await era.use(70, "u")


async def test_a_move_that_is_cut_off_at_any_step_is_completed_by_the_same_call(
    eras: Eras, fragile: Callable[[int], Database]
) -> None:
    to = BORN + 100 * DAY
    whole = await eras.born(BORN, plan="pro")
    await eventful(whole)
    await whole.to(to)
    told = await whole.history()
    assert sum(row["is_reset"] for row in told) > 6
    for steps in (0, 1, 2, 4, 6):
        cut = await eras.born(BORN, plan="pro")
        await eventful(cut)
        try:
            at = await clocks.advance(fragile(steps), eras.billing, cut.uuid, to, actor="test", ids=IDS)
            assert at == to
        except CutError:
            # A step is all or nothing: what stands is true at the time that the clock shows.
            assert await make.differences(cut.runtime.database, cut.uuid) == []
        assert await cut.to(to) == to
        assert await cut.history() == told, steps
        assert await make.differences(cut.runtime.database, cut.uuid) == []


async def test_two_moves_at_once_are_one_after_the_other(eras: Eras) -> None:
    near, far = BORN + 40 * DAY, BORN + 100 * DAY
    alone, both = await eras.born(BORN, plan="pro"), await eras.born(BORN, plan="pro")
    for era in (alone, both):
        await eventful(era)
    await alone.to(far)
    path, there = f"/v1/workspaces/{both.uuid}/clock", [{"to": at.isoformat()} for at in (far, near, far, near)]
    answers = await asyncio.gather(*(both.operator.post(path, to) for to in there))
    assert [answers[0].status_code, answers[2].status_code] == [200, 200]
    # One that comes when another has gone beyond it is told so.
    assert {answers[1].json().get("reason"), answers[3].json().get("reason")} <= {None, "clockMovesForward"}
    assert (await both.operator.get(path)).json()["clock"]["at"] == "2024-05-10T10:30:00Z"
    assert await both.history() == await alone.history()


async def deployed(era: Era) -> None:
    """Something runs that takes its 20 credits, goes below zero, is stopped, and never confirmed."""
    await era.grant(20)
    asked = {"kind": "script", "resource": "enrich", "profile": "script-4x16", "replicas": 3}
    made = await era.owner.post("/v1/deployments", asked)
    assert made.status_code == 201, made.text
    uuid = made.json()["deployment"]["uuid"]
    told = await era.owner.post(
        f"/v1/deployments/{uuid}/report", {"status": "succeeded", "endpoint": "https://x.example"}
    )
    assert told.status_code == 200, told.text


async def facts(era: Era) -> list[tuple[str, dt.datetime]]:
    found = await make.rows(
        era.runtime.database, "SELECT kind, at FROM fact WHERE workspace_id = %s ORDER BY at, kind", era.uuid
    )
    return [(row["kind"], row["at"]) for row in found]


async def test_what_runs_is_charged_stopped_and_told_of_whatever_steps_the_clock_takes(eras: Eras) -> None:
    end = BORN + 5 * DAY
    told = []
    for stops in ([], [BORN + n * 7 * HOUR for n in range(1, 17)], [BORN + 37 * HOUR + n * MINUTE for n in range(9)]):
        era = await eras.born(BORN)
        await deployed(era)
        for stop in stops:
            await era.to(stop)
        await era.to(end)
        told.append((await era.credits(), await facts(era)))
        assert await make.differences(eras.database, era.uuid) == []
    assert told[0] == told[1] == told[2]
    kinds = [kind for kind, _ in told[0][1]]
    assert kinds[-3:] == ["deployment.stop_requested", "limit.negative_reached", "deployment.stop_overdue"]
    requested, overdue = (
        next(at for kind, at in told[0][1] if kind == f"deployment.{name}")
        for name in ("stop_requested", "stop_overdue")
    )
    assert overdue - requested == 5 * MINUTE


async def test_usage_while_the_clock_moves_is_booked_at_what_it_shows(eras: Eras) -> None:
    era = await eras.born(BORN, plan="pro")
    moving = asyncio.create_task(era.to(BORN + 400 * DAY))
    answers = []
    while not moving.done():
        answers.append(await era.use(1, f"u{len(answers)}"))
    await moving
    assert all(answer["accepted"] == 1 for answer in answers)
    assert await make.differences(era.runtime.database, era.uuid) == []
    used = await make.rows(
        era.runtime.database, "SELECT sum(credits) AS credits FROM usage_event WHERE workspace_id = %s", era.uuid
    )
    assert used[0]["credits"] == len(answers) * 10**9
