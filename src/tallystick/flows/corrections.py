"""Corrections: an event that cancels or replaces an earlier one; the difference is booked, nothing is edited."""

from uuid import UUID

from tallystick.domain.metering.attribution import Attribution
from tallystick.domain.metering.catalog import Catalog
from tallystick.domain.metering.charging import Charge, reversal_of
from tallystick.domain.metering.events import CANCELLED, RUNNING_SOURCE, UsageEvent
from tallystick.domain.metering.rollups import Dimensions
from tallystick.flows.batches import Entry
from tallystick.kernel.errors import TallystickError
from tallystick.store import usage
from tallystick.store.database import Connection, Row
from tallystick.store.usage import Key


async def apply(conn: Connection, entries: list[Entry], catalog: Catalog) -> list[Entry]:
    """Give each correcting entry the reversal of what it corrects, and drop those that can't be booked.

    Answers the entries that go on. An unknown target is rejected `eventNotFound`, a second cancellation is a duplicate,
    a second replacement `alreadyCorrected`. A correction may come in the same commit as what it corrects, before or
    after it; where that is refused, so is the correction.
    """
    targets = {id(entry): target for entry in entries if (target := entry.target) is not None}
    taken = await usage.keys(conn, [entry.key for entry in entries if id(entry) in targets])
    stored = await usage.keys(conn, list(targets.values()))
    originals = await _originals(conn, stored)
    done = await usage.reversed_ids(conn, [(key[0], row["event_id"]) for key, row in stored.items()])
    here = {entry.key: entry for entry in entries}
    kept = {id(entry) for entry in entries if id(entry) not in targets}
    settled = set(kept)
    for first in entries:
        for entry in _chain(first, targets, here, settled):
            settled.add(id(entry))
            if entry.key in taken:
                entry.refuse_twice(taken[entry.key]["hash"])
                continue
            target = targets[id(entry)]
            rows = originals.get(target, [])
            charges = [charge_of(row, entry.item.event, catalog) for row in rows] or _charges_here(target, here, kept)
            if _correct(entry, target, charges, done):
                kept.add(id(entry))
    return [entry for entry in entries if id(entry) in kept]


def _chain(first: Entry, targets: dict[int, Key], here: dict[Key, Entry], settled: set[int]) -> list[Entry]:
    """What must be settled before `first` can be, and `first` itself, in order: corrections of corrections."""
    chain: dict[int, Entry] = {}
    entry: Entry | None = first
    while entry is not None and id(entry) not in settled and id(entry) not in chain:
        chain[id(entry)] = entry
        entry = here.get(targets[id(entry)])
    return list(chain.values())[::-1]


def _charges_here(target: Key, here: dict[Key, Entry], kept: set[int]) -> list[Charge]:
    """What an event of the same commit books for itself; nothing where it is refused."""
    twin = here.get(target)
    return twin.charges[-1:] if twin is not None and id(twin) in kept else []


def _correct(entry: Entry, target: Key, charges: list[Charge], done: set[tuple[UUID, UUID]]) -> bool:
    """Put the reversal before the entry's own charge. False when the entry was answered instead."""
    event = entry.item.event
    if target[1] == RUNNING_SOURCE:
        # Each second of a deployment was measured here, and is charged once: what is given back is an adjustment.
        entry.reject(
            TallystickError(
                "invalidEvent", "The running time of a deployment is not corrected; adjust credits.", field="source"
            )
        )
        return False
    if not charges or charges[0].reverses is not None:
        entry.reject(
            TallystickError("eventNotFound", "There is no such event to correct.", source=target[1], id=target[2])
        )
        return False
    identity = (target[0], charges[0].id)
    if identity not in done:
        done.add(identity)
        entry.charges[:0] = [reversal_of(charge, event) for charge in charges]
        return True
    if event.type == CANCELLED:
        entry.refuse_twice(event.hash)
    else:
        entry.reject(TallystickError("alreadyCorrected", "That event was cancelled or replaced.", id=target[2]))
    return False


async def _originals(conn: Connection, stored: dict[Key, Row]) -> dict[Key, list[Row]]:
    """The stored charges behind these keys: the event's own first, then what was booked on it later."""
    wanted = [(key[0], row["used_at"], row["event_id"]) for key, row in stored.items()]
    rows = await usage.events(conn, wanted)
    later = await usage.adjustments(conn, [(workspace_id, event_id) for workspace_id, _, event_id in wanted])
    found: dict[Key, list[Row]] = {}
    for key, row in stored.items():
        identity = (key[0], row["event_id"])
        if identity in rows:
            found[key] = [rows[identity], *later.get(identity, [])]
    return found


def charge_of(row: Row, event: UsageEvent, catalog: Catalog) -> Charge:
    """The charge of a stored row of `usage_event`; `event` stands in for the one that it was made from."""
    dimensions = Dimensions(row["meter"], *(row[name] for name in Dimensions._fields[1:]))
    version = catalog.prices.get(row["price_version_id"]) if row["price_version_id"] else None
    return Charge(
        event,
        Attribution(row["workspace_id"], catalog.meters[row["meter"]], dimensions),
        usage.whole(row["quantity"]),
        row["used_at"],
        row["tokens_in"],
        row["tokens_out"],
        row["credits"],
        row["tool_runs"],
        row["provider_cost"],
        row["state"],
        row["price_version_id"],
        version if version is not None and version.is_tiered else None,
        number=row["id"].int,
        covered_by=row["covered_by"],
        reverses=row["reverses"],
        adjusts=row["adjusts"],
        run=row["run"],
        api_key=row["data"].get("apiKey") if isinstance(row["data"], dict) else None,
    )
