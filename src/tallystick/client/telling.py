"""Calls about what was told: facts, mails, and which of them a member wants."""

import datetime as dt
from functools import cache
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.replies import Call
from tallystick.wire import telling as wire
from tallystick.wire.amounts import answer_decoder, encode

_PREFERENCES: Final = "/v1/notifications/preferences"


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def facts(
    *,
    kind: str | None = None,
    start: dt.datetime | None = None,
    end: dt.datetime | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.FactsAnswer]:
    """A page of what happened in the workspace, newest first; `start` counts, `end` does not."""
    query = _query(kind=kind, limit=limit, offset=offset)
    query |= {name: at.isoformat() for name, at in (("from", start), ("to", end)) if at is not None}
    return Call("GET", "/v1/facts", _decoder(wire.FactsAnswer), query=query)


def mails(
    *,
    status: wire.MailStatus | None = None,
    kind: str | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.MailsAnswer]:
    """A page of the outbox, newest first: the workspace's, or for an operator who names none, everybody's."""
    query = _query(status=status, kind=kind, limit=limit, offset=offset)
    return Call("GET", "/v1/mails", _decoder(wire.MailsAnswer), query=query)


def mail(uuid: UUID | str) -> Call[wire.MailAnswer]:
    """One mail with its HTML and its plain text."""
    return Call("GET", _path(uuid), _decoder(wire.MailAnswer))


def retry_mail(uuid: UUID | str) -> Call[wire.MailAnswer]:
    """For operators: let a dead or kept mail be sent as if it had never been tried."""
    return Call("POST", f"{_path(uuid)}/retry", _decoder(wire.MailAnswer))


def notification_preferences() -> Call[wire.PreferencesAnswer]:
    """Which mails you want from this workspace."""
    return Call("GET", _PREFERENCES, _decoder(wire.PreferencesAnswer))


def set_notification_preferences(
    *,
    credits: bool | None = None,  # noqa: A002 - named as the topic
    deployments: bool | None = None,
    billing: bool | None = None,
) -> Call[wire.PreferencesAnswer]:
    """Say which mails you want from this workspace; what is left out stays."""
    body = encode(wire.SetPreferences(credits=credits, deployments=deployments, billing=billing))
    headers = {"content-type": "application/json"}
    return Call("PUT", _PREFERENCES, _decoder(wire.PreferencesAnswer), body=body, headers=headers)


def _path(uuid: UUID | str) -> str:
    return f"/v1/mails/{quote(str(uuid), safe='')}"


def _query(**given: object) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value is not None}
