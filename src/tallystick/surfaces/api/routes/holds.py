"""Holds: set aside before work, settle with the actual, release the rest (row E1)."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from tallystick.domain.credits.balances import Shown
from tallystick.domain.credits.holds import Amounts, Hold
from tallystick.domain.identity.requests import check_idempotency_key
from tallystick.domain.identity.rights import BILLING_READ, HOLDS_WRITE
from tallystick.flows import due, holds
from tallystick.flows.batches import Outcome
from tallystick.flows.holding import Operation
from tallystick.flows.holds import Request
from tallystick.kernel.credits import MAX_NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import balances as balance_queries
from tallystick.queries import holds as queries
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.surfaces.api.reports import Malformed, Report, read_events
from tallystick.surfaces.api.routes.balances import on_wire
from tallystick.surfaces.api.routes.events import answer_of, limits_of
from tallystick.wire import holds as wire
from tallystick.wire.amounts import Credits, encode
from tallystick.wire.identity import UnitName

ROUTES = Routes("Holds")

_WRITE: Final = requires(HOLDS_WRITE)
_READ: Final = requires(HOLDS_WRITE, BILLING_READ)
_REFUSALS: Final = ("budgetExceeded", "notEnoughCredits", "notEnoughToolRuns", "runQuotaReached")
_CHANGES: Final = ("holdNotFound", "holdNotOpen", "idempotencyConflict")
_UNITS: Final[Mapping[str, str]] = {"credits": "credits", "toolRuns": "tool_runs"}


@ROUTES.post(
    "/v1/holds",
    _WRITE,
    answers={201: wire.HoldAnswer, 200: wire.HoldAnswer},
    idempotent=True,
    hot=True,
    errors=(*_REFUSALS, "idempotencyConflict", "invalidAmount", "invalidKey", "busy"),
)
async def place_hold(call: Call, body: wire.PlaceHold) -> Reply:
    """Set credits and tool runs aside for work that is about to start; 402 says what stands in its way.

    The same `Idempotency-Key` again is the same hold, with 200.
    """
    settings = call.runtime.settings
    named = {"project": body.project, "user": body.user, "workflow": body.workflow, "agent": body.agent}
    seconds = settings.hold_seconds if body.expires_in_seconds is None else body.expires_in_seconds
    done = await holds.place(
        call.runtime.database,
        call.runtime.names,
        call.runtime.committer,
        _request(call, body),
        _amounts(body.amounts),
        named={kind: name for kind, name in named.items() if name is not None},
        run=body.run,
        api_key=body.api_key,
        seconds=_seconds(call, seconds),
        wait=min(max(body.wait_seconds or 0, 0), settings.hold_wait_seconds_max),
        now=call.now,
    )
    return Reply(_answer(done), status=200 if done.repeated else 201)


@ROUTES.post("/v1/holds/{id}/settle", _WRITE, status=200, idempotent=True, errors=(*_CHANGES, "tooManyEvents"))
async def settle_hold(call: Call, id: UUID, body: wire.SettleHold) -> wire.SettleAnswer:  # noqa: A002
    """Book what was used, by `amounts` or by usage `events`, and release the rest unless `final` is false.

    Usage above the hold is booked whole (rule M8). The same request again with its key is the same answer.
    """
    request = _request(call, body)
    if (body.amounts is None) == (body.events is None):
        raise TallystickError("invalidRequest", "A settle names either amounts or events.")
    reports: list[Report] = []
    if body.events is not None:
        reports = read_events(body.events, call.now, limits_of(call.runtime.settings))
    elif body.amounts is not None:
        amounts = _amounts(body.amounts)
        reports = [
            await holds.direct_charge(call.runtime.database, request, id, amounts, final=body.final, now=call.now)
        ]
    events = [report for report in reports if not isinstance(report, Malformed)]
    done, outcomes = await holds.settle(
        call.runtime.database,
        call.runtime.names,
        call.runtime.committer,
        request,
        id,
        events,
        final=body.final,
        now=call.now,
    )
    return _settled(done, reports, outcomes)


@ROUTES.post("/v1/holds/{id}/void", _WRITE, status=200, idempotent=True, errors=_CHANGES)
async def void_hold(call: Call, id: UUID) -> wire.HoldAnswer:  # noqa: A002
    """Release a hold of which nothing was used."""
    return _answer(await holds.void(call.runtime.committer, _request(call, {}), id, now=call.now))


@ROUTES.post("/v1/holds/{id}/extend", _WRITE, status=200, errors=("holdNotFound", "holdNotOpen"))
async def extend_hold(call: Call, id: UUID, body: wire.ExtendHold) -> wire.HoldAnswer:  # noqa: A002
    """Give a hold a new deadline, so many seconds from now."""
    seconds = _seconds(call, body.expires_in_seconds)
    return _answer(await holds.extend(call.runtime.committer, _request(call, body), id, seconds, now=call.now))


@ROUTES.get("/v1/holds/{id}", _READ, errors=("holdNotFound",))
async def get_hold(call: Call, id: UUID) -> wire.HoldAnswer:  # noqa: A002
    """One hold as it stands, and the balances."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await queries.hold(call.runtime.database, call.workspace_id, id)
    shown = await balance_queries.balances(call.runtime.database, call.workspace_id)
    return wire.HoldAnswer(hold=_on_wire(found), balances=[on_wire(balance) for balance in shown])


@ROUTES.get("/v1/holds", _READ)
async def list_holds(call: Call, query: wire.HoldsQuery) -> wire.HoldsAnswer:
    """A page of the workspace's holds, newest first."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await queries.holds(
        call.runtime.database,
        call.workspace_id,
        status=query.status,
        run=query.run,
        limit=query.limit,
        offset=query.offset,
    )
    return wire.HoldsAnswer(holds=[_on_wire(hold) for hold in found])


def _request(call: Call, body: object) -> Request:
    """Without an `Idempotency-Key` a request is like no other."""
    given = call.request.headers.get("idempotency-key")
    on_clock = call.principal.clock_at is not None
    if given is None:
        return Request(call.workspace_id, str(call.ids.new(call.now)), b"", on_clock)
    content = call.endpoint.operation.encode() + encode(body)
    return Request(call.workspace_id, check_idempotency_key(given), sha256(content).digest(), on_clock)


def _amounts(given: Mapping[str, Credits]) -> Amounts:
    """Raises `invalidAmount` for nothing, an unknown unit, and what is negative or too large."""
    unknown = next((unit for unit in given if unit not in _UNITS), None)
    if unknown is not None:
        raise TallystickError(
            "invalidAmount", "amounts has credits and toolRuns, nothing else.", field="amounts", unit=unknown[:64]
        )
    if not given:
        raise TallystickError("invalidAmount", "amounts needs credits or toolRuns.", field="amounts")
    if any(not 0 <= amount.nano <= MAX_NANO for amount in given.values()):
        raise TallystickError("invalidAmount", "An amount must not be negative.", field="amounts")
    return Amounts(**{_UNITS[unit]: amount.nano for unit, amount in given.items()})


def _seconds(call: Call, seconds: int) -> int:
    most = call.runtime.settings.hold_seconds_max
    if not 1 <= seconds <= most:
        raise TallystickError(
            "invalidExpiry", f"expiresInSeconds must lie between 1 and {most}.", field="expiresInSeconds", limit=most
        )
    return seconds


def _settled(done: Operation, reports: list[Report], outcomes: list[Outcome]) -> wire.SettleAnswer:
    answer = _answer(done)
    return wire.SettleAnswer(hold=answer.hold, balances=answer.balances, usage=answer_of(reports, outcomes))


def _answer(done: Operation) -> wire.HoldAnswer:
    if done.hold is None:
        raise AssertionError("what was not refused has a hold")
    return wire.HoldAnswer(hold=_on_wire(done.hold), balances=cast(Any, _balances(tuple(done.balances))))


@lru_cache(maxsize=256)
def _balances(shown: tuple[Shown, ...]) -> msgspec.Raw:
    """As they go on the wire, made once for all who share a commit."""
    return msgspec.Raw(encode([on_wire(balance) for balance in shown]))


def _on_wire(hold: Hold) -> wire.Hold:
    return wire.Hold(
        id=hold.id,
        status=hold.status,  # type: ignore[arg-type]
        amounts=_shown(hold.asked_credits, hold.asked_tool_runs),
        open=_shown(hold.credits, hold.tool_runs),
        settled=_shown(hold.settled_credits, hold.settled_tool_runs),
        run=hold.run,
        created_at=hold.created_at,
        expires_at=hold.expires_at,
        finished_at=hold.finished_at,
    )


def _shown(credit: int, tool_runs: int) -> dict[UnitName, Credits]:
    return {"credits": Credits(credit), "toolRuns": Credits(tool_runs)}
