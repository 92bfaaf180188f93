"""What travels through a commit: batches of events that a caller waits for, and the entry that each event becomes."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from tallystick.domain.metering.charging import Charge
from tallystick.domain.metering.events import CANCELLED
from tallystick.flows.holding import Operation
from tallystick.flows.names import Item
from tallystick.kernel.errors import TallystickError
from tallystick.store.names import NewResource
from tallystick.store.usage import Key


class Outcome(msgspec.Struct, gc=False):
    """What became of one event: `accepted` with its net charge, `duplicate`, `conflict`, or `rejected` and why."""

    kind: str
    credits: int = 0
    error: TallystickError | None = None


@dataclass(slots=True, eq=False)
class Batch:
    """What one caller waits for: events, and what is asked of a hold with them or by itself.

    `history` names the import whose past usage is covered by a grant. `on_clock` says that all of it is of one
    workspace which has a test clock: `now` is what that said, and what it says at the commit is what counts.
    """

    items: list[Item]
    now: dt.datetime
    history: str | None = None
    operation: Operation | None = None
    on_clock: bool = False
    outcomes: list[Outcome | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outcomes = [None] * len(self.items)

    @property
    def size(self) -> int:
        """How much of a commit it takes."""
        return len(self.items) + (self.operation is not None)

    @property
    def workspace_id(self) -> UUID:
        """A workspace of its lane."""
        return self.items[0].workspace_id if self.items else self._operating().workspace_id

    @property
    def is_refused(self) -> bool:
        """Whether its events must not be booked: the hold they would settle is not open, or was settled with them."""
        return self.operation is not None and (self.operation.error is not None or self.operation.repeated)

    def _operating(self) -> Operation:
        if self.operation is None:
            raise AssertionError("a batch holds something")
        return self.operation


class Entry(msgspec.Struct, eq=False, gc=False):
    """One event within a commit: where its answer goes, and what it will book.

    `corrects` says whether it takes an earlier event back; `twins` are later events of the commit with the same
    identity, which share its fate.
    """

    batch: Batch
    place: int
    item: Item
    corrects: bool = False
    charges: list[Charge] = []
    new: Sequence[NewResource] = ()
    twins: list["Entry"] = []

    @property
    def key(self) -> Key:
        return self.item.key

    @property
    def candidates(self) -> list["Entry"]:
        """Those that may book this identity: the first, and where its settle may yet be refused, the others."""
        return [self] if self.batch.operation is None else [self, *self.twins]

    @property
    def is_bookable(self) -> bool:
        """Whether it has something to book: a charge of its own, or that of another to take back."""
        return bool(self.charges) or self.item.event.type == CANCELLED

    @property
    def target(self) -> Key | None:
        """The event that this one corrects, None when it corrects none; an incomplete name names no event."""
        facts = self.item.event.facts
        if self.item.event.type == CANCELLED:
            return self.item.workspace_id, facts.source or "", facts.id or ""
        if facts.replaces is not None:
            return self.item.workspace_id, facts.replaces.source, facts.replaces.id
        return None

    def accept(self) -> None:
        """Answer that it is booked, with its net charge."""
        charges = self.charges
        # Nearly always one, and a thousand events are answered at once.
        charged = charges[0].credits if len(charges) == 1 else sum(charge.credits for charge in charges)
        self.batch.outcomes[self.place] = Outcome("accepted", charged)
        for twin in self.twins:
            twin.refuse_twice(self.item.event.hash)

    def refuse_twice(self, stored_hash: bytes) -> None:
        """Answer that the identity was taken before: a duplicate, or a conflict when the content differs."""
        self._answer(Outcome("duplicate" if self.item.event.hash == stored_hash else "conflict"))
        for twin in self.twins:
            twin.refuse_twice(stored_hash)

    def reject(self, error: TallystickError) -> None:
        """Answer why it can't be booked; its identity stays free."""
        self._answer(Outcome("rejected", error=error))
        for twin in self.twins:
            twin.reject(error)

    def _answer(self, outcome: Outcome) -> None:
        self.batch.outcomes[self.place] = outcome
