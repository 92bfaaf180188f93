"""Calls about budgets, and the question whether something may start."""

from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.calls import Amount
from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire import holds as wire
from tallystick.wire.amounts import Credits, answer_decoder, encode
from tallystick.wire.identity import UnitName

T = TypeVar("T")

_AT: Final = "/v1/budgets"


def gate(
    action: wire.Action,
    *,
    amount: Amount | None = None,
    run: str | None = None,
    agent: str | None = None,
    workflow: str | None = None,
    project: str | None = None,
    user: str | None = None,
    api_key: str | None = None,
) -> Call[wire.GateAnswer]:
    """Whether this may start; nothing is held. `amount` in credits, for a tool in tool runs. Refused with 402."""
    query = {
        "action": action,
        "amount": None if amount is None else str(amount),
        "run": run,
        "agent": agent,
        "workflow": workflow,
        "project": project,
        "user": user,
        "apiKey": api_key,
    }
    given = {name: value for name, value in query.items() if value is not None}
    return Call("GET", "/v1/gate", _decoder(wire.GateAnswer), query=given)


def create_budget(
    name: str,
    *,
    scope: wire.BudgetScope,
    per: wire.BudgetPeriod,
    amount: Amount,
    unit: UnitName = "credits",
    subject: str | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.BudgetAnswer]:
    """Cap what `subject`, or without one each of the scope, may use per run, day or month (UTC).

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.CreateBudget(name=name, scope=scope, per=per, amount=_credits(amount), unit=unit, subject=subject)
    return _call("POST", _AT, body, idempotency_key)


def budgets(*, limit: int | None = None, offset: int | None = None) -> Call[wire.BudgetsAnswer]:
    """A page of the workspace's budgets, with what the current window of each has spent and held."""
    query = {name: str(value) for name, value in (("limit", limit), ("offset", offset)) if value is not None}
    return Call("GET", _AT, _decoder(wire.BudgetsAnswer), query=query)


def budget(uuid: UUID | str) -> Call[wire.BudgetAnswer]:
    """One budget."""
    return _call("GET", _path(uuid))


def change_budget(
    uuid: UUID | str, *, name: str | None = None, amount: Amount | None = None, idempotency_key: str | None = None
) -> Call[wire.BudgetAnswer]:
    """Give a budget another name or amount; how far it is used stays.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.ChangeBudget(name=name, amount=None if amount is None else _credits(amount))
    return _call("PUT", _path(uuid), body, idempotency_key)


def delete_budget(uuid: UUID | str, *, idempotency_key: str | None = None) -> Call[wire.BudgetAnswer]:
    """End a budget; one that has ended stays so."""
    return _call("DELETE", _path(uuid), idempotency_key=idempotency_key)


def _path(uuid: UUID | str) -> str:
    return f"{_AT}/{quote(str(uuid), safe='')}"


def _credits(value: Amount) -> Credits:
    return Credits(parse_credits(value))


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _call(method: str, path: str, body: object = None, idempotency_key: str | None = None) -> Call[wire.BudgetAnswer]:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    decoder = cast("msgspec.json.Decoder[wire.BudgetAnswer]", _decoder(wire.BudgetAnswer))
    if body is None:
        return Call(method, path, decoder, headers=headers)
    return Call(method, path, decoder, body=encode(body), headers=headers | {"content-type": "application/json"})
