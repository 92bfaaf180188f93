"""Usage events in: the hot door. Answers after the commit; good events of a mixed batch are kept, bad ones named."""

import datetime as dt
from typing import Final

from tallystick.domain.identity.rights import BILLING_WRITE, EVENTS_WRITE, forbidden
from tallystick.domain.metering.events import Window
from tallystick.domain.texts import check_key
from tallystick.flows.batches import Outcome
from tallystick.flows.submission import Scope, submit
from tallystick.settings import Settings
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.surfaces.api.reports import (
    BATCH,
    JSON,
    NDJSON,
    ONE,
    Malformed,
    Report,
    ReportLimits,
    decompress,
    read_reports,
)
from tallystick.wire.amounts import Credits
from tallystick.wire.events import CloudEvent, ImportOptions, IngestAnswer, Refusal, Retry

ROUTES = Routes("Events")

_ERRORS: Final = ("busy", "invalidEncoding", "invalidEvent", "malformedJson", "tooManyEvents")
_LARGEST: Final = "request_bytes_max"
_CONTENT: Final = {BATCH: list[CloudEvent], ONE: CloudEvent, JSON: CloudEvent | list[CloudEvent], NDJSON: str}


@ROUTES.post(
    "/v1/events",
    requires(EVENTS_WRITE, in_workspace=False),
    status=200,
    consumes=_CONTENT,
    errors=_ERRORS,
    largest_body=_LARGEST,
    hot=True,
)
async def record_events(call: Call, body: bytes) -> IngestAnswer:
    """Report usage: one CloudEvent or many, as JSON, a batch or lines, also gzip or zstd.

    Each event is deduplicated, priced, debited and rolled up in the commit that this answers after.
    """
    return await _record(call, body, history=None, imported=False)


@ROUTES.post(
    "/api/v1/events",
    requires(EVENTS_WRITE, in_workspace=False),
    answers={200: IngestAnswer, 204: None},
    consumes=_CONTENT,
    errors=_ERRORS,
    largest_body=_LARGEST,
)
async def record_events_compatible(call: Call, body: bytes) -> Reply:
    """The same at the address where clients of another CloudEvents metering service send.

    Those expect no content: a caller that accepts nothing but problems is answered 204 when nothing was refused.
    """
    answer = await _record(call, body, history=None, imported=False)
    accept = call.request.headers.get("accept", "")
    wants_nothing = "problem+json" in accept and "application/json" not in accept and "*/*" not in accept
    if wants_nothing and not (answer.rejected or answer.conflicts or answer.retry):
        return Reply(None, status=204)
    return Reply(answer, status=400 if wants_nothing else 200)


@ROUTES.post(
    "/v1/imports/{name}/events",
    requires(BILLING_WRITE, in_workspace=False),
    status=200,
    consumes=_CONTENT,
    errors=(*_ERRORS, "invalidKey"),
    largest_body=_LARGEST,
)
async def import_events(call: Call, name: str, body: bytes, query: ImportOptions) -> IngestAnswer:
    """Report past usage, however old. What was used before the workspace's birth is priced and charged, and covered
    by one `history` grant of the same amount for the import called `name`, unless `debit` is true.
    """
    if not call.principal.may(EVENTS_WRITE):
        raise forbidden()
    check_key(name, field="name")
    return await _record(call, body, history=None if query.debit else name, imported=True)


async def _record(call: Call, body: bytes, *, history: str | None, imported: bool) -> IngestAnswer:
    settings = call.runtime.settings
    headers = call.request.headers
    limits = limits_of(settings, imported=imported)
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = headers.get("content-encoding", "").strip().lower()
    reports = read_reports(
        decompress(body, encoding, limits.body_bytes),
        content_type,
        {k.lower(): v for k, v in headers.items()},
        call.now,
        limits,
    )
    principal = call.principal
    scope = Scope(None if principal.is_operator else principal.workspace_id, principal.workspace_id, history)
    events = [report for report in reports if not isinstance(report, Malformed)]
    outcomes = await submit(
        call.runtime.database, call.runtime.names, call.runtime.committer, events, scope, now=call.now
    )
    return answer_of(reports, outcomes)


def limits_of(settings: Settings, *, imported: bool = False) -> ReportLimits:
    """What a request with events may hold."""
    return ReportLimits(
        events=settings.request_events_max,
        body_bytes=settings.request_bytes_max,
        event_bytes=settings.event_bytes_max,
        window=Window(
            oldest=None if imported else dt.timedelta(days=settings.event_age_max_days),
            ahead=dt.timedelta(seconds=settings.event_ahead_max_seconds),
        ),
    )


def answer_of(reports: list[Report], outcomes: list[Outcome]) -> IngestAnswer:
    """What became of each event, counted and named."""
    conflicts: list[Refusal] = []
    rejected: list[Refusal] = []
    retry: list[Retry] = []
    accepted = duplicates = charged = 0
    following = iter(outcomes)
    for index, report in enumerate(reports):
        if isinstance(report, Malformed):
            rejected.append(Refusal(index=index, id=report.id, reason=report.error.code, message=report.error.message))
            continue
        outcome = next(following)
        if outcome.kind == "accepted":
            accepted += 1
            charged += outcome.credits
        elif outcome.kind == "duplicate":
            duplicates += 1
        elif outcome.kind == "retry":
            retry.append(Retry(index=index, id=report.source_id))
        elif outcome.error is not None:
            error = outcome.error
            rejected.append(Refusal(index=index, id=report.source_id, reason=error.code, message=error.message))
        else:
            conflicts.append(
                Refusal(
                    index=index,
                    id=report.source_id,
                    reason="conflict",
                    message="An event with this source and id and other content was accepted before.",
                )
            )
    answer = IngestAnswer(
        accepted=accepted,
        duplicates=duplicates,
        conflicts=conflicts,
        rejected=rejected,
        charged_credits=Credits(charged),
    )
    if retry:
        answer.retry = retry
    return answer
