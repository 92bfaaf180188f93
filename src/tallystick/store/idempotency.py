"""Requests that carry an `Idempotency-Key`: done once, answered as often as they are sent."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from psycopg.types.json import Jsonb

from tallystick.domain.identity.requests import RequestKey
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


async def once(
    conn: Connection,
    request: RequestKey | None,
    now: dt.datetime,
    work: Callable[[], Awaitable[Mapping[str, Any]]],
) -> Mapping[str, Any]:
    """The answer of `work`, or the one kept from the first time that this request was done.

    Runs inside the caller's transaction: a request that arrives while the first is in flight waits for its end,
    and finds the key free when it failed. The answer is a JSON object without secrets. Without a `request`, `work`
    is simply done. Raises `idempotencyConflict` when the key was used for another request.
    """
    if request is None:
        return await work()
    scope = {"workspace_id": request.workspace_id, "route": request.route, "key": request.key}
    claimed = await conn.execute(
        SQL["claim_idempotency_key"], {**scope, "hash": request.hash, "now": request.asked_at or now}
    )
    if await claimed.fetchone() is None:
        return await _first_answer(conn, request, scope)
    answer = await work()
    await conn.execute(SQL["keep_answer"], {**scope, "response": Jsonb(answer)})
    return answer


async def _first_answer(conn: Connection, request: RequestKey, scope: Mapping[str, Any]) -> Mapping[str, Any]:
    cursor = await conn.execute(SQL["first_answer"], scope)
    row = await cursor.fetchone()
    if row is None or bytes(row["request_hash"]) != request.hash:
        raise TallystickError(
            "idempotencyConflict", "This Idempotency-Key was used for another request.", key=request.key
        )
    answer: Mapping[str, Any] = row["response"]
    return answer
