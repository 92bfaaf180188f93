"""Facts on their way to receivers: retried, dead, gone, replayed, beside each other. Times are the machine's."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

import pytest

from tallystick.domain.telling import facts
from tallystick.domain.telling.webhooks import secret_text, webhook_id
from tallystick.flows import webhooks
from tallystick.flows.delivering import Bounds, record
from tallystick.kernel.clock import FrozenClock, SystemClock
from tallystick.store import deliveries as store
from tallystick.store.database import Connection, Database
from tests import make
from tests.telling.posting import IDS, Ahead, attempts, author, deliveries, endpoint, fan, sender, tell
from tests.telling.receiver import Receiver, receiving

HOUR = dt.timedelta(hours=1)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def workspace_id(database: Database) -> AsyncIterator[UUID]:
    """One with nothing else to deliver anywhere, before or after."""

    async def clear(conn: Connection) -> None:
        await conn.execute("UPDATE webhook_delivery SET status = 'dead' WHERE status = 'queued'")
        await conn.execute("UPDATE fact SET fanned_at = created_at WHERE fanned_at IS NULL")

    await database.run(clear)
    yield await make.bare_workspace(database, SystemClock().now())
    await database.run(clear)


async def test_each_fact_goes_once_to_each_endpoint_that_wants_it(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    everything = await endpoint(database, workspace_id, receiver.url("/all"))
    await endpoint(database, workspace_id, receiver.url("/some"), facts.CREDITS_EXHAUSTED)
    granted = await tell(database, workspace_id, 2)
    (exhausted,) = await tell(database, workspace_id, kind=facts.CREDITS_EXHAUSTED, left=Decimal("0.000000001"))
    await fan(database)
    await fan(database)
    assert await sender(database).turn() == 4
    assert await sender(database).turn() == 0
    assert receiver.ids("/all") == {webhook_id(fact.id): 1 for fact in (*granted, exhausted)}
    assert receiver.ids("/some") == {webhook_id(exhausted.id): 1}
    assert b'"left": 0.000000001' in receiver.at("/some")[0].body
    assert all(one.is_signed_with(everything.secret) for one in receiver.at("/all"))
    assert {one["status"] for one in await deliveries(database, workspace_id)} == {"delivered"}
    log = await attempts(database, workspace_id)
    assert {(one["number"], one["status_code"], one["error"]) for one in log} == {(1, 200, None)}


async def test_what_fails_is_tried_again_by_the_schedule_with_the_same_content(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    await endpoint(database, workspace_id, receiver.url("/flaky/2"))
    (fact,) = await tell(database, workspace_id)
    await fan(database)
    clock = Ahead()
    assert await sender(database, clock=clock).turn() == 1
    assert await sender(database, clock=clock).turn() == 0, "five seconds have not gone"
    clock.by += dt.timedelta(seconds=7)
    assert await sender(database, clock=clock).turn() == 1
    clock.by += dt.timedelta(seconds=7)
    assert await sender(database, clock=clock).turn() == 0, "five minutes have not gone"
    clock.by += dt.timedelta(minutes=6)
    assert await sender(database, clock=clock).turn() == 1
    received = receiver.at("/flaky/2")
    assert {(one.id, one.body) for one in received} == {(webhook_id(fact.id), received[0].body)}
    assert [one["status_code"] for one in await attempts(database, workspace_id)] == [500, 500, 200]
    (delivery,) = await deliveries(database, workspace_id)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 3)


@pytest.mark.parametrize("path", ["/status/500", "/status/404", "/away", "/drop", "/rubbish"])
async def test_whoever_never_says_yes_gets_it_until_it_is_dead(
    database: Database, workspace_id: UUID, receiver: Receiver, path: str
) -> None:
    await endpoint(database, workspace_id, receiver.url(path))
    await tell(database, workspace_id)
    await fan(database)
    clock = Ahead()
    for _ in range(5):
        await sender(database, clock=clock, attempts_max=3).turn()
        clock.by += HOUR
    assert len(receiver.received) == 3
    (delivery,) = await deliveries(database, workspace_id)
    assert (delivery["status"], delivery["attempts"]) == ("dead", 3)


async def test_a_private_address_is_never_reached(database: Database, workspace_id: UUID, receiver: Receiver) -> None:
    await endpoint(database, workspace_id, receiver.url("/ok"))
    await tell(database, workspace_id)
    await fan(database)
    await sender(database, allowed=()).turn()
    assert receiver.received == []
    (tried,) = await attempts(database, workspace_id)
    assert "no public address" in tried["error"]


async def test_410_disables_the_endpoint_and_admins_are_told(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    gone = await endpoint(database, workspace_id, receiver.url("/status/410"))
    await endpoint(database, workspace_id, receiver.url("/other"), facts.WEBHOOK_DISABLED)
    await tell(database, workspace_id, 3)
    await fan(database)
    await sender(database, bounds=Bounds(of_endpoint=1)).turn()
    assert len(receiver.at("/status/410")) == 1, "the others died with it"
    assert {one["status"] for one in await deliveries(database, workspace_id)} == {"dead"}
    (row,) = await make.rows(database, "SELECT * FROM webhook_endpoint WHERE id = %s", gone.id)
    assert (row["is_enabled"], row["disabled_because"]) == (False, "gone")
    await tell(database, workspace_id)
    await fan(database)
    await sender(database).turn()
    assert len(receiver.at("/status/410")) == 1
    (told,) = receiver.at("/other")
    assert str(gone.id).encode() in told.body
    (entry,) = await make.rows(
        database, "SELECT * FROM audit_entry WHERE workspace_id = %s AND action = 'webhook.disabled'", workspace_id
    )
    assert entry["actor"] == "system"


async def test_an_endpoint_that_took_nothing_for_days_is_told_once_and_again_after_a_success(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    await endpoint(database, workspace_id, receiver.url("/status/500"), facts.CREDITS_GRANTED)
    clock = Ahead()

    async def fail_for_days() -> list[str]:
        await tell(database, workspace_id)
        await fan(database)
        for _ in range(6):
            await sender(database, clock=clock, attempts_max=6).turn()
            clock.by += 14 * HOUR
        kinds = "SELECT kind FROM fact WHERE workspace_id = %s AND kind LIKE 'webhook.%%'"
        return [row["kind"] for row in await make.rows(database, kinds, workspace_id)]

    assert await fail_for_days() == [facts.WEBHOOK_FAILING]
    assert await fail_for_days() == [facts.WEBHOOK_FAILING]
    await database.run(
        lambda conn: conn.execute(
            "UPDATE webhook_endpoint SET url = %s WHERE workspace_id = %s", [receiver.url("/ok"), workspace_id]
        )
    )
    await tell(database, workspace_id)
    await fan(database)
    await sender(database, clock=clock).turn()
    (row,) = await make.rows(database, "SELECT * FROM webhook_endpoint WHERE workspace_id = %s", workspace_id)
    assert (row["failing_since"], row["failing_told_at"]) == (None, None)
    await database.run(
        lambda conn: conn.execute(
            "UPDATE webhook_endpoint SET url = %s WHERE workspace_id = %s", [receiver.url("/drop"), workspace_id]
        )
    )
    assert await fail_for_days() == [facts.WEBHOOK_FAILING] * 2


async def test_a_slow_endpoint_holds_up_no_other(database: Database, workspace_id: UUID, receiver: Receiver) -> None:
    for number in range(3):
        await endpoint(database, workspace_id, receiver.url(f"/hold/{number}"))
    await endpoint(database, workspace_id, receiver.url("/quick"))
    await tell(database, workspace_id, 12)
    await fan(database)
    turn = asyncio.create_task(sender(database, seconds=60, bounds=Bounds(10, 9, 2)).turn())
    async with asyncio.timeout(20):
        while len(receiver.at("/quick")) < 12:
            await asyncio.sleep(0.02)
    assert not turn.done()
    assert max(len(receiver.at(f"/hold/{number}")) for number in range(3)) == 2
    receiver.go_on.set()
    assert await turn == 48


async def test_two_senders_at_once_share_the_work(
    database: Database, database_url: str, workspace_id: UUID, receiver: Receiver
) -> None:
    await endpoint(database, workspace_id, receiver.url("/ok"))
    told = await tell(database, workspace_id, 40)
    await fan(database)
    other = Database(database_url)
    await other.open()
    try:
        made = await asyncio.gather(*(sender(one).turn() for one in (database, other)))
    finally:
        await other.close()
    assert sum(made) == 40
    assert receiver.ids("/ok") == {webhook_id(fact.id): 1 for fact in told}


async def test_both_secrets_sign_while_they_overlap(database: Database, workspace_id: UUID, receiver: Receiver) -> None:
    first = await endpoint(database, workspace_id, receiver.url("/ok"))
    now = SystemClock().now()
    second = await webhooks.rotate(
        database,
        first.id,
        author(workspace_id, now),
        secret=secret_text(IDS.secret()),
        overlap=dt.timedelta(seconds=100),
    )
    clock = Ahead()
    signed = []
    for _ in range(2):
        await tell(database, workspace_id)
        await fan(database)
        await sender(database, clock=clock).turn()
        signed.append([receiver.received[-1].is_signed_with(one.secret) for one in (first, second)])
        clock.by += dt.timedelta(seconds=101)
    assert signed == [[True, True], [False, True]]


async def test_what_is_dead_is_replayed_under_its_own_id(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    to = await endpoint(database, workspace_id, receiver.url("/flaky/4"))
    told = await tell(database, workspace_id, 2)
    await fan(database)
    clock = Ahead()
    await sender(database, clock=clock, attempts_max=1).turn()
    assert [one["status"] for one in await deliveries(database, workspace_id)] == ["dead", "dead"]
    asked = author(workspace_id, clock.now())
    since = clock.now() - HOUR
    assert await webhooks.replay_since(database, to.id, asked, since=clock.now(), dead_only=True) == 0
    assert await webhooks.replay_since(database, to.id, asked, since=since, dead_only=True) == 2
    await sender(database, clock=clock, attempts_max=2).turn()
    clock.by += dt.timedelta(seconds=7)
    await sender(database, clock=clock, attempts_max=2).turn()
    rows = await deliveries(database, workspace_id)
    assert [(one["status"], one["attempts"]) for one in rows] == [("delivered", 3)] * 2, "its tries began anew"
    assert receiver.ids("/flaky/4") == {webhook_id(fact.id): 3 for fact in told}
    # What arrived is sent again only when it is asked for.
    asked = author(workspace_id, clock.now())
    assert await webhooks.replay_since(database, to.id, asked, since=since, dead_only=True) == 0
    assert await webhooks.replay_since(database, to.id, asked, since=since, dead_only=False) == 2
    await sender(database, clock=clock).turn()
    assert receiver.ids("/flaky/4") == {webhook_id(fact.id): 4 for fact in told}
    assert len({one.body for one in receiver.received}) == 2


async def test_one_that_waits_is_tried_at_once_when_it_is_replayed_and_one_on_its_way_is_left_alone(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    await endpoint(database, workspace_id, receiver.url("/flaky/1"))
    await tell(database, workspace_id)
    await fan(database)
    clock = Ahead()
    await sender(database, clock=clock).turn()
    (delivery,) = await deliveries(database, workspace_id)
    assert delivery["next_at"] > clock.now()
    await webhooks.replay(database, delivery["id"], author(workspace_id, clock.now()))
    await sender(database, clock=clock).turn()
    assert [one["status"] for one in await deliveries(database, workspace_id)] == ["delivered"]
    await webhooks.replay(database, delivery["id"], author(workspace_id, clock.now()))
    await database.run(
        lambda conn: conn.execute(
            "UPDATE webhook_endpoint SET url = %s WHERE workspace_id = %s", [receiver.url("/hold"), workspace_id]
        )
    )
    receiver.arrived.clear()
    turn = asyncio.create_task(sender(database, clock=clock, seconds=30).turn())
    await receiver.arrived.wait()
    await webhooks.replay(database, delivery["id"], author(workspace_id, clock.now()))
    assert await sender(database, clock=clock).turn() == 0
    receiver.go_on.set()
    assert await turn == 1


async def test_what_waits_for_an_endpoint_dies_when_it_is_disabled_or_deleted(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    off, deleted = [await endpoint(database, workspace_id, receiver.url(path)) for path in ("/off", "/deleted")]
    await tell(database, workspace_id)
    await fan(database)
    asked = author(workspace_id, SystemClock().now())
    changes = webhooks.Changes(is_enabled=False)
    assert not (
        await webhooks.change(database, off.id, changes, asked, allowed=sender(database).poster.allowed)
    ).is_enabled
    gone = await webhooks.delete(database, deleted.id, asked)
    assert (gone.secret, gone.previous_secret) == ("", None)
    await tell(database, workspace_id)
    await fan(database)
    assert await sender(database).turn() == 0
    assert receiver.received == []
    assert [one["status"] for one in await deliveries(database, workspace_id)] == ["dead", "dead"]


async def test_a_delivery_queued_by_one_who_had_not_seen_it_disabled_is_not_sent(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    await endpoint(database, workspace_id, receiver.url("/ok"))
    await tell(database, workspace_id)
    await fan(database)
    await database.run(
        lambda conn: conn.execute(
            "UPDATE webhook_endpoint SET is_enabled = false WHERE workspace_id = %s", [workspace_id]
        )
    )
    await sender(database).turn()
    assert receiver.received == []
    assert [one["status"] for one in await deliveries(database, workspace_id)] == ["dead"]


async def test_the_time_of_a_workspace_with_a_clock_is_in_what_it_is_told(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    """Its facts are of its own time; when they are sent is the machine's."""
    far = dt.datetime(2031, 5, 1, tzinfo=dt.UTC)
    await database.run(
        lambda conn: conn.execute("UPDATE workspace SET clock_at = %s WHERE id = %s", [far, workspace_id])
    )
    to = await endpoint(database, workspace_id, receiver.url("/status/410"))
    await webhooks.test(database, to.id, author(workspace_id, SystemClock().now()), at=far)
    await sender(database).turn()
    (one,) = receiver.received
    assert b'"timestamp":"2031-05-01T00:00:00Z"' in one.body
    assert one.is_signed_with(to.secret)
    (told,) = await make.rows(
        database, "SELECT at FROM fact WHERE workspace_id = %s AND kind = %s", workspace_id, facts.WEBHOOK_DISABLED
    )
    assert told["at"] == far


async def test_a_turn_ends_though_there_is_more_to_do(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    """Whoever looks sees that it goes on; here time flies."""

    class Flying(FrozenClock):
        def now(self) -> dt.datetime:
            return self.advance(dt.timedelta(seconds=20))

    await endpoint(database, workspace_id, receiver.url("/ok"))
    await tell(database, workspace_id, 30)
    await fan(database)
    clock = Flying(SystemClock().now())
    assert 0 < await sender(database, clock=clock, bounds=Bounds(of_endpoint=1)).turn() < 30


async def test_an_endpoint_that_cannot_be_posted_to_holds_up_no_other(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    broken = await endpoint(database, workspace_id, receiver.url("/broken"))
    await endpoint(database, workspace_id, receiver.url("/ok"))
    await database.run(
        lambda conn: conn.execute("UPDATE webhook_endpoint SET secret = 'whsec_x' WHERE id = %s", [broken.id])
    )
    await tell(database, workspace_id, 3)
    await fan(database)
    assert await sender(database).turn() == 6
    assert len(receiver.received) == 3
    errors = {one["error"] for one in await attempts(database, workspace_id)}
    assert errors == {None, "Not sent: Error"}


async def test_what_comes_of_an_attempt_that_another_has_followed_changes_nothing_but_for_a_success(
    database: Database, workspace_id: UUID, receiver: Receiver
) -> None:
    await endpoint(database, workspace_id, receiver.url("/ok"))
    await tell(database, workspace_id)
    await fan(database)
    now = SystemClock().now()

    async def claim(at: dt.datetime) -> store.Letter:
        async with database.look() as conn:
            waiting = await store.due(conn, at, busy=(), busy_workspaces=(), limit=10)
        (letter,) = await database.run(
            lambda conn: store.claim(conn, waiting, now=at, until=at + dt.timedelta(seconds=75))
        )
        return letter

    async def answered(letter: store.Letter, status: int) -> dict[str, object]:
        tried = store.Tried(letter.number, now, 1, status, None, "")
        await record(database, letter, tried, attempts_max=2, jitter=0, now=now, ids=IDS)
        (row,) = await deliveries(database, workspace_id)
        return {name: row[name] for name in ("status", "next_at", "attempts")}

    first = await claim(now)
    second = await claim(now + dt.timedelta(seconds=80))
    (before,) = await deliveries(database, workspace_id)
    on_its_way = {"status": "queued", "next_at": before["next_at"], "attempts": 2}
    assert await answered(first, 500) == on_its_way
    assert await answered(first, 410) == on_its_way
    assert (await answered(first, 200))["status"] == "delivered"
    assert (await answered(second, 500))["status"] == "delivered"
    assert [one["status_code"] for one in await attempts(database, workspace_id)] == [500, 500]
