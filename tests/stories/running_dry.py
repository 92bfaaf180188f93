"""Telling the life of a workspace on a test clock: calls over HTTP, jobs as a worker does them, whoever is told."""

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import msgspec

from tallystick.flows import tokens
from tallystick.runtime import Runtime
from tallystick.surfaces import worker
from tests.make import IDS
from tests.telling.receiver import Receiver

_exact = msgspec.json.Decoder(float_hook=Decimal)
_AMOUNTS = ("threshold", "limit", "amount", "used", "usedPercent", "posted", "granted")
_DEPLOYED = (
    "name",
    "state",
    "version",
    "replicas",
    "creditsPerHour",
    "creditsPosted",
    "complyBy",
    "endpoint",
    "reason",
)
_MARGIN = " " * 22


class Tale:
    """One workspace, told line by line. `say` begins a paragraph; whatever is told to somebody follows its cause."""

    def __init__(self, runtime: Runtime, http: httpx2.AsyncClient, receiver: Receiver, title: str) -> None:
        self.runtime = runtime
        self.http = http
        self.receiver = receiver
        self.uuid = UUID(int=0)
        self.secret = ""
        self.lines = [title, "=" * len(title)]
        self._operator = f"tally_{IDS.secret()}"
        self._owner = ""
        self._heard = 0
        self._read: set[str] = set()
        self._banners: list[str] = []
        self._credits = ""

    async def begin(self, body: Mapping[str, Any]) -> None:
        """The operator makes the workspace; the platform takes its webhooks."""
        now = self.runtime.clock.now()
        await tokens.create_operator(
            self.runtime.database, "story", text=self._operator, replace=False, actor="test", now=now, ids=IDS
        )
        made = await self.call("POST", "/v1/workspaces", body, status=201)
        self.uuid, self._owner = UUID(made["workspace"]["uuid"]), made["adminToken"]
        hooked = await self.call("POST", "/v1/webhooks", {"url": self.receiver.url("/hooks")}, status=201)
        self.secret = hooked["webhook"]["secret"]

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Ask as the owner, or as the operator before there is one and for what operators alone may."""
        is_operators = not self._owner or path.startswith(("/v1/workspaces", "/v1/grants", "/v1/mails"))
        headers = {"authorization": f"Bearer {self._operator if is_operators else self._owner}"}
        if is_operators and self._owner:
            headers["selected-workspace-uuid"] = str(self.uuid)
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return _exact.decode(answer.content)

    async def until(self, instant: str) -> None:
        """Let time pass, and tell what came of it."""
        await self.call("POST", f"/v1/workspaces/{self.uuid}/clock", {"to": instant})
        passed = len(self.lines)
        await self.told()
        if len(self.lines) > passed:
            self.lines.insert(passed, f"{' ' * 17}... until {_short(instant)}")

    async def use(self, key: str, credits: int) -> None:  # noqa: A002 - what it is
        event = {"specversion": "1.0", "id": key, "source": "acme", "type": "direct.charge"}
        sent = await self.call("POST", "/v1/events", event | {"data": {"quantity": credits}})
        assert sent["accepted"] == 1, sent
        await self.told()

    async def say(self, text: str) -> None:
        """What somebody does, at what time."""
        clock = await self.call("GET", f"/v1/workspaces/{self.uuid}/clock")
        at = dt.datetime.fromisoformat(clock["clock"]["at"])
        self.lines += ["", f"{at:%Y-%m-%d %H:%M:%S}   {text}"]

    async def told(self) -> None:
        """Have a worker do its jobs; then what was posted and mailed, banners where they changed, and the balance."""
        await self._work()
        mails = await self._mails()
        for fact, body in self._webhooks():
            self._line("webhook", f"{_short(body['timestamp'])}  {body['type']}  {_shown(body['data'])}")
            for mail in mails.pop(fact, []):
                self._line("mail", mail)
        assert not mails, "every mail is about a fact that was posted, too"
        banners = [
            f"{one['message']}{'' if one['removable'] else '  (stays)'}"
            for one in (await self.call("GET", "/v1/banners"))["banners"]
        ]
        if banners != self._banners:
            for text in banners or ["none"]:
                self._line("banner", text)
            self._banners = banners
        [money, _] = (await self.call("GET", "/v1/balances"))["balances"]
        text = f"{money['posted']} of {money['granted']}, {money['usedPercent']} % used, {money['state']}"
        if text != self._credits:
            self._line("credits", text)
            self._credits = text

    async def _work(self) -> None:
        todo = worker.jobs(self.runtime.settings)
        for _ in range(2):
            for job in todo:
                await worker.turn(job, self.runtime)

    async def dismiss(self) -> None:
        """Ada puts the first banner away."""
        [banner] = (await self.call("GET", "/v1/banners"))["banners"]
        await self.call("POST", f"/v1/banners/{banner['id']}/dismiss")
        await self.told()

    async def deployment(self, uuid: str) -> None:
        """How a deployment stands, as its page shows it."""
        found = (await self.call("GET", f"/v1/deployments/{uuid}"))["deployment"]
        more = f": {found['reason']}" if found["reason"] else ""
        used = f"{found['creditsUsed']} credits for {found['secondsUsed']} s of replicas"
        self._line("state", f"{found['name']}: {found['status']}{more} ({used})")

    def refused(self, answer: Mapping[str, Any]) -> None:
        self._line("refused", f"{answer['reason']}: {answer['errorMessage']}")

    def _line(self, who: str, text: str) -> None:
        self.lines.append(f"{_MARGIN}{who:<8} {text}")

    def _webhooks(self) -> list[tuple[str, dict[str, Any]]]:
        """What was posted, each with the id of its fact."""
        new, self._heard = self.receiver.at("/hooks")[self._heard :], len(self.receiver.at("/hooks"))
        assert all(one.is_signed_with(self.secret) for one in new)
        # They are posted beside each other: what came first is said by the fact.
        told = [(one.id.removeprefix("fact_"), json.loads(one.body, parse_float=Decimal)) for one in new]
        return sorted(told, key=_order)

    async def _mails(self) -> dict[str, list[str]]:
        """To whom and under which subject, by the fact that each is about."""
        found = (await self.call("GET", "/v1/mails?limit=1000"))["mails"]
        new: dict[str, list[str]] = {}
        for one in found:
            if one["uuid"] not in self._read:
                new.setdefault(one["factUuid"], []).append(f"to {one['to']}: {one['subject']}")
        self._read |= {one["uuid"] for one in found}
        return new


def _order(told: tuple[str, Mapping[str, Any]]) -> tuple[str, str]:
    return told[1]["timestamp"], told[1]["type"]


def _short(instant: str) -> str:
    return dt.datetime.fromisoformat(instant).strftime("%m-%d %H:%M:%S")


def _shown(data: Mapping[str, Any]) -> str:
    """What a webhook says to people; much of the rest is for programs."""
    return ", ".join(f"{name} {data[name]}" for name in (*_AMOUNTS, *_DEPLOYED) if data.get(name) not in (None, ""))
