"""A run per request of an ASGI application, served over real sockets: whole, streamed, refused, broken off."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import uvicorn

from tallystick.client import AsyncClient, Lease, RunArguments, current_run
from tallystick.client.asgi import RUN, App, Receive, Scope, Send, TallyMiddleware
from tests.client.colours import POLICY, QUICK
from tests.client.gateway import Wire
from tests.client.test_runs import money, statuses, until
from tests.serving import Shop


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """An agent's endpoint: what it does stands in the path."""
    run = current_run()
    assert run is scope.get(RUN)
    path = scope["path"]
    if run is not None:
        run.record("direct.charge", quantity=1)
    if path == "/broken":
        raise LookupError("broken before it answered")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for part in range(3):
        if run is not None:
            run.record("direct.charge", quantity=1)
        await send({"type": "http.response.body", "body": f"{part} ".encode(), "more_body": True})
        if path == "/broken-later":
            raise LookupError("broken while it answered")
        if path == "/endless":
            await until_gone(receive)
            return
    await send({"type": "http.response.body", "body": b"end"})


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def lifespan_aware(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await app(scope, receive, send)


def five_credits(scope: Scope) -> RunArguments | None:
    return None if scope["path"] == "/free" else {"workflow": scope["path"].strip("/"), "estimate": 5}


@asynccontextmanager
async def served(application: App) -> AsyncIterator[httpx2.AsyncClient]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="on", log_level="critical", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as http:
            yield http
    finally:
        server.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def metered(
    shop: Shop, run_for: Callable[[Scope], Any] = five_credits, **options: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    options = {"base_url": shop.base_url, "token": shop.token, "retrying": QUICK, "runs": POLICY, **options}
    async with AsyncClient(**options) as tally, served(TallyMiddleware(lifespan_aware, tally, run_for)) as http:
        yield http


async def settled(shop: Shop, spent: int) -> None:
    await asyncio.to_thread(until, lambda: money(shop) == (75 - spent, 0))


async def test_a_streamed_answer_is_paid_for_when_it_has_ended(shop: Shop) -> None:
    async with metered(shop) as http:
        answer = await http.get("/answer")
        assert (answer.status_code, answer.text) == (200, "0 1 2 end")
        await settled(shop, 4)
    assert statuses(shop) == ["settled"]


async def test_what_names_no_run_is_not_metered(shop: Shop) -> None:
    async def nothing(scope: Scope) -> None:
        return None

    async with metered(shop) as http:
        assert (await http.get("/free")).text == "0 1 2 end"
    async with metered(shop, nothing) as http:
        assert (await http.get("/answer")).text == "0 1 2 end"
    assert (statuses(shop), money(shop)) == ([], (75, 0))


async def test_a_refused_request_is_answered_with_the_refusal_and_never_reaches_the_application(shop: Shop) -> None:
    async def much(scope: Scope) -> RunArguments:
        return {"workflow": "w", "estimate": 76}

    async with metered(shop, much) as http:
        answer = await http.get("/answer")
    told = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (402, "application/json")
    assert (told["reason"], told["details"]["needed"], told["details"]["available"]) == ("notEnoughCredits", 76, 75)
    assert told["details"]["wayOn"]
    assert (statuses(shop), money(shop)) == ([], (75, 0))


async def test_without_a_server_requests_are_answered_503_or_served_on_trust(shop: Shop, wire: Wire) -> None:
    wire.down()
    async with metered(shop, base_url=wire.url) as http:
        answer = await http.get("/answer")
        assert (answer.status_code, answer.json()["reason"], answer.headers["retry-after"]) == (
            503,
            "serverUnreachable",
            "1",
        )
    async with metered(shop, base_url=wire.url, unreachable=Lease(credits=5, seconds=600)) as http:
        assert (await http.get("/answer")).status_code == 200
        assert (await http.get("/answer")).status_code == 503
        wire.up()
        await settled(shop, 4)


@pytest.mark.parametrize(("path", "spent"), [("/broken", 1), ("/broken-later", 2)])
async def test_what_a_broken_request_used_is_settled_and_the_error_goes_on(shop: Shop, path: str, spent: int) -> None:
    async with metered(shop) as http:
        try:
            status = (await http.get(path)).status_code
        except httpx2.RemoteProtocolError:
            status = 0
        assert status == (500 if path == "/broken" else 0)
        await settled(shop, spent)
    assert statuses(shop) == ["settled"]


async def test_what_was_used_is_settled_when_nobody_listens_any_more(shop: Shop) -> None:
    async with metered(shop) as http:
        async with http.stream("GET", "/endless") as answer:
            async for part in answer.aiter_text():
                assert part == "0 "
                assert money(shop)[1] == 5
                break
        await settled(shop, 2)


async def test_requests_at_once_are_runs_of_their_own(shop: Shop) -> None:
    def by_user(scope: Scope) -> RunArguments:
        return {"workflow": "w", "user": scope["path"].strip("/"), "estimate": 3}

    async with metered(shop, by_user) as http:
        answers = await asyncio.gather(*(http.get(f"/user-{number}") for number in range(15)))
        assert {answer.status_code for answer in answers} == {200}
        await settled(shop, 60)
    assert shop.one(
        "SELECT count(DISTINCT run) AS runs, count(DISTINCT user_id) AS users, count(*) AS events "
        "FROM usage_event WHERE workspace_id = %(workspace)s"
    ) == {"runs": 15, "users": 15, "events": 60}


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}], ids=["closed", "answered"])
async def test_a_refused_websocket_is_closed_or_answered(shop: Shop, extensions: dict[str, Any]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[dict[str, Any]] = []
    async with AsyncClient(shop.base_url, shop.token, retrying=QUICK, runs=POLICY) as tally:
        middleware = TallyMiddleware(app, tally, lambda scope: {"workflow": "w", "estimate": 76})
        await middleware({"type": "websocket", "path": "/", "extensions": extensions}, receive, send)
    if not extensions:
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": "refused"}]
    else:
        assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 402)
        assert json.loads(sent[1]["body"])["reason"] == "notEnoughCredits"
