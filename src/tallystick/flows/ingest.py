"""Booking usage events: one transaction for everything that waited, exactly once per event (rules M2 to M11, M21)."""

import datetime as dt
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid5

from tallystick.domain.credits.accounts import BalanceOutOfRangeError
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.metering.catalog import Catalog
from tallystick.domain.metering.charging import Charge, charge_for
from tallystick.domain.metering.events import CANCELLED
from tallystick.domain.metering.prices import PriceBook
from tallystick.flows import booking, corrections, due
from tallystick.flows.batches import Batch, Entry
from tallystick.flows.caps import Caps
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.holding import Holding, Settle
from tallystick.flows.holding import questions as holding_questions
from tallystick.flows.names import Attributed, Names
from tallystick.flows.turns import Turns
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids, distinct
from tallystick.store import ledger, names, usage, workspaces
from tallystick.store.database import Connection, Database, finishing
from tallystick.store.holds import facts_of
from tallystick.store.ledger import Books
from tallystick.store.names import NewResource

_STALE_ATTEMPTS = 5
_NO_CATALOG = Catalog(-1, {}, PriceBook(), {})


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How many resources of a kind events may create, and how long hourly totals are kept."""

    resources_max: int = 10_000
    hourly_days: int = 35

    @property
    def hourly(self) -> dt.timedelta:
        return dt.timedelta(days=self.hourly_days)


class _StaleError(Exception):
    """A cached fact that prices rest on changed before the lock was taken."""


async def book(
    database: Database,
    batches: list[Batch],
    *,
    names_cache: Names,
    catalogs: CatalogCache,
    limits: IngestLimits,
    ids: Ids,
    careful: bool = False,
    turns: Turns | None = None,
) -> bool:
    """Book all events of these batches in one transaction and write each one's outcome into its batch.

    Never refuses for money (rule M8). Nothing is booked when it raises; calling it again is safe. Keys are taken to be
    free, which costs least; where one is not, or when told to be `careful`, they are claimed before anything rests on
    them. Whether some were taken: then the next commit had better be careful, too.
    """
    full: dict[UUID, TallystickError] = {}
    turns = turns or Turns()
    attempts = 0
    while attempts < _STALE_ATTEMPTS:
        try:
            return await database.run(
                partial(_commit, batches, full, names_cache, catalogs, limits, ids, turns, careful=careful)
            )
        except usage.TakenError:
            careful = True
        except _StaleError as stale:
            names_cache.forget(stale.args[0])
            attempts += 1
        except BalanceOutOfRangeError as error:
            # One workspace more that is left out; the others' events are kept.
            if error.workspace_id in full:
                raise
            full[error.workspace_id] = error
    raise TallystickError("busy", "Connectors change faster than events can be booked; try again.")


async def _commit(
    batches: list[Batch],
    full: dict[UUID, TallystickError],
    names_cache: Names,
    catalogs: CatalogCache,
    limits: IngestLimits,
    ids: Ids,
    turns: Turns,
    conn: Connection,
    *,
    careful: bool,
) -> bool:
    now = await _now(conn, batches)
    entries = _within_range(_entries(batches), full)
    # Holds alone need none of it.
    catalog = await catalogs.current(conn) if entries else _NO_CATALOG
    candidates = _candidates(entries, batches)
    correcting = any(entry.corrects for entry in candidates)
    booked = [entry for entry in candidates if entry.item.event.type != CANCELLED] if correcting else candidates
    async with turns.turn(len(booked)):
        attributed = await names_cache.attribute(conn, [entry.item for entry in booked], catalog)
        _charge(booked, attributed, catalog.prices)
    alive = _bookable(entries, candidates)
    returns = correcting or any(charge.tier is not None for entry in candidates for charge in entry.charges)
    operations = [batch.operation for batch in batches if batch.operation is not None]
    workspace_ids = set(distinct(entry.item.workspace_id for entry in alive))
    workspace_ids.update(operation.workspace_id for operation in operations)
    asked = holding_questions(operations, workspace_ids) if operations else {}
    books, answers = await due.lock_and_ask(conn, workspace_ids, asked, now=now, ids=ids, returns=returns)
    _check_fresh(attributed, books)
    if len(books) < len(workspace_ids):
        alive = _known(alive, books)
    holding = Holding(operations, books, facts_of(answers), now) if operations else None
    caps = await Caps.load(conn, workspace_ids) if holding is None else holding.caps
    if holding is not None:
        holding.begin()
        if holding.late_parts:
            await _recognise(conn, holding, batches)
        alive = _settling(alive)
    alive = await _create_resources(conn, alive, limits.resources_max, now)
    base = booking.first_id(ids, now)
    booking.number((charge for entry in alive for charge in entry.charges), base)
    if correcting:
        alive = await corrections.apply(conn, alive, catalog)
        booking.number_again((charge for entry in alive for charge in entry.charges), base)
    # What is settled, taken back or covered rests on which events stand.
    careful = careful or correcting or holding is not None or any(batch.history is not None for batch in batches)
    asked_for = len(alive)
    if careful:
        alive = await _claim(conn, alive)
        await _cover(conn, alive)
    charges = [charge for entry in alive for charge in entry.charges]
    settling = _by_operation(alive)
    if holding is not None:
        holding.cover(settling)
    if charges:
        async with turns.turn(len(charges)):
            await booking.stage(conn, charges, books, caps, UUID(int=base), now=now, ids=ids)
    if holding is not None:
        await holding.apply(conn, settling, ids)
    async with usage.claiming(not careful), finishing(conn):
        if charges:
            await usage.add_events(conn, hours_since=now - limits.hourly, claim=not careful)
        if holding is not None:
            await holding.save(conn)
        await caps.save(conn)
        await ledger.save_books(conn, books, now)
    for entry in alive:
        entry.accept()
    return len(alive) < asked_for


async def _now(conn: Connection, batches: list[Batch]) -> dt.datetime:
    """The instant of a commit: of a workspace with a test clock that clock's, as it stands by now."""
    if batches[0].on_clock:
        return await workspaces.clock_now(conn, batches[0].workspace_id)
    return max(batch.now for batch in batches)


def _candidates(entries: list[Entry], batches: list[Batch]) -> list[Entry]:
    """Those that may book: the entries themselves where nothing is settled, else also some of their twins."""
    if any(batch.operation is not None and batch.items for batch in batches):
        return [one for entry in entries for one in entry.candidates]
    return entries


async def _recognise(conn: Connection, holding: Holding, batches: list[Batch]) -> None:
    """A part that comes after its hold has ended, and whose every event is booked, comes for the second time.

    Its first answer was lost, and the hold ended before it was asked again: refused now, its caller would take for
    unspent what was charged. Only the end of a hold is kept with it, so a part is known by its events.
    """
    late = {id(part) for part in holding.late_parts}
    for batch in batches:
        part = batch.operation
        if not isinstance(part, Settle) or id(part) not in late or not batch.items:
            continue
        taken = await usage.keys(conn, [item.key for item in batch.items])
        stored = [taken[item.key]["hash"] if item.key in taken else None for item in batch.items]
        if stored == [item.event.hash for item in batch.items]:
            holding.repeat(part)


def _bookable(entries: list[Entry], candidates: list[Entry]) -> list[Entry]:
    """Entries that book something, themselves or by one of their candidates."""
    if candidates is entries:
        return [entry for entry in entries if entry.is_bookable]
    return [entry for entry in entries if any(one.is_bookable for one in entry.candidates)]


def _settling(entries: list[Entry]) -> list[Entry]:
    """Without the events of settles that were refused; the next of the same identity stands in for one of those."""
    kept = []
    for entry in entries:
        willing = [one for one in (entry, *entry.twins) if not one.batch.is_refused]
        first = next((one for one in willing if one.is_bookable), None)
        if first is None:
            continue
        first.twins = [twin for twin in willing if twin is not first]
        kept.append(first)
    return kept


def _by_operation(entries: list[Entry]) -> dict[int, list[Charge]]:
    """The charges that each settle came to, by the identity of the operation."""
    found: dict[int, list[Charge]] = {}
    for entry in entries:
        if entry.batch.operation is not None:
            found.setdefault(id(entry.batch.operation), []).extend(entry.charges)
    return found


def _charge(entries: list[Entry], attributed: Attributed, prices: PriceBook) -> None:
    """Give each entry its charge and what must be created with it, or the reason why it has none."""
    for entry, attribution in zip(entries, attributed.attributions, strict=True):
        try:
            if isinstance(attribution, TallystickError):
                raise attribution
            entry.charges.append(charge_for(entry.item.event, attribution, prices))
        except TallystickError as error:
            entry.reject(error)
    for place, new in attributed.new.items():
        entries[place].new = new


def _entries(batches: list[Batch]) -> list[Entry]:
    """One entry for each identity, in order of arrival; later ones of the same identity hang on the first."""
    first: dict[tuple[str, str, int], Entry] = {}
    for batch in batches:
        for place, item in enumerate(batch.items):
            event = item.event
            entry = Entry(batch, place, item, event.type == CANCELLED or event.facts.replaces is not None)
            # A number in place of the UUID, which hashes and compares in Python.
            key = (event.source_id, event.source, item.workspace_id.int)
            earlier = first.setdefault(key, entry)
            if earlier is not entry:
                earlier.twins.append(entry)
    return list(first.values())


def _within_range(entries: list[Entry], full: dict[UUID, TallystickError]) -> list[Entry]:
    """Reject the events of workspaces whose balance they would take out of what can be kept."""
    if not full:
        return entries
    for entry in entries:
        if entry.item.workspace_id in full:
            entry.reject(full[entry.item.workspace_id])
    return [entry for entry in entries if entry.item.workspace_id not in full]


def _check_fresh(attributed: Attributed, books: Books) -> None:
    """Under lock: what prices rest on is still as it was when they were looked up. Raises `_StaleError`."""
    stale = [w for w, no in attributed.rests_on.items() if w in books and books[w][CREDITS].balance.resources_no != no]
    if stale:
        raise _StaleError(stale)


def _known(entries: list[Entry], books: Books) -> list[Entry]:
    for entry in entries:
        if entry.item.workspace_id not in books:
            entry.reject(TallystickError("workspaceNotFound", "There is no such workspace."))
    return [entry for entry in entries if entry.item.workspace_id in books]


async def _create_resources(conn: Connection, entries: list[Entry], most: int, now: dt.datetime) -> list[Entry]:
    """Create what is named for the first time; events that would need one too many are rejected."""
    needing = [entry for entry in entries if entry.new]
    if not needing:
        return entries
    # Another server may have made some since they were looked up; under lock nobody makes more.
    there = await names.existing(conn, [new for entry in needing for new in entry.new])
    counts = await names.counts(conn, {(new[0], new[2]) for entry in needing for new in entry.new})
    created: dict[tuple[UUID, UUID], NewResource] = {}
    refused: set[int] = set()
    for entry in needing:
        fresh = [new for new in entry.new if (new[0], new[1]) not in created and (new[0], new[1]) not in there]
        full = next((new[2] for new in fresh if counts.get((new[0], new[2]), 0) >= most), None)
        if full is not None:
            entry.reject(
                TallystickError("tooManyResources", f"The workspace has {most} resources of kind {full}.", kind=full)
            )
            refused.add(id(entry))
            continue
        for new in fresh:
            created[new[0], new[1]] = new
            counts[new[0], new[2]] = counts.get((new[0], new[2]), 0) + 1
    if created:
        await names.insert(conn, [created[key] for key in sorted(created)], now)
    return [entry for entry in entries if id(entry) not in refused]


async def _claim(conn: Connection, entries: list[Entry]) -> list[Entry]:
    """Take each event's key; what was taken before is a duplicate, or a conflict when its content differs."""
    if not entries:
        return entries
    # The last charge of an event is its own; a reversal of what it replaces stands before it.
    if await usage.insert_keys(conn, [entry.charges[-1] for entry in entries]) == len(entries):
        return entries
    taken = await usage.keys(conn, [entry.key for entry in entries])
    mine = []
    for entry in entries:
        row = taken[entry.key]
        if row["event_id"] == entry.charges[-1].id:
            mine.append(entry)
        else:
            entry.refuse_twice(row["hash"])
    return mine


async def _cover(conn: Connection, entries: list[Entry]) -> None:
    """Usage before the workspace's birth, reported by an import, is paid by that import's `history` grant.

    What the same commit takes back of it goes back to that grant too.
    """
    imported = [entry for entry in entries if entry.batch.history is not None]
    if not imported:
        return
    born = await names.births(conn, {entry.item.workspace_id for entry in imported})
    covered: dict[UUID, UUID] = {}
    for entry in imported:
        workspace_id = entry.item.workspace_id
        for charge in entry.charges:
            if charge.reverses is None and charge.used_at < born[workspace_id]:
                charge.covered_by = covered[charge.id] = uuid5(workspace_id, f"history:{entry.batch.history}")
    for entry in entries:
        for charge in entry.charges:
            if charge.reverses in covered:
                charge.covered_by = covered[charge.reverses]
