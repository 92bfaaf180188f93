"""Holds, gates and budgets on the wire."""

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.billing import Balance
from tallystick.wire.events import CloudEvent, IngestAnswer
from tallystick.wire.identity import Page, UnitName, Wire

HoldStatus = Literal["held", "settled", "voided", "expired"]
Action = Literal["run", "tool", "deploy", "fineTune"]
BudgetScope = Literal["workspace", "project", "user", "workflow", "agent", "apiKey"]
BudgetPeriod = Literal["run", "day", "month"]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class PlaceHold(Wire, forbid_unknown_fields=True):
    """`amounts` maps `credits` and `toolRuns` to what is set aside of each; the rest says what it is for.

    `waitSeconds` waits so long for open holds to settle where the money is there but set aside.
    """

    amounts: dict[str, Credits]
    run: Name | None = None
    agent: Name | None = None
    workflow: Name | None = None
    project: Name | None = None
    user: Name | None = None
    api_key: Name | None = None
    expires_in_seconds: int | None = None
    wait_seconds: int | None = None


class Hold(Wire):
    """`amounts` is what was approved, `open` what is still set aside, `settled` what was booked against it."""

    id: UUID
    status: HoldStatus
    amounts: dict[UnitName, Credits]
    open: dict[UnitName, Credits]
    settled: dict[UnitName, Credits]
    run: str | None
    created_at: dt.datetime
    expires_at: dt.datetime
    finished_at: dt.datetime | None


class HoldAnswer(Wire):
    hold: Hold
    balances: list[Balance]


class SettleAnswer(HoldAnswer):
    """What became of the hold, and of the usage that was booked with it."""

    usage: IngestAnswer


class SettleHold(Wire, forbid_unknown_fields=True):
    """Either `amounts`, or `events`, which are priced and booked with it. With `final` false the rest stays held."""

    amounts: dict[str, Credits] | None = None
    events: list[CloudEvent] | None = None
    final: bool = True


class ExtendHold(Wire, forbid_unknown_fields=True):
    """The new deadline, from now on."""

    expires_in_seconds: int


class HoldsQuery(Page):
    """Which holds: of a status, of a run, or all."""

    status: HoldStatus | None = None
    run: Name | None = None


class HoldsAnswer(Wire):
    holds: list[Hold]


class GateQuery(Wire):
    """What is asked about: `amount` in credits, for a tool in tool runs (1 by default)."""

    action: Action
    amount: str | None = None
    run: str | None = None
    agent: str | None = None
    workflow: str | None = None
    project: str | None = None
    user: str | None = None
    api_key: str | None = None


class GateAnswer(Wire):
    """`reason`, `message` and `details` say why not; `remaining` is what each balance has available."""

    allowed: bool
    reason: str | None
    message: str
    details: dict[str, Any]
    remaining: dict[UnitName, Credits]


class CreateBudget(Wire, forbid_unknown_fields=True):
    """A cap of `amount` per run, day or month (UTC). Without `subject` each one of the scope has it."""

    name: Name
    scope: BudgetScope
    per: BudgetPeriod
    amount: Credits
    unit: UnitName = "credits"
    subject: Name | None = None


class ChangeBudget(Wire, forbid_unknown_fields=True):
    name: Name | None = None
    amount: Credits | None = None


class Budget(Wire):
    """`spent` and `held` are those of the current window where the budget has one subject and a window by the clock."""

    uuid: UUID
    name: str
    scope: BudgetScope
    subject: str | None
    per: BudgetPeriod
    unit: UnitName
    amount: Credits
    spent: Credits | None
    held: Credits | None
    created_at: dt.datetime


class BudgetAnswer(Wire):
    budget: Budget


class BudgetsAnswer(Wire):
    budgets: list[Budget]
