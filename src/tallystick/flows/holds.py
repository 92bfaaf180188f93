"""Holds as callers ask for them, each answered after the commit that it shares with others (row E1)."""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from tallystick.domain.credits.holds import Amounts, Hold, Scope
from tallystick.domain.metering.events import UsageEvent, Window, read_event
from tallystick.domain.metering.meters import DIRECT_CHARGE
from tallystick.flows.batches import Batch, Outcome
from tallystick.flows.committer import Committer
from tallystick.flows.holding import Extend, Operation, Place, Settle, Void
from tallystick.flows.names import Names
from tallystick.flows.submission import Scope as ReportScope
from tallystick.flows.submission import item_of, workspaces_of
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.store import holds
from tallystick.store.database import Database

SOURCE: Final = "tallystick/holds"
"""Where usage comes from that a settle names by amount alone."""

_WAITABLE: Final = frozenset({"notEnoughCredits", "notEnoughToolRuns", "budgetExceeded"})
_LOOK_AGAIN: Final = dt.timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True)
class Request:
    """Whose hold it is about, what makes a repeat of the request known, and whether `now` is a test clock's."""

    workspace_id: UUID
    key: str
    hash: bytes
    on_clock: bool = False


async def place(
    database: Database,
    names: Names,
    committer: Committer,
    request: Request,
    amounts: Amounts,
    *,
    named: Mapping[str, str],
    run: str | None,
    api_key: str | None,
    seconds: int,
    wait: int,
    now: dt.datetime,
) -> Operation:
    """Set amounts aside, or raise why not; the same request again is the same hold.

    `named` holds uuids or keys of project, user, workflow and agent. Where the money is there but set aside, it is
    tried again for `wait` seconds whenever a hold of the workspace ends.
    """
    ids = await names.ids(database, request.workspace_id, named, now)
    scope = Scope(run, ids.get("project"), ids.get("user"), ids.get("workflow"), ids.get("agent"), api_key)
    called = msgspec.json.encode(named).decode()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    patience = dt.timedelta(seconds=wait)
    while True:
        operation = Place(
            request.workspace_id, request.key, request.hash, amounts=amounts, scope=scope, seconds=seconds, names=called
        )
        gone = dt.timedelta(seconds=loop.time() - begun)
        await committer.submit(Batch([], now + gone, operation=operation, on_clock=request.on_clock))
        if operation.error is None or gone >= patience or not _is_set_aside(operation.error):
            break
        await committer.released(request.workspace_id, min(patience - gone, _LOOK_AGAIN))
    return _answered(operation)


async def settle(
    database: Database,
    names: Names,
    committer: Committer,
    request: Request,
    hold_id: UUID,
    events: Sequence[UsageEvent],
    *,
    final: bool,
    now: dt.datetime,
) -> tuple[Operation, list[Outcome]]:
    """Book usage and end its hold with it; what became of each event.

    Raises `forbidden` for an event of another workspace, `holdNotFound`, `holdNotOpen`, and `idempotencyConflict` where
    a part that is settled by amount has the key of another one.
    """
    known = await workspaces_of(database, names, events)
    whose = ReportScope(request.workspace_id, request.workspace_id)
    operation = Settle(request.workspace_id, request.key, request.hash, hold_id=hold_id, final=final)
    batch = Batch(
        [item_of(event, known, whose) for event in events], now, operation=operation, on_clock=request.on_clock
    )
    await committer.submit(batch)
    for event, outcome in zip(events, batch.outcomes, strict=True):
        if event.source == SOURCE and outcome is not None and outcome.kind == "conflict":
            raise TallystickError(
                "idempotencyConflict", "This Idempotency-Key was used for another request.", key=request.key
            )
    return _answered(operation), [outcome or Outcome("duplicate") for outcome in batch.outcomes]


async def void(committer: Committer, request: Request, hold_id: UUID, *, now: dt.datetime) -> Operation:
    """Release a hold. Raises `holdNotFound`, `holdNotOpen`."""
    operation = Void(request.workspace_id, request.key, request.hash, hold_id=hold_id)
    await committer.submit(Batch([], now, operation=operation, on_clock=request.on_clock))
    return _answered(operation)


async def extend(committer: Committer, request: Request, hold_id: UUID, seconds: int, *, now: dt.datetime) -> Operation:
    """Give a hold a new deadline, `seconds` from now. Raises `holdNotFound`, `holdNotOpen`."""
    operation = Extend(request.workspace_id, request.key, request.hash, hold_id=hold_id, seconds=seconds)
    await committer.submit(Batch([], now, operation=operation, on_clock=request.on_clock))
    return _answered(operation)


async def direct_charge(
    database: Database, request: Request, hold_id: UUID, amounts: Amounts, *, final: bool, now: dt.datetime
) -> UsageEvent:
    """The usage event of a settle that only names amounts (rule M8). Raises `holdNotFound`."""
    workspace_id = request.workspace_id
    async with database.read(workspace_id) as conn:
        hold = (await holds.by_id(conn, [(workspace_id, hold_id)])).get((workspace_id, hold_id))
    if hold is None:
        raise TallystickError("holdNotFound", "There is no such hold.", id=str(hold_id))
    return read_event(
        specversion="1.0",
        source=SOURCE,
        source_id=f"{hold_id}/{request.key}" if final else f"{hold_id}/part/{request.key}",
        type_=DIRECT_CHARGE,
        subject=str(workspace_id),
        time=now,
        data=msgspec.json.encode(_usage_of(hold, amounts)),
        now=now,
        window=Window(None, dt.timedelta(0)),
    )


def _usage_of(hold: Hold, amounts: Amounts) -> dict[str, str]:
    """What it is for goes by the names that the hold was asked for with: it may be the first that is heard of them."""
    data = {"hold": str(hold.id), "quantity": format_credits(amounts.credits)}
    if amounts.tool_runs:
        data["toolRuns"] = format_credits(amounts.tool_runs)
    data |= msgspec.json.decode(hold.names, type=dict[str, str])
    scope = hold.scope
    if scope.run is not None:
        data["run"] = scope.run
    if scope.api_key is not None:
        data["apiKey"] = scope.api_key
    return data


def _answered(operation: Operation) -> Operation:
    if operation.error is not None:
        raise operation.error
    return operation


def _is_set_aside(error: TallystickError) -> bool:
    """Whether what is missing is there but set aside by open holds, so that their settling may set it free."""
    if error.code not in _WAITABLE:
        return False
    needed, available, held = (Decimal(str(error.details[name])) for name in ("needed", "available", "held"))
    return needed <= available + held
