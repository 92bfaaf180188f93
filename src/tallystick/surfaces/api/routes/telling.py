"""Facts, the outbox of mails, and what a member wants mails about (row E10)."""

from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.identity.rights import BILLING_READ, MEMBERS_WRITE, forbidden
from tallystick.domain.telling.mails import ABOUT_TOPIC, TOPICS, Mail
from tallystick.domain.times import check_time
from tallystick.flows import mailing, preferences
from tallystick.queries import telling as queries
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR, Guard, requires
from tallystick.wire import telling as wire

ROUTES = Routes("Telling")

_OUTBOX: Final = requires(MEMBERS_WRITE, in_workspace=False)
_OWN: Final = Guard("bearer", in_workspace=True)


@ROUTES.get("/v1/facts", requires(BILLING_READ), errors=("invalidTime",))
async def list_facts(call: Call, query: wire.FactList) -> wire.FactsAnswer:
    """A page of what happened in the workspace, newest first: thresholds, grants, limits, deployments."""
    found = await queries.facts(
        call.runtime.database,
        call.workspace_id,
        kind=query.kind,
        start=check_time(query.from_, field="from") if query.from_ else None,
        end=check_time(query.to, field="to") if query.to else None,
        limit=query.limit,
        offset=query.offset,
    )
    return wire.FactsAnswer(
        facts=[
            wire.Fact(
                uuid=fact.id,
                kind=fact.kind,
                at=fact.at,
                data=msgspec.Raw(fact.data.encode()),
                created_at=fact.created_at,
                fanned_at=fact.fanned_at,
            )
            for fact in found
        ]
    )


@ROUTES.get("/v1/mails", _OUTBOX)
async def list_mails(call: Call, query: wire.MailList) -> wire.MailsAnswer:
    """A page of the outbox, newest first: the workspace's, or for an operator who names none, everybody's."""
    found = await queries.mails(
        call.runtime.database,
        workspace_id=call.principal.workspace_id,
        status=query.status,
        kind=query.kind,
        limit=query.limit,
        offset=query.offset,
    )
    return wire.MailsAnswer(mails=[wire.Mail(**_values(mail)) for mail in found])


@ROUTES.get("/v1/mails/{uuid}", _OUTBOX, errors=("mailNotFound",))
async def get_mail(call: Call, uuid: UUID) -> wire.MailAnswer:
    """One mail with its HTML and its plain text."""
    found = await queries.mail(call.runtime.database, uuid, workspace_id=call.principal.workspace_id)
    return _whole(found)


@ROUTES.post(
    "/v1/mails/{uuid}/retry",
    OPERATOR,
    status=200,
    errors=("mailAlreadySent", "mailNotFound", "mailServerMissing"),
)
async def retry_mail(call: Call, uuid: UUID) -> wire.MailAnswer:
    """Let a dead or kept mail be sent as if it had never been tried, with the same Message-ID."""
    runtime = call.runtime
    mail = await mailing.retry(
        runtime.database,
        uuid,
        workspace_id=call.principal.workspace_id,
        can_send=runtime.post is not None,
        # By the machine's clock, as all sending is.
        now=runtime.clock.now(),
        ids=call.ids,
        actor=call.principal.actor,
    )
    return _whole(mail)


@ROUTES.get("/v1/notifications/preferences", _OWN)
async def get_preferences(call: Call) -> wire.PreferencesAnswer:
    """Which mails you want from this workspace; all of them unless you said otherwise. Owners and admins get them."""
    return await _preferences(call, _person(call))


@ROUTES.put("/v1/notifications/preferences", _OWN)
async def put_preferences(call: Call, body: wire.SetPreferences) -> wire.PreferencesAnswer:
    """Say which mails you want from this workspace; what is left out stays."""
    person = _person(call)
    wanted = {topic: value for topic in TOPICS if (value := getattr(body, topic)) is not None}
    await preferences.put(call.runtime.database, wanted, workspace_id=call.workspace_id, person_id=person, now=call.now)
    return await _preferences(call, person)


def _person(call: Call) -> UUID:
    """Preferences are a person's: a token that belongs to none has no say. Raises `forbidden`."""
    if call.principal.person_id is None or call.principal.is_operator:
        raise forbidden()
    return call.principal.person_id


async def _preferences(call: Call, person: UUID) -> wire.PreferencesAnswer:
    found = await queries.preferences(call.runtime.database, call.workspace_id, person)
    return wire.PreferencesAnswer(
        preferences=[
            wire.Preference(topic=topic, mail=wanted, about=ABOUT_TOPIC[topic]) for topic, wanted in found.items()
        ],
        gets_mails=call.principal.role in ("owner", "admin"),
    )


def _whole(mail: Mail) -> wire.MailAnswer:
    return wire.MailAnswer(mail=wire.WholeMail(**_values(mail), html=mail.html, plain=mail.plain))


def _values(mail: Mail) -> dict[str, Any]:
    return {
        "uuid": mail.id,
        "workspace_uuid": mail.workspace_id,
        "fact_uuid": mail.fact_id,
        "user_uuid": mail.person_id,
        "kind": mail.kind,
        "to": mail.to_address,
        "message_id": mail.message_id,
        "subject": mail.subject,
        "status": mail.status,
        "attempts": mail.attempts,
        "next_attempt_at": mail.next_at if mail.status == "queued" else None,
        "error": mail.error,
        "created_at": mail.created_at,
        "sent_at": mail.sent_at,
    }
