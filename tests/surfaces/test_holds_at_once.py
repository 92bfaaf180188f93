"""A gate has two errors, both zero here: what is served beyond the money, and what is refused though it was there.

Many requests at once against a server in a process of its own.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tallystick.client import Client
from tallystick.kernel.credits import NANO
from tallystick.kernel.ids import SystemIds
from tallystick.wire.amounts import Credits
from tallystick.wire.identity import GrantRequest
from tests.serving import House, Shop, serving


@pytest.fixture(scope="module")
def served(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with serving(database_url, tmp_path_factory.mktemp("holds")) as house:
        yield house


@dataclass(frozen=True)
class Till:
    """A workspace, called over many connections at once."""

    shop: Shop

    async def at_once(self, *requests: tuple[str, Any, str | None]) -> list[httpx2.Response]:
        """POST path, body and key, all at the same time, each on a connection of its own."""
        limits = httpx2.Limits(max_connections=len(requests))
        async with httpx2.AsyncClient(base_url=self.shop.base_url, limits=limits, timeout=60) as http:

            async def send(path: str, body: Any, key: str | None) -> httpx2.Response:
                headers = {"authorization": f"Bearer {self.shop.token}"}
                headers |= {} if key is None else {"idempotency-key": key}
                return await http.post(path, json=body, headers=headers)

            return await asyncio.gather(*(send(*request) for request in requests))

    async def one(self, path: str, body: Any, key: str | None = None) -> dict[str, Any]:
        [answer] = await self.at_once((path, body, key))
        assert answer.status_code < 300, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def figures(self) -> dict[str, int]:
        return self.shop.one(
            """
            SELECT posted, held, used, overdraft,
                (SELECT count(*) FROM hold WHERE workspace_id = %(workspace)s) AS holds,
                (SELECT count(*) FROM usage_event WHERE workspace_id = %(workspace)s) AS events
            FROM balance WHERE workspace_id = %(workspace)s AND unit = 'credits'
            """
        )


@pytest.fixture
def till(served: House) -> Till:
    """Fifty credits."""
    key = f"till-{SystemIds().secret()[:12]}"
    with Client(served.base_url, served.operator_token) as operator:
        grants = [GrantRequest(unit="credits", amount=Credits(50 * NANO), expires_at=None)]
        made = operator.create_workspace("Till", key=key, grants=grants)
    assert made.admin_token is not None
    return Till(Shop(served.base_url, made.workspace.uuid, key, made.admin_token, served.database_url))


async def test_two_hundred_requests_for_fifty_credits_let_exactly_fifty_through(till: Till) -> None:
    answers = await till.at_once(*(("/v1/holds", {"amounts": {"credits": 1}}, None) for _ in range(200)))
    assert Counter(answer.status_code for answer in answers) == {201: 50, 402: 150}
    refusals = [answer.json() for answer in answers if answer.status_code == 402]
    assert {refusal["reason"] for refusal in refusals} == {"notEnoughCredits"}
    assert all(refusal["details"]["needed"] == 1 for refusal in refusals)
    assert all(refusal["details"]["available"] + refusal["details"]["held"] == 50 for refusal in refusals)
    assert till.figures() == {
        "posted": 50 * NANO,
        "held": 50 * NANO,
        "used": 0,
        "overdraft": 0,
        "holds": 50,
        "events": 0,
    }


async def test_two_hundred_patient_requests_are_all_served_what_the_money_pays(till: Till) -> None:
    """Estimates of ten, costs of a fifth: refused at once nearly all would be, and so none is."""

    async def call(http: httpx2.AsyncClient, number: int) -> None:
        headers = {"authorization": f"Bearer {till.shop.token}", "idempotency-key": f"call {number}"}
        body = {"amounts": {"credits": 10}, "waitSeconds": 30, "agent": "patient"}
        placed = await http.post("/v1/holds", json=body, headers=headers)
        assert placed.status_code == 201, placed.text
        path = f"/v1/holds/{placed.json()['hold']['id']}/settle"
        settled = await http.post(path, json={"amounts": {"credits": 0.2}}, headers=headers)
        assert settled.status_code == 200, settled.text

    async with httpx2.AsyncClient(base_url=till.shop.base_url, timeout=90) as http:
        await asyncio.gather(*(call(http, number) for number in range(40)))
    figures = till.figures()
    assert (figures["used"], figures["held"], figures["holds"]) == (8 * NANO, 0, 40)


async def test_one_key_forty_times_at_once_is_one_hold_and_one_charge(till: Till) -> None:
    body = {"amounts": {"credits": 7}, "agent": "one"}
    placed = await till.at_once(*(("/v1/holds", body, "once") for _ in range(40)))
    assert Counter(answer.status_code for answer in placed) == {201: 1, 200: 39}
    ids = {answer.json()["hold"]["id"] for answer in placed}
    assert len(ids) == 1
    assert till.figures()["held"] == 7 * NANO
    path, settle = f"/v1/holds/{ids.pop()}/settle", {"amounts": {"credits": 5.5}}
    settled = await till.at_once(*((path, settle, "once") for _ in range(40)))
    assert Counter(answer.status_code for answer in settled) == {200: 40}
    answers = [answer.json() for answer in settled]
    assert {answer["hold"]["settled"]["credits"] for answer in answers} == {5.5}
    assert sum(answer["usage"]["chargedCredits"] for answer in answers) == 5.5
    assert Counter(answer["usage"]["accepted"] for answer in answers) == {1: 1, 0: 39}
    others = await till.at_once(*((path, settle, f"other {n}") for n in range(5)), (path, {"amounts": {}}, "once"))
    assert [answer.json()["reason"] for answer in others] == ["holdNotOpen"] * 5 + ["invalidAmount"]
    figures = till.figures()
    assert (figures["used"], figures["held"], figures["holds"], figures["events"]) == (5_500_000_000, 0, 1, 1)


async def test_forty_ends_of_one_hold_at_once_end_it_once(till: Till) -> None:
    hold = (await till.one("/v1/holds", {"amounts": {"credits": 10}}))["hold"]["id"]
    event = {"specversion": "1.0", "source": "t", "type": "direct.charge"}
    asked: list[tuple[str, Any, str | None]] = []
    for n in range(20):
        events = [event | {"id": f"e{n}", "data": {"quantity": 3}}]
        asked += [(f"/v1/holds/{hold}/void", None, f"v{n}"), (f"/v1/holds/{hold}/settle", {"events": events}, f"s{n}")]
    answers = await till.at_once(*asked)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 39}
    [ended] = [answer.json()["hold"]["status"] for answer in answers if answer.status_code == 200]
    figures = till.figures()
    assert figures["held"] == 0
    assert figures["used"] == (3 * NANO if ended == "settled" else 0)
