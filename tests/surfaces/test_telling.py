"""Facts, the outbox and preferences through the API, and the jobs behind them."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.telling import facts as kinds
from tallystick.flows.telling import Letterhead
from tallystick.gateways.mail import Post, Sender, Server
from tallystick.kernel.errors import TallystickError
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces import telling
from tests.mailbox import mailbox
from tests.surfaces.conftest import NOW, Caller, House, new_house
from tests.telling.post_office import empty_outbox, happened


async def told(runtime: Runtime, house: House, kind: str, **data: Any) -> str:
    """Record a fact and let the job make its mails; the fact's id."""
    fact = await happened(runtime.database, house.uuid, kind, NOW, **data)
    assert await telling.fan_out_facts(runtime, NOW) >= 1
    return str(fact.id)


async def mails(caller: Caller, **params: str) -> list[dict[str, Any]]:
    answer = await caller.get("/v1/mails", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["mails"])


async def test_facts_are_listed_newest_first_with_every_digit(runtime: Runtime, house: House) -> None:
    for hours in (2, 1, 3):
        at = NOW - dt.timedelta(hours=hours)
        await happened(
            runtime.database,
            house.uuid,
            kinds.CREDITS_THRESHOLD,
            NOW,
            at=at,
            threshold=hours,
            posted=Decimal("0.100000001"),
        )
    answer = await house.owner.get("/v1/facts", params={"kind": kinds.CREDITS_THRESHOLD})
    assert [fact["data"]["threshold"] for fact in answer.json()["facts"]] == [1, 2, 3]
    assert b'"posted": 0.100000001' in answer.content or b'"posted":0.100000001' in answer.content
    between = {"from": (NOW - dt.timedelta(hours=2)).isoformat(), "to": (NOW - dt.timedelta(hours=1)).isoformat()}
    answer = await house.owner.get("/v1/facts", params={"kind": kinds.CREDITS_THRESHOLD, **between})
    assert [fact["data"]["threshold"] for fact in answer.json()["facts"]] == [2]
    page = {"kind": kinds.CREDITS_THRESHOLD, "limit": "1", "offset": "2"}
    answer = await house.owner.get("/v1/facts", params=page)
    assert [fact["data"]["threshold"] for fact in answer.json()["facts"]] == [3]
    naive = await house.owner.get("/v1/facts", params={"from": "2026-03-14T00:00:00"})
    assert (naive.status_code, naive.json()["reason"]) == (400, "invalidTime")


async def test_without_a_server_mails_are_read_in_the_outbox(runtime: Runtime, house: House) -> None:
    fact = await told(runtime, house, kinds.CREDITS_EXHAUSTED, threshold=100, posted=0, granted=75)
    [mail] = await mails(house.owner, kind=kinds.CREDITS_EXHAUSTED)
    assert (mail["status"], mail["factUuid"], mail["workspaceUuid"]) == ("kept", fact, str(house.uuid))
    assert (mail["attempts"], mail["nextAttemptAt"], mail["sentAt"]) == (0, None, None)
    assert "html" not in mail
    whole = (await house.owner.get(f"/v1/mails/{mail['uuid']}")).json()["mail"]
    assert whole["html"].startswith("<!DOCTYPE html>")
    assert whole["plain"].startswith("All 75 credits are used")
    assert await mails(house.owner, status="dead") == []
    assert (await house.owner.get("/v1/mails", params={"status": "lost"})).status_code == 400
    retried = await house.operator.post(f"/v1/mails/{mail['uuid']}/retry")
    assert (retried.status_code, retried.json()["reason"]) == (409, "mailServerMissing")


async def test_an_outbox_is_its_workspaces_and_the_operators(runtime: Runtime, house: House, operator: Caller) -> None:
    stranger = await new_house(operator)
    await told(runtime, house, kinds.CREDITS_EXHAUSTED, threshold=100)
    await told(runtime, stranger, kinds.CREDITS_EXHAUSTED, threshold=100)
    [theirs] = await mails(stranger.owner, kind=kinds.CREDITS_EXHAUSTED)
    assert {mail["workspaceUuid"] for mail in await mails(house.owner)} == {str(house.uuid)}
    assert {mail["workspaceUuid"] for mail in await mails(house.operator)} == {str(house.uuid)}
    everybody = {mail["workspaceUuid"] for mail in await mails(operator, kind=kinds.CREDITS_EXHAUSTED, limit="1000")}
    assert {str(house.uuid), str(stranger.uuid)} <= everybody
    for caller, status in ((house.owner, 404), (house.operator, 404), (operator, 200), (stranger.owner, 200)):
        assert (await caller.get(f"/v1/mails/{theirs['uuid']}")).status_code == status
    other = await house.operator.post(f"/v1/mails/{theirs['uuid']}/retry")
    assert (other.status_code, other.json()["reason"]) == (404, "mailNotFound")


async def test_the_job_sends_over_smtp_and_an_operator_retries_what_died(
    runtime: Runtime, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with empty_outbox(runtime.database):
        await told(runtime, house, kinds.CREDITS_EXHAUSTED, threshold=100)
        [mail] = await mails(house.owner, kind=kinds.CREDITS_EXHAUSTED)
        path = f"/v1/mails/{mail['uuid']}"
        with mailbox() as box:
            post = Post(Server("127.0.0.1", box.port, "plain"), Sender("Acme", "billing@acme.example"))
            monkeypatch.setattr(runtime, "post", post)
            box.at_rcpt = lambda _: "550 no such user"
            assert (await house.operator.post(f"{path}/retry")).json()["mail"]["status"] == "queued"
            assert await telling.send_mails(runtime, NOW) == 0
            dead = (await house.operator.get(path)).json()["mail"]
            assert (dead["status"], "550" in dead["error"], dead["attempts"]) == ("dead", True, 1)
            box.at_rcpt = lambda _: None
            assert (await house.operator.post(f"{path}/retry")).status_code == 200
            assert await telling.send_mails(runtime, NOW) == 1
        sent = (await house.operator.get(path)).json()["mail"]
        assert (sent["status"], sent["error"], sent["messageId"]) == ("sent", None, mail["messageId"])
        assert list(box.counts) == [mail["messageId"]]
        again = await house.operator.post(f"{path}/retry")
        assert (again.status_code, again.json()["reason"]) == (409, "mailAlreadySent")


async def test_the_settings_say_where_mails_go_and_who_signs(database_url: str) -> None:
    told = {"mail_from": "Acme AI <billing@acme.example>", "support_email": "help@acme.example"}
    told["public_url"] = "https://tally.acme.example"
    settings = Settings(database_url=database_url, smtp_url="smtps://ada:secret@mail.acme.example", **told)
    opened = await Runtime.open(settings, prepare=False)
    try:
        assert opened.post is not None
        assert opened.letterhead == Letterhead(
            "Acme AI", "acme.example", "help@acme.example", public_url="https://tally.acme.example"
        )
    finally:
        await opened.close()
    for wrong in ({"smtp_url": "https://ada:secret@mail.acme.example"}, {"mail_from": "Acme"}):
        with pytest.raises(TallystickError) as caught:
            await Runtime.open(Settings(database_url=database_url, **wrong), prepare=False)
        assert caught.value.code == "invalidSetting"
        assert "secret" not in repr(caught.value)


async def test_everybody_says_for_themselves_which_mails_they_want(
    runtime: Runtime, house: House, operator: Caller
) -> None:
    path = "/v1/notifications/preferences"
    admin = await house.caller("admin")
    asked = (await admin.get(path)).json()
    assert {one["topic"]: one["mail"] for one in asked["preferences"]} == {
        "credits": True,
        "deployments": True,
        "billing": True,
    }
    assert asked["getsMails"] is True
    assert (await (await house.caller("member")).get(path)).json()["getsMails"] is False
    said = (await admin.put(path, {"credits": False})).json()
    assert {one["topic"]: one["mail"] for one in said["preferences"]} == {
        "credits": False,
        "deployments": True,
        "billing": True,
    }
    assert (await admin.put(path, {})).json() == said
    assert (await admin.put(path, {"credits": "no"})).status_code == 400
    owner = (await house.owner.get(path)).json()
    assert all(one["mail"] for one in owner["preferences"])
    await told(runtime, house, kinds.TOOL_RUNS_EXHAUSTED, threshold=100)
    [mail] = await mails(house.owner, kind=kinds.TOOL_RUNS_EXHAUSTED)
    me = UUID((await house.owner.get("/v1/userManagement/users/current")).json()["user"]["uuid"])
    assert mail["userUuid"] == str(me)
    assert (await house.operator.get(path)).status_code == 403
