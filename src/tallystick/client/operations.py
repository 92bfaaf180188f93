"""Calls about what people are shown and what operators do by hand: banners, the widget, corrections, limits, audit."""

import datetime as dt
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from tallystick.client.calls import Amount
from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire import banners as shown
from tallystick.wire import identity
from tallystick.wire import operations as wire
from tallystick.wire.amounts import Credits, answer_decoder, encode
from tallystick.wire.identity import UnitName

T = TypeVar("T")

_JSON: Final = "application/json"

Limit = Amount | UnsetType | None
"""A limit in credits; None leaves it to the installation, left out it stays."""


def banners() -> Call[shown.BannersAnswer]:
    """The current banners that the caller did not dismiss, the most pressing first."""
    return _get("/v1/banners", shown.BannersAnswer)


def dismiss_banner(banner_id: str) -> Call[shown.BannersAnswer]:
    """Put a banner away until the next threshold or allocation; answers those that are left."""
    return Call("POST", f"/v1/banners/{quote(banner_id, safe='')}/dismiss", _decoder(shown.BannersAnswer))


def widget() -> Call[shown.WidgetAnswer]:
    """What the credit-usage widget shows: totals and what is left, and what used the credits."""
    return _get("/v1/widget", shown.WidgetAnswer)


def grants(
    *, include_ended: bool = False, limit: int | None = None, offset: int | None = None
) -> Call[wire.GrantsAnswer]:
    """A page of the workspace's grants, the newest first, with what is left of each."""
    ended = "true" if include_ended else None
    return _get("/v1/grants", wire.GrantsAnswer, includeEnded=ended, limit=limit, offset=offset)


def adjust_credits(
    workspace_uuid: UUID,
    amount: Amount,
    *,
    reason: str,
    unit: UnitName = "credits",
    priority: int | None = None,
    expires_at: dt.datetime | None = None,
    allow_negative: bool = False,
    idempotency_key: str | None = None,
) -> Call[wire.Adjusted]:
    """Correct a balance: above zero gives, below zero takes back. For operators.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.Adjust(
        workspace_uuid=workspace_uuid,
        unit=unit,
        amount=_credits(amount),
        reason=reason,
        expires_at=expires_at,
        priority=priority,
        allow_negative=allow_negative,
    )
    return _send("POST", "/v1/credits/adjust", wire.Adjusted, body, idempotency_key)


def expire_grant(
    grant_uuid: UUID | str, workspace_uuid: UUID, *, reason: str, idempotency_key: str | None = None
) -> Call[identity.GrantAnswer]:
    """End a grant now. For operators."""
    body = wire.ExpireGrant(workspace_uuid=workspace_uuid, reason=reason)
    path = f"/v1/grants/{quote(str(grant_uuid), safe='')}/expire"
    return _send("POST", path, identity.GrantAnswer, body, idempotency_key)


def limits() -> Call[wire.LimitsAnswer]:
    """The spending limits that count for the workspace, and its own."""
    return _get("/v1/limits", wire.LimitsAnswer)


def put_limits(
    *,
    reason: str,
    deploy_threshold: Limit = UNSET,
    low_limit: Limit = UNSET,
    negative_limit: Limit = UNSET,
    fine_tune_minimum: Limit = UNSET,
    comply_seconds: int | UnsetType | None = UNSET,
) -> Call[wire.LimitsAnswer]:
    """Change limits of a workspace; what is left out stays, None leaves it to the installation. For operators.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.PutLimits(
        reason=reason,
        deploy_threshold=_limit(deploy_threshold),
        low_limit=_limit(low_limit),
        negative_limit=_limit(negative_limit),
        fine_tune_minimum=_limit(fine_tune_minimum),
        comply_seconds=comply_seconds,
    )
    return _send("PUT", "/v1/limits", wire.LimitsAnswer, body)


def audit_entries(
    *,
    action: str | None = None,
    actor: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.AuditAnswer]:
    """A page of the audit log, the newest entry first; an operator who names no workspace sees that of all."""
    return _get(
        "/v1/audit",
        wire.AuditAnswer,
        action=action,
        actor=actor,
        since=since,
        until=until,
        limit=limit,
        offset=offset,
    )


def _credits(value: Amount) -> Credits:
    return Credits(parse_credits(value, signed=True))


def _limit(value: Limit) -> Credits | UnsetType | None:
    return value if value is None or isinstance(value, UnsetType) else _credits(value)


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _get(path: str, shape: type[T], **query: object) -> Call[T]:
    given = {
        name: value.isoformat() if isinstance(value, dt.datetime) else str(value)
        for name, value in query.items()
        if value is not None
    }
    return Call("GET", path, cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape))), query=given)


def _send(method: str, path: str, shape: type[T], body: object, idempotency_key: str | None = None) -> Call[T]:
    headers = {"content-type": _JSON}
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    decoder = cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape)))
    return Call(method, path, decoder, body=encode(body), headers=headers)
