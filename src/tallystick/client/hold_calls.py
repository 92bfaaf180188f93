"""The routes of holds, and of what they name, each as a function that makes the call."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.calls import Amount
from tallystick.client.events import EncodedEvent, join
from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire.amounts import Credits, answer_decoder, encode
from tallystick.wire.holds import ExtendHold, HoldAnswer, HoldsAnswer, PlaceHold, SettleAnswer
from tallystick.wire.identity import ResourceAnswer

T = TypeVar("T")

_JSON = {"content-type": "application/json"}


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def place_hold(
    *,
    credits: Amount | None = None,  # noqa: A002 - the unit's name
    tool_runs: Amount | None = None,
    run: str | None = None,
    agent: str | None = None,
    workflow: str | None = None,
    project: str | None = None,
    user: str | None = None,
    api_key: str | None = None,
    expires_in: int | None = None,
    wait: int | None = None,
    idempotency_key: str,
) -> Call[HoldAnswer]:
    """Set credits and tool runs aside. The same `idempotency_key` again answers the same hold.

    `wait` are seconds to wait for other holds to settle where the money is there but set aside. Raises
    `TallystickError` with the code `invalidAmount`; when sent, `RefusedError`.
    """
    given = {"credits": credits, "toolRuns": tool_runs}
    body = PlaceHold(
        amounts={unit: Credits(parse_credits(amount)) for unit, amount in given.items() if amount is not None},
        run=run,
        agent=agent,
        workflow=workflow,
        project=project,
        user=user,
        api_key=api_key,
        expires_in_seconds=expires_in,
        wait_seconds=wait,
    )
    headers = {**_JSON, "idempotency-key": idempotency_key}
    patience = float(wait or 0)
    return Call("POST", "/v1/holds", _decoder(HoldAnswer), body=encode(body), headers=headers, patience=patience)


def hold(id: UUID | str) -> Call[HoldAnswer]:  # noqa: A002 - the hold's own name for it
    """One hold as it is now."""
    return Call("GET", _path(id), _decoder(HoldAnswer))


def holds(
    *, status: str | None = None, run: str | None = None, limit: int | None = None, offset: int | None = None
) -> Call[HoldsAnswer]:
    """A page of the workspace's holds, newest first: of a status (`held`, `settled`, …), of a run, or all."""
    given = {"status": status, "run": run, "limit": limit, "offset": offset}
    query = {name: str(value) for name, value in given.items() if value is not None}
    return Call("GET", "/v1/holds", _decoder(HoldsAnswer), query=query)


def settle_hold(
    id: UUID | str,  # noqa: A002 - as above
    amounts: Mapping[str, Amount],
    *,
    final: bool = True,
    idempotency_key: str | None = None,
) -> Call[SettleAnswer]:
    """Book amounts of `credits` and `toolRuns` against a hold; with `final` the rest is released."""
    shown = {unit: Credits(parse_credits(amount)) for unit, amount in amounts.items()}
    return _post(f"{_path(id)}/settle", encode({"amounts": shown, "final": final}), idempotency_key, SettleAnswer)


def settle_hold_with(
    id: UUID | str,  # noqa: A002 - as above
    events: Sequence[EncodedEvent],
    *,
    final: bool = True,
    idempotency_key: str | None = None,
) -> Call[SettleAnswer]:
    """Book usage events against a hold, at their prices; with `final` the rest is released."""
    body = b'{"final":%s,"events":%s}' % (b"true" if final else b"false", join(list(events)))
    return _post(f"{_path(id)}/settle", body, idempotency_key, SettleAnswer)


def void_hold(id: UUID | str, *, idempotency_key: str | None = None) -> Call[HoldAnswer]:  # noqa: A002 - as above
    """Release a hold."""
    return _post(f"{_path(id)}/void", b"{}", idempotency_key, HoldAnswer)


def extend_hold(id: UUID | str, expires_in: int) -> Call[HoldAnswer]:  # noqa: A002 - as above
    """Let a hold live for `expires_in` seconds from now."""
    return _post(f"{_path(id)}/extend", encode(ExtendHold(expires_in_seconds=expires_in)), None, HoldAnswer)


def resource(kind: str, key: str) -> Call[ResourceAnswer]:
    """What usage is attributed to, by its UUID or key."""
    return Call("GET", f"/v1/resources/{quote(kind, safe='')}/{quote(key, safe='')}", _decoder(ResourceAnswer))


def _path(id_: UUID | str) -> str:
    return f"/v1/holds/{quote(str(id_), safe='')}"


def _post(path: str, body: bytes, idempotency_key: str | None, shape: type[T]) -> Call[T]:
    headers = dict(_JSON)
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    return Call("POST", path, _decoder(cast(Any, shape)), body=body, headers=headers)
