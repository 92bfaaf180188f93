"""Usage events in: the hot door. Answers after the commit; good events of a mixed batch are kept, bad ones named."""

import datetime as dt
from typing import Final
from uuid import UUID

from tallystick.domain.identity.rights import BILLING_WRITE, EVENTS_WRITE, forbidden
from tallystick.domain.metering.events import Window
from tallystick.domain.texts import check_key
from tallystick.flows.batches import Outcome
from tallystick.flows.submission import Scope, submit, workspaces_of
from tallystick.settings import Settings
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.surfaces.api.reports import (
    BATCH,
    JSON,
    NDJSON,
    ONE,
    Decoded,
    Malformed,
    Report,
    ReportLimits,
    check_reports,
    decode_reports,
    decompress,
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
    sent = decode_reports(
        decompress(body, encoding, limits.body_bytes),
        content_type,
        {k.lower(): v for k, v in headers.items()},
        limits,
    )
    principal = call.principal
    reports, clocks = await _at_their_times(call, sent, limits)
    scope = Scope(None if principal.is_operator else principal.workspace_id, principal.workspace_id, history)
    events = [report for report in reports if not isinstance(report, Malformed)]
    outcomes = await submit(
        call.runtime.database,
        call.runtime.names,
        call.runtime.committer,
        events,
        scope,
        now=call.received_at,
        clocks=clocks,
    )
    return answer_of(reports, outcomes)


async def _at_their_times(
    call: Call, sent: list[Decoded], limits: ReportLimits
) -> tuple[list[Report], dict[UUID, dt.datetime]]:
    """The events, each read at the time of its workspace, and the test clocks among those times."""
    principal, runtime = call.principal, call.runtime
    own = principal.workspace_id
    clocks = {} if own is None or principal.clock_at is None else {own: principal.clock_at}
    if not principal.is_operator:
        return check_reports(sent, lambda _: call.now, limits), clocks
    named = [one for one in sent if not isinstance(one, Malformed)]
    known = await workspaces_of(runtime.database, runtime.names, named)
    clocks |= await runtime.clocks.of(runtime.database, set(known.values()))
    times = {subject: clocks[one] for subject, one in known.items() if one in clocks}
    return check_reports(
        sent, lambda subject: times.get(subject, call.received_at) if subject else call.now, limits
    ), clocks


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
