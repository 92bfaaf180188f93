"""Facts, mails and what a member wants mails about, on the wire."""

import datetime as dt
from typing import Literal
from uuid import UUID

import msgspec

from tallystick.wire.identity import Page, Wire

TopicName = Literal["credits", "deployments", "billing"]
MailStatus = Literal["queued", "sent", "kept", "dead"]


class FactList(Page):
    """`kind` as facts name it; `from` counts, `to` does not, both by the workspace's clock."""

    kind: str | None = None
    from_: dt.datetime | None = None
    to: dt.datetime | None = None


class Fact(Wire):
    """Something that happened; `at` is when, `createdAt` when it was noticed, both by the workspace's clock.

    `fannedAt`, when its mails and webhooks were made, is by the machine's.

    `data` is as webhooks post it; amounts have all their digits.
    """

    uuid: UUID
    kind: str
    at: dt.datetime
    data: msgspec.Raw
    created_at: dt.datetime
    fanned_at: dt.datetime | None


class FactsAnswer(Wire):
    facts: list[Fact]


class MailList(Page):
    status: MailStatus | None = None
    kind: str | None = None


class Mail(Wire):
    """One mail to one person; `nextAttemptAt` is null unless it waits, `kept` is for reading here alone."""

    uuid: UUID
    workspace_uuid: UUID
    fact_uuid: UUID
    user_uuid: UUID
    kind: str
    to: str
    message_id: str
    subject: str
    status: MailStatus
    attempts: int
    next_attempt_at: dt.datetime | None
    error: str | None
    created_at: dt.datetime
    sent_at: dt.datetime | None


class WholeMail(Mail):
    """A mail with both of its parts."""

    html: str
    plain: str


class MailsAnswer(Wire):
    mails: list[Mail]


class MailAnswer(Wire):
    mail: WholeMail


class Preference(Wire):
    """Whether a member wants mails about a topic; `about` says what it holds."""

    topic: TopicName
    mail: bool
    about: str


class PreferencesAnswer(Wire):
    """`getsMails` is false for members and viewers, who get none whatever they want."""

    preferences: list[Preference]
    gets_mails: bool


class SetPreferences(Wire):
    """Whether you want mails about each topic; what is left out stays."""

    credits: bool | None = None
    deployments: bool | None = None
    billing: bool | None = None
