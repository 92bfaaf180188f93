"""Fine-tuning jobs: begun behind a gate with their estimate set aside, ended with what they really took (row B8).

A job that failed or was cancelled pays for what it used (rule M11). Its charges and the end of its hold are one
transaction, whose usage events have ids of the job's own: however often a report is sent, it is booked once.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.credits.gates import Funds, decide_action, standing_of
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.holds import Amounts, Scope
from tallystick.domain.deployments.fine_tuning import (
    RUNNING,
    Estimate,
    Job,
    Work,
    check_work,
    estimate,
    plain,
    quantities,
    told,
)
from tallystick.domain.deployments.profiles import profile_not_found
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.metering.attribution import Attribution, priced_name
from tallystick.domain.metering.catalog import Catalog
from tallystick.domain.metering.charging import Charge, charge_for
from tallystick.domain.metering.events import FINE_TUNING_SOURCE, UsageEvent, event_hash, read_data
from tallystick.domain.metering.resources import MOST_PER_KIND, Resource, resource_id, too_many
from tallystick.domain.metering.rollups import Dimensions
from tallystick.domain.telling.facts import FINE_TUNING_FINISHED, FINE_TUNING_STARTED, Fact, derived_id
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_key, check_text
from tallystick.flows import booking, due
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.holding import Holding, Place, Settle, questions
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, facts, ledger, limits, resources, usage
from tallystick.store import fine_tuning as store
from tallystick.store.database import Connection, Database
from tallystick.store.holds import Facts, facts_of
from tallystick.store.idempotency import once
from tallystick.store.ledger import Books

FINE_TUNED: Final = "Fine-tuned"
"""What the attribute `type` of a language model says that a job makes; of the others it says, or means, Base."""

_KIND: Final = "languageModel"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to begin. `model` is the key or uuid of the model that it makes; None makes one up from `base_model`."""

    base_model: str
    model: str | None
    work: Work


@dataclass(frozen=True, slots=True)
class Report:
    """How a job ended: `succeeded`, `failed` or `cancelled`, and what it took."""

    status: str
    work: Work
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Author:
    """Who asks, in which workspace, by which request, and when."""

    workspace_id: UUID
    actor: str
    request: RequestKey | None
    now: dt.datetime
    ids: Ids


async def quote(database: Database, catalogs: CatalogCache, work: Work, *, now: dt.datetime) -> Estimate:
    """What this work would cost by the prices in force. Raises `invalidQuantity`, `profileNotFound`."""
    check_work(work)
    async with database.read() as conn:
        await _check_profile(conn, work)
        return estimate(work, (await catalogs.current(conn)).prices, now)


async def create(database: Database, catalogs: CatalogCache, new: NewJob, author: Author, *, hold_seconds: int) -> Job:
    """Begin a job: what it will cost is set aside for `hold_seconds`, so that nothing else spends it meanwhile.

    Raises the refusals of the gate `fineTune`, `notEnoughCredits` among them; `invalidKey`, `invalidQuantity`,
    `profileNotFound`, `resourceKindConflict`, `tooManyResources`, `workspaceNotFound` and `idempotencyConflict`.
    """
    check_work(new.work)
    check_key(new.base_model, field="baseModel")
    if new.model is not None:
        check_key(new.model, field="model")

    async def work(conn: Connection) -> Job:
        async def make() -> Mapping[str, Any]:
            job = await _begin(conn, await catalogs.current(conn), new, author, hold_seconds)
            return {"job": str(job.id)}

        job_id = UUID((await once(conn, author.request, author.now, make))["job"])
        return await store.find(conn, author.workspace_id, job_id)

    return await database.run(work)


async def report(
    database: Database, catalogs: CatalogCache, job_id: UUID, given: Report, author: Author, *, hourly_days: int
) -> Job:
    """End a job with what it took, charged now. The same report again is the same answer.

    Never refuses for money (rule M8). Raises `fineTuningJobNotFound`, `fineTuningJobNotRunning`, `invalidQuantity`,
    `invalidText` and `idempotencyConflict`.
    """
    check_work(given.work)
    check_text(given.reason, field="reason", longest=LONGEST_DESCRIPTION, may_be_empty=True)
    hours_since = author.now - dt.timedelta(days=hourly_days)

    async def work(conn: Connection) -> Job:
        async def make() -> Mapping[str, Any]:
            await _end(conn, await catalogs.current(conn), job_id, given, author, hours_since)
            return {"job": str(job_id)}

        found = UUID((await once(conn, author.request, author.now, make))["job"])
        return await store.find(conn, author.workspace_id, found)

    return await database.run(work)


async def _begin(conn: Connection, catalog: Catalog, new: NewJob, author: Author, hold_seconds: int) -> Job:
    workspace_id, now, ids = author.workspace_id, author.now, author.ids
    await _check_profile(conn, new.work)
    job_id = ids.new(now)
    needed = estimate(new.work, catalog.prices, now).credits
    place = Place(
        workspace_id, f"fine-tuning/{job_id}", b"", amounts=Amounts(needed), scope=Scope(), seconds=hold_seconds
    )
    books, answers = await due.lock_and_ask(conn, {workspace_id}, questions([place], {workspace_id}), now=now, ids=ids)
    if workspace_id not in books:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    found = facts_of(answers)
    holding = Holding([place] if needed else [], books, found, now)
    await _pass_gate(conn, needed, books, found, holding, author)
    holding.begin()
    await holding.apply(conn, {}, ids)
    if place.error is not None:
        raise place.error
    model = new.model or f"{new.base_model[:160]}:ft-{job_id.hex[-12:]}"
    job = Job(
        workspace_id=workspace_id,
        id=job_id,
        base_model=new.base_model,
        model=model,
        resource_id=await _make_model(conn, workspace_id, model, new.base_model, now),
        status=RUNNING,
        asked=new.work,
        estimate=needed,
        hold_id=place.hold.id if place.hold else None,
        created_by=author.actor,
        created_at=now,
    )
    await store.insert(conn, job)
    await _tell(conn, FINE_TUNING_STARTED, job, author)
    await holding.save(conn)
    await holding.caps.save(conn)
    await ledger.save_books(conn, books, now)
    return job


async def _check_profile(conn: Connection, work: Work) -> None:
    if work.profile is not None and not await store.has_profile(conn, work.profile):
        raise profile_not_found(work.profile, "model")


async def _pass_gate(
    conn: Connection, needed: int, books: Books, found: Facts, holding: Holding, author: Author
) -> None:
    """The gate `fineTune`, asked under lock of what is about to be set aside."""
    workspace_id, now = author.workspace_id, author.now
    terms = found.terms.get(workspace_id)
    overage = terms.overage if terms is not None else 0
    standing = standing_of(
        terms.status if terms is not None else None,
        terms.resumes_to if terms is not None else None,
        fine_tune_minimum=(await limits.effective(conn, workspace_id)).fine_tune_minimum,
        subscription_id=terms.subscription_id if terms is not None else None,
        plan=terms.plan if terms is not None else None,
    )
    funds = {
        unit: Funds(book.balance.posted, book.balance.held, overage if unit == CREDITS else 0)
        for unit, book in books[workspace_id].items()
    }
    asked = (workspace_id, Scope(), now)
    await holding.caps.read(conn, [asked])
    decide_action("fineTune", needed, funds, standing, holding.caps.over(asked)).check()


async def _make_model(conn: Connection, workspace_id: UUID, model: str, base: str, now: dt.datetime) -> UUID:
    """The fine-tuned model as a resource, made or marked as what it is; its id."""
    model_id = resource_id(workspace_id, _KIND, model)
    attributes = {"type": FINE_TUNED, "base": base}
    before = await resources.lock(conn, workspace_id, model_id)
    if before is None:
        if await resources.count(conn, workspace_id, _KIND) >= MOST_PER_KIND:
            raise too_many(_KIND)
        fresh = Resource(model_id, _KIND, model, model, "", attributes, now, now, None)
        if await resources.insert(conn, workspace_id, fresh):
            return model_id
        before = await resources.lock(conn, workspace_id, model_id)
    if before is None or before.kind != _KIND:
        raise TallystickError(
            "resourceKindConflict",
            "This UUID belongs to a resource of another kind.",
            uuid=str(model_id),
            kind=before.kind if before else _KIND,
        )
    after = replace(before, attributes={**before.attributes, **attributes}, deleted_at=None)
    if after != before:
        await resources.update(conn, workspace_id, replace(after, updated_at=now))
    return model_id


async def _end(
    conn: Connection, catalog: Catalog, job_id: UUID, given: Report, author: Author, hours_since: dt.datetime
) -> None:
    workspace_id, now, ids = author.workspace_id, author.now, author.ids
    before = await store.find(conn, workspace_id, job_id)
    settles = []
    if before.hold_id is not None:
        settles.append(Settle(workspace_id, f"fine-tuning/{job_id}", b"", hold_id=before.hold_id))
    asked = questions(settles, {workspace_id})
    books, answers = await due.lock_and_ask(conn, {workspace_id}, asked, now=now, ids=ids, returns=True)
    job = await store.lock(conn, workspace_id, job_id)
    done = replace(given.work, complexity=job.asked.complexity, profile=job.asked.profile)
    if (job.status, job.reported, job.reason) == (given.status, done, given.reason):
        return
    ended = replace(job, status=job.end(given.status), reported=done, reason=given.reason, finished_at=now)
    holding = Holding(settles, books, facts_of(answers), now)
    holding.begin()
    charges = [_charge(event, ended, catalog, workspace_id) for event in _events(ended, now)]
    base = booking.first_id(ids, now)
    booking.number(charges, base)
    if charges and await usage.insert_keys(conn, charges) < len(charges):
        raise TallystickError("idempotencyConflict", "Usage of this job was reported by somebody else.", id=str(job_id))
    # A hold that lapsed, or that somebody ended, covers nothing any more; what was used is booked all the same.
    open_ = {id(settle): charges for settle in settles if settle.error is None and not settle.repeated}
    holding.cover(open_)
    await booking.book(conn, charges, books, holding.caps, UUID(int=base), hours_since=hours_since, now=now, ids=ids)
    await holding.apply(conn, open_, ids)
    ended = replace(ended, charged=sum(charge.credits for charge in charges))
    await store.finish(conn, ended)
    await _tell(conn, FINE_TUNING_FINISHED, ended, author)
    await holding.save(conn)
    await holding.caps.save(conn)
    await ledger.save_books(conn, books, now)


def _events(job: Job, now: dt.datetime) -> list[UsageEvent]:
    """The usage of a job that ended: one event for its tokens, one for its hardware."""
    if job.reported is None:
        raise AssertionError("a job that ended was reported")
    return [_event(job, type_, {"quantity": plain(n), **data}, now) for type_, n, data in quantities(job.reported)]


def _event(job: Job, type_: str, content: Mapping[str, Any], now: dt.datetime) -> UsageEvent:
    """Made here and not read, since nobody else may report in this name. Its id makes it the only one."""
    facts_, data = read_data(msgspec.json.encode({"job": str(job.id), "model": job.model, **content}))
    subject = str(job.workspace_id)
    hash_ = event_hash(type_, subject, data)
    return UsageEvent(FINE_TUNING_SOURCE, f"{job.id}/{type_}", type_, subject, now, data.decode(), hash_, facts_)


def _charge(event: UsageEvent, job: Job, catalog: Catalog, workspace_id: UUID) -> Charge:
    meter = catalog.meters[event.type]
    dimensions = Dimensions(event.type, meter.category, meter.slug_for(), language_model=job.model)
    name = priced_name(event.type, event.facts)
    attribution = Attribution(workspace_id, meter, dimensions, priced_name=name)
    return charge_for(event, attribution, catalog.prices)


async def _tell(conn: Connection, kind: str, job: Job, author: Author) -> None:
    identity = derived_id(job.workspace_id, kind, str(job.id))
    await facts.record(conn, [Fact(job.workspace_id, identity, kind, author.now, told(job))], author.now)
    more = {} if job.charged is None else {"credits": format_credits(job.charged)}
    await audit.record(
        conn,
        kind,
        workspace_id=job.workspace_id,
        actor=author.actor,
        now=author.now,
        ids=author.ids,
        reason=job.reason,
        job=str(job.id),
        model=job.model,
        status=job.status,
        estimate=format_credits(job.estimate),
        **more,
    )
