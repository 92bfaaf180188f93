"""From a fact to the mail in somebody's box: who gets one, how often, and what becomes of it."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from tallystick.domain.telling import facts as kinds
from tallystick.domain.telling.letters import subject_line
from tallystick.flows import mailing, preferences
from tallystick.flows.mailing import LEASE
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Database
from tests import make
from tests.mailbox import mailbox
from tests.make import IDS
from tests.telling.post_office import (
    ATTEMPTS_MAX,
    LETTERHEAD,
    empty_outbox,
    fan,
    happened,
    outbox,
    person,
    post_to,
    send,
    stops,
)

NOW = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)
FIGURES = {"posted": Decimal("22.5"), "granted": Decimal(75), "usedPercent": Decimal(70)}


@pytest.fixture
async def workspace(database: Database) -> AsyncIterator[UUID]:
    async with empty_outbox(database):
        yield await make.bare_workspace(database, NOW)


async def test_owners_and_admins_get_one_each_and_nobody_else(database: Database, workspace: UUID) -> None:
    people = {role: await person(database, workspace, role, NOW) for role in ("owner", "admin", "member", "viewer")}
    await happened(database, workspace, kinds.CREDITS_THRESHOLD, NOW, threshold=70, **FIGURES)
    assert await fan(database, NOW) == 1
    made = await outbox(database, workspace)
    assert {mail["to_address"] for mail in made} == {people["owner"][1], people["admin"][1]}
    assert {mail["subject"] for mail in made} == {"Acme has used 70% of its credits"}
    assert {(mail["status"], mail["dedup"]) for mail in made} == {("queued", "credits:70:2026-03-14")}
    assert "22.50" in made[0]["plain"]
    assert "22.50" in made[0]["html"]


async def test_a_member_says_which_mails_they_want(database: Database, workspace: UUID) -> None:
    quiet, _ = await person(database, workspace, "admin", NOW)
    loud, address = await person(database, workspace, "owner", NOW)
    await preferences.put(
        database, {"credits": False, "billing": True}, workspace_id=workspace, person_id=quiet, now=NOW
    )
    await preferences.put(database, {"deployments": False}, workspace_id=workspace, person_id=loud, now=NOW)
    await happened(database, workspace, kinds.CREDITS_EXHAUSTED, NOW, threshold=100)
    await stops(database, workspace, 1, NOW)
    await fan(database, NOW)
    made = {(mail["person_id"], mail["kind"]) for mail in await outbox(database, workspace)}
    assert made == {(loud, kinds.CREDITS_EXHAUSTED), (quiet, kinds.DEPLOYMENT_STOPPED)}
    assert address
    with pytest.raises(TallystickError) as caught:
        await preferences.put(database, {"credits": True}, workspace_id=workspace, person_id=IDS.new(NOW), now=NOW)
    assert caught.value.code == "forbidden"


async def test_a_threshold_is_mailed_once_a_day_of_the_workspaces_zone(database: Database, workspace: UUID) -> None:
    async def live_in_tokyo(conn: Connection) -> None:
        await conn.execute("UPDATE workspace SET zone = 'Asia/Tokyo' WHERE id = %s", [workspace])

    await database.run(live_in_tokyo)
    await person(database, workspace, "owner", NOW)
    days = []
    for at in ("14T14:59", "14T15:00", "14T15:01", "15T14:59", "15T15:00"):
        then = dt.datetime.fromisoformat(f"2026-03-{at}:00+00:00")
        await happened(database, workspace, kinds.CREDITS_THRESHOLD, NOW, at=then, threshold=90, **FIGURES)
        days.append(await fan(database, NOW))
    made = await outbox(database, workspace)
    assert days == [1] * 5
    assert sorted(mail["dedup"] for mail in made) == [f"credits:90:2026-03-{day}" for day in (14, 15, 16)]


async def test_two_facts_of_one_day_make_one_mail_also_when_they_are_made_together(
    database: Database, workspace: UUID
) -> None:
    await person(database, workspace, "owner", NOW)
    for minute in (2, 1):
        at = NOW + dt.timedelta(minutes=minute)
        await happened(
            database, workspace, kinds.CREDITS_EXHAUSTED, NOW, at=at, amount=minute, posted=-minute, granted=75
        )
    await fan(database, NOW)
    [mail] = await outbox(database, workspace)
    assert "Credits remaining: −1\n" in mail["plain"], "the first that happened"


@pytest.mark.parametrize("threshold", [20, 100])
async def test_a_threshold_without_a_mail_is_done_all_the_same(
    database: Database, workspace: UUID, threshold: int
) -> None:
    await person(database, workspace, "owner", NOW)
    await happened(database, workspace, kinds.CREDITS_THRESHOLD, NOW, threshold=threshold)
    assert (await fan(database, NOW), await fan(database, NOW)) == (1, 0)
    assert await outbox(database, workspace) == []


async def test_facts_are_fanned_out_once_by_however_many(database: Database, workspace: UUID) -> None:
    await person(database, workspace, "owner", NOW)
    await person(database, workspace, "admin", NOW)
    told = await stops(database, workspace, 230, NOW)
    assert sum(await asyncio.gather(*(fan(database, NOW) for _ in range(4)))) == len(told)
    made = await outbox(database, workspace)
    assert len(made) == 2 * len(told)
    assert len({mail["message_id"] for mail in made}) == len(made)
    assert {mail["fact_id"] for mail in made} == {fact.id for fact in told}


async def test_the_limits_and_the_balance_of_now_stand_in_for_what_a_fact_leaves_out(
    database: Database, workspace: UUID
) -> None:
    await person(database, workspace, "owner", NOW)
    await make.grant(database, workspace, 75, NOW)
    await happened(database, workspace, kinds.LOW_REACHED, NOW)
    await fan(database, NOW)
    mail = next(mail for mail in await outbox(database, workspace) if mail["kind"] == kinds.LOW_REACHED)
    for line in ("Credits remaining: 75", "Total credits: 75", "Deployments stop at: −10"):
        assert line in mail["plain"]


async def test_a_hostile_workspace_sends_a_mail_like_any_other(database: Database, workspace: UUID) -> None:
    name = '<b>Acme</b> =?utf-8?q?x=0D=0ABcc:_v@example.com?= "; \u202e'

    async def rename(conn: Connection) -> None:
        await conn.execute("UPDATE workspace SET name = %s WHERE id = %s", [name, workspace])

    await database.run(rename)
    _, address = await person(database, workspace, "owner", NOW)
    await happened(database, workspace, kinds.CREDITS_THRESHOLD, NOW, threshold=90, **FIGURES)
    await fan(database, NOW)
    with mailbox() as box:
        assert await send(database, post_to(box.port), NOW) == 1
    [message] = box.messages
    assert box.recipients == [address]
    assert message["Subject"] == subject_line(f"{name} has used 90% of its credits")
    assert message["Bcc"] is None
    assert b"\nBcc" not in box.taken[0]
    html = message.get_body(("html",))
    assert html is not None
    assert "<b>" not in html.get_content()


async def test_what_is_sent_says_so_and_is_not_sent_again(database: Database, workspace: UUID) -> None:
    await person(database, workspace, "owner", NOW)
    await stops(database, workspace, 3, NOW)
    await fan(database, NOW)
    with mailbox() as box:
        assert [await send(database, post_to(box.port), NOW + dt.timedelta(days=day)) for day in range(3)] == [3, 0, 0]
    made = await outbox(database, workspace)
    assert {(mail["status"], mail["attempts"], mail["sent_at"], mail["error"]) for mail in made} == {
        ("sent", 1, NOW, None)
    }
    assert box.counts == {mail["message_id"]: 1 for mail in made}


async def test_a_server_that_wants_it_later_is_asked_later_until_the_mail_is_dead(
    database: Database, workspace: UUID
) -> None:
    await person(database, workspace, "owner", NOW)
    await stops(database, workspace, 1, NOW)
    await fan(database, NOW)
    with mailbox() as box:
        box.at_data = lambda _: "451 later"
        waits = []
        now = NOW
        for _ in range(ATTEMPTS_MAX):
            await send(database, post_to(box.port), now)
            [mail] = await outbox(database, workspace)
            waits.append((mail["status"], mail["attempts"], int((mail["next_at"] - now).total_seconds())))
            await send(database, post_to(box.port), mail["next_at"] - dt.timedelta(seconds=1))
            now = mail["next_at"]
        assert waits == [("queued", 1, 30), ("queued", 2, 90), ("dead", 3, 270)]
        assert box.offered == ATTEMPTS_MAX
        await send(database, post_to(box.port), now + dt.timedelta(days=1))
        assert box.offered == ATTEMPTS_MAX
    assert "451" in mail["error"]


async def test_a_mail_refused_for_good_is_dead_at_once_and_tried_again_by_hand(
    database: Database, workspace: UUID
) -> None:
    await person(database, workspace, "owner", NOW)
    await stops(database, workspace, 1, NOW)
    await fan(database, NOW)
    with mailbox() as box:
        box.at_rcpt = lambda _: "550 no such user"
        await send(database, post_to(box.port), NOW)
        [mail] = await outbox(database, workspace)
        assert (mail["status"], mail["attempts"]) == ("dead", 1)
        assert "550" in mail["error"]
        box.at_rcpt = lambda _: None
        assert await send(database, post_to(box.port), NOW + dt.timedelta(days=9)) == 0
        again = await retry(database, mail["id"])
        assert (again.status, again.attempts, again.message_id) == ("queued", 0, mail["message_id"])
        assert await send(database, post_to(box.port), NOW) == 1
    with pytest.raises(TallystickError) as caught:
        await retry(database, mail["id"])
    assert caught.value.code == "mailAlreadySent"
    with pytest.raises(TallystickError) as caught:
        await retry(database, IDS.new(NOW))
    assert caught.value.code == "mailNotFound"


async def retry(database: Database, mail_id: UUID, *, can_send: bool = True) -> mailing.Mail:
    return await mailing.retry(
        database, mail_id, workspace_id=None, can_send=can_send, now=NOW, ids=IDS, actor="operator:test"
    )


async def test_without_a_server_mails_are_kept_and_can_be_sent_once_there_is_one(
    database: Database, workspace: UUID
) -> None:
    await person(database, workspace, "owner", NOW)
    await stops(database, workspace, 1, NOW)
    await fan(database, NOW)
    await stops(database, workspace, 1, NOW)
    await fan(database, NOW, replace(LETTERHEAD, is_sent=False))
    assert sorted(mail["status"] for mail in await outbox(database, workspace)) == ["kept", "queued"]
    assert await mailing.keep(database, now=NOW) == 1
    kept = await outbox(database, workspace)
    assert {mail["status"] for mail in kept} == {"kept"}
    with pytest.raises(TallystickError) as caught:
        await retry(database, kept[0]["id"], can_send=False)
    assert caught.value.code == "mailServerMissing"
    await retry(database, kept[0]["id"])
    with mailbox() as box:
        assert await send(database, post_to(box.port), NOW) == 1
    assert box.counts == {kept[0]["message_id"]: 1}


async def test_what_one_sends_nobody_else_takes_until_its_lease_ends(database: Database, workspace: UUID) -> None:
    await person(database, workspace, "owner", NOW)
    await stops(database, workspace, 1, NOW)
    await fan(database, NOW)
    [taken] = await mailing.take(database, attempts_max=2, now=NOW)
    assert await mailing.take(database, attempts_max=2, now=NOW + LEASE - dt.timedelta(seconds=1)) == []
    [again] = await mailing.take(database, attempts_max=2, now=NOW + LEASE)
    assert (taken.id, taken.attempts, again.attempts) == (again.id, 0, 1)
    # The first one comes back late: what it says of a failure is old news, but sent is sent.
    late = mailing.NotSentError("too late", is_final=True)
    await mailing.failed(database, taken, late, attempts_max=2, jitter=0, now=NOW + LEASE)
    assert [mail["status"] for mail in await outbox(database, workspace)] == ["queued"]
    await mailing.sent(database, taken, now=NOW + LEASE)
    await mailing.failed(database, again, late, attempts_max=2, jitter=0, now=NOW + LEASE)
    assert [mail["status"] for mail in await outbox(database, workspace)] == ["sent"]


async def test_a_mail_whose_last_attempt_never_ended_is_dead_and_says_so(database: Database, workspace: UUID) -> None:
    await person(database, workspace, "owner", NOW)
    await stops(database, workspace, 1, NOW)
    await fan(database, NOW)
    for turn in range(2):
        assert len(await mailing.take(database, attempts_max=2, now=NOW + turn * LEASE)) == 1
    assert await mailing.take(database, attempts_max=2, now=NOW + 2 * LEASE) == []
    [mail] = await outbox(database, workspace)
    assert (mail["status"], mail["error"]) == ("dead", "The last attempt did not end.")
