"""The double-entry ledger of one workspace and unit while its balance row is locked.

A `Book` turns what happened into transactions whose entries sum to zero, and keeps the cached figures in step.
Accounts: `issued` (what the operator gave, negative), `grant` (one for each grant), `overdraft` (negative: used beyond
all grants, rule M15), `usage` and `expired`. posted = issued − used − expired = Σ grants' remaining − overdraft.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from tallystick.domain.credits.grants import Grant, burn_order
from tallystick.kernel.errors import TallystickError

BALANCE_MAX: Final = 2**62
"""No account may pass this in either direction, so that a bigint never overflows, sums of two included."""


class BalanceOutOfRangeError(TallystickError):
    """Code `balanceOutOfRange`: a booking would take an account beyond `BALANCE_MAX`."""

    def __init__(self, workspace_id: UUID, unit: str) -> None:
        super().__init__(
            "balanceOutOfRange",
            "The balance would leave the range that can be kept.",
            workspaceUuid=str(workspace_id),
            unit=unit,
        )
        self.workspace_id = workspace_id


@dataclass(frozen=True, slots=True)
class Entry:
    account: str
    grant_id: UUID | None
    amount: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One balanced booking. `key` is unique per workspace and unit; `effective_at` is when it counts from."""

    seq: int
    id: UUID
    kind: str
    key: str
    effective_at: dt.datetime
    entries: tuple[Entry, ...]
    reason: str = ""
    actor: str = ""


@dataclass(slots=True)
class Balance:
    """The cached figures of one workspace and unit, in nano-units."""

    workspace_id: UUID
    unit: str
    held: int = 0
    overdraft: int = 0
    issued: int = 0
    used: int = 0
    expired: int = 0
    allocation: int = 0
    allocation_no: int = 0
    seq: int = 0
    due_at: dt.datetime | None = None
    resources_no: int = 0

    @property
    def posted(self) -> int:
        return self.issued - self.used - self.expired

    def is_due(self, now: dt.datetime) -> bool:
        """Whether the clock asks for something on it."""
        return self.due_at is not None and self.due_at <= now


@dataclass(slots=True)
class Book:
    """Balance and open grants under lock, and what was booked on them since."""

    balance: Balance
    grants: dict[UUID, Grant]
    transactions: list[Transaction] = field(default_factory=list)
    touched: set[UUID] = field(default_factory=set)
    created: set[UUID] = field(default_factory=set)
    history: dict[UUID, int] = field(default_factory=dict)
    rescheduled: bool = False

    @property
    def booked(self) -> bool:
        """Whether more than holds and deadlines changed."""
        return bool(self.transactions or self.touched)

    def issue(self, grant: Grant, transaction_id: UUID, *, key: str, actor: str = "") -> None:
        """Book a new grant; an overdraft is paid from it first (rule M15); a new allocation begins (rule M19)."""
        entries = self._issue_entries(grant)
        self.balance.allocation += grant.amount
        self.balance.allocation_no += 1
        self._book("grant", key, transaction_id, grant.created_at, entries, grant.reason, actor)

    def use(self, amount: int, transaction_id: UUID, *, key: str, at: dt.datetime, settled: int = 0) -> None:
        """Book usage of `amount` > 0: grants in burn order, the rest as overdraft. Never refuses for money (M8).

        The part that settles holds, `settled`, first burns what was kept for them of grants that have ended (M20).
        """
        self._guard(self.balance.used + amount)
        entries = []
        from_kept = min(settled, amount)
        for grant in self._kept() if from_kept else ():
            taken = min(from_kept, grant.remaining)
            entries.append(self._move(grant, -taken))
            from_kept -= taken
            self._end_if_empty(grant, at)
        rest = amount + sum(entry.amount for entry in entries)
        for grant in sorted((g for g in self.grants.values() if g.remaining > 0 and g.alive(at)), key=burn_order):
            if not rest:
                break
            taken = min(rest, grant.remaining)
            entries.append(self._move(grant, -taken))
            rest -= taken
        if rest:
            entries.append(self._overdraw(rest))
        self.balance.used += amount
        entries.append(Entry("usage", None, amount, self.balance.used))
        self._book("usage", key, transaction_id, at, entries)

    def give_back(self, amount: int, adjustment: Grant, transaction_id: UUID, *, key: str, at: dt.datetime) -> None:
        """Book a return of `amount` > 0: overdraft first, then grants in reverse burn order, unexpired ones only.

        What finds no room becomes `adjustment`, a grant that ends with the current period (rule M21). Every living
        grant must be in the book, used-up ones too.
        """
        self.balance.used -= amount
        entries = [Entry("usage", None, -amount, self.balance.used)]
        rest = amount
        if self.balance.overdraft:
            paid = min(rest, self.balance.overdraft)
            entries.append(self._overdraw(-paid))
            rest -= paid
        for grant in sorted((g for g in self.grants.values() if g.alive(at)), key=burn_order, reverse=True):
            if not rest:
                break
            room = min(rest, grant.consumed)
            if room > 0:
                entries.append(self._move(grant, room))
                rest -= room
        if rest:
            # Not newly issued value: it was issued and used before, so it only changes its account.
            adjustment.amount = adjustment.remaining = rest
            self._add(adjustment)
            entries.append(Entry("grant", adjustment.id, rest, rest))
        # A return that lifts posted above the allocation raises it (rule M18); it re-arms nothing.
        self.balance.allocation = max(self.balance.allocation, self.balance.posted)
        self._book("usage", key, transaction_id, at, entries)

    def cover(self, amounts: dict[UUID, int], transaction_id: UUID, *, key: str, at: dt.datetime) -> None:
        """Book usage of the time before the workspace's birth together with the `history` grants that pay for it.

        `amounts` maps history grant to nano-units, negative for a correction. Posted and allocation stay as they were.
        """
        entries = []
        for grant_id, amount in sorted(amounts.items()):
            if not amount:
                continue
            self._guard(self.balance.issued + amount)
            self.balance.issued += amount
            self.balance.used += amount
            self.history[grant_id] = self.history.get(grant_id, 0) + amount
            entries += [
                Entry("issued", None, -amount, -self.balance.issued),
                Entry("grant", grant_id, amount, amount),
                Entry("grant", grant_id, -amount, 0),
                Entry("usage", None, amount, self.balance.used),
            ]
        if entries:
            self._book("usage", key, transaction_id, at, entries, "history")

    def set_aside(self, amount: int, until: dt.datetime) -> None:
        """Hold `amount` more, at the latest until then. Whether it is there is the gate's question."""
        self._guard(self.balance.held + amount)
        self.balance.held += amount
        self._due_by(until)
        self.rescheduled = True

    def release(self, amount: int) -> None:
        """Hold `amount` less."""
        self.balance.held -= amount
        self.rescheduled = True

    def let_go(self, transaction_id: UUID, *, at: dt.datetime) -> None:
        """Expire what was kept of ended grants and no open hold relies on any more (rule M20)."""
        excess = sum(grant.remaining for grant in self._kept()) - self.balance.held
        entries: list[Entry] = []
        for grant in reversed(self._kept()):
            if excess <= 0:
                break
            gone = min(excess, grant.remaining)
            excess -= gone
            grant.kept -= gone
            entries += self._lapse(grant, gone)
            self._end_if_empty(grant, at)
        if entries:
            gone = sum(entry.amount for entry in entries if entry.account == "expired")
            self.balance.allocation = max(self.balance.allocation - gone, 0)
            self._book("expiry", f"kept:{self.balance.seq + 1}", transaction_id, at, entries)

    def expire(self, grant: Grant, transaction_id: UUID, *, at: dt.datetime, reason: str = "", actor: str = "") -> None:
        """End a grant; what is left of it leaves the balance and the allocation, but for what open holds rely on."""
        entries = self._expire_entries(grant, at)
        if entries:
            left = sum(entry.amount for entry in entries if entry.account == "expired")
            self.balance.allocation = max(self.balance.allocation - left, 0)
            self._book("expiry", f"expiry:{grant.id}", transaction_id, at, entries, reason, actor)

    def reset(self, given: list[Grant], transaction_id: UUID, *, at: dt.datetime, key: str) -> None:
        """The period's end (rule M14), one transaction: end the plan grants, settle a negative, give the new ones.

        With nothing `given` it is no reset of the allocation (rule M18), only an expiry.
        """
        entries: list[Entry] = []
        left = 0
        for grant in sorted(self.grants.values(), key=burn_order):
            if grant.source == "plan" and grant.ended_at is None and not grant.kept:
                before = grant.expired
                entries += self._expire_entries(grant, at)
                left += grant.expired - before
        for grant in given:
            entries += self._issue_entries(grant)
        if given:
            self.balance.allocation = max(self.balance.posted, 0)
            self.balance.allocation_no += 1
        else:
            self.balance.allocation = max(self.balance.allocation - left, 0)
        if entries:
            self._book("reset", key, transaction_id, at, entries)

    def would_expire(self, grant: Grant) -> int:
        """What would leave the balance if a grant ended now: all but what open holds rely on."""
        return grant.remaining - self._relied_on(grant)

    def schedule(self, period_end: dt.datetime | None, hold_end: dt.datetime | None) -> None:
        """Set due_at to the earliest instant at which a grant with something left, the period or a hold ends."""
        instants = [
            g.expires_at for g in self.grants.values() if g.remaining > 0 and g.expires_at is not None and not g.kept
        ]
        instants += [instant for instant in (period_end, hold_end) if instant is not None]
        self.balance.due_at = min(instants, default=None)
        self.rescheduled = True

    def _issue_entries(self, grant: Grant) -> list[Entry]:
        self._guard(self.balance.issued + grant.amount)
        self.balance.issued += grant.amount
        self._add(grant)
        entries = [
            Entry("issued", None, -grant.amount, -self.balance.issued),
            Entry("grant", grant.id, grant.amount, grant.remaining),
        ]
        paid = min(grant.remaining, self.balance.overdraft)
        if paid:
            entries += [self._move(grant, -paid), self._overdraw(-paid)]
        return entries

    def _expire_entries(self, grant: Grant, at: dt.datetime) -> list[Entry]:
        self.touched.add(grant.id)
        grant.kept = self._relied_on(grant)
        left = grant.remaining - grant.kept
        entries = self._lapse(grant, left) if left else []
        self._end_if_empty(grant, at)
        return entries

    def _lapse(self, grant: Grant, amount: int) -> list[Entry]:
        grant.expired += amount
        self.balance.expired += amount
        return [self._move(grant, -amount), Entry("expired", None, amount, self.balance.expired)]

    def _end_if_empty(self, grant: Grant, at: dt.datetime) -> None:
        """What is kept of a grant outlives its end; it has ended once that is gone."""
        if not grant.remaining:
            grant.ended_at = at

    def _relied_on(self, grant: Grant) -> int:
        """What open holds rely on of a grant that ends: on what is kept already, then on grants in burn order (M20)."""
        if not self.balance.held:
            return 0
        place = burn_order(grant)
        before = sum(
            g.remaining for g in self.grants.values() if g.ended_at is None and (g.kept or burn_order(g) < place)
        )
        return min(grant.remaining, max(self.balance.held - before, 0))

    def _kept(self) -> list[Grant]:
        """Ended grants of which something is kept, in burn order."""
        return sorted((g for g in self.grants.values() if g.kept and g.remaining), key=burn_order)

    def _add(self, grant: Grant) -> None:
        self.grants[grant.id] = grant
        self.created.add(grant.id)
        self._due_by(grant.expires_at)

    def _due_by(self, instant: dt.datetime | None) -> None:
        if instant is not None and (self.balance.due_at is None or instant < self.balance.due_at):
            self.balance.due_at = instant

    def _move(self, grant: Grant, amount: int) -> Entry:
        grant.remaining += amount
        self.touched.add(grant.id)
        if amount > 0:
            self._due_by(grant.expires_at)
        return Entry("grant", grant.id, amount, grant.remaining)

    def _overdraw(self, amount: int) -> Entry:
        self.balance.overdraft += amount
        return Entry("overdraft", None, -amount, -self.balance.overdraft)

    def _guard(self, figure: int) -> None:
        if abs(figure) > BALANCE_MAX:
            raise BalanceOutOfRangeError(self.balance.workspace_id, self.balance.unit)

    def _book(
        self,
        kind: str,
        key: str,
        transaction_id: UUID,
        at: dt.datetime,
        entries: list[Entry],
        reason: str = "",
        actor: str = "",
    ) -> None:
        if sum(entry.amount for entry in entries) != 0:
            raise AssertionError(f"unbalanced {kind} transaction {key}")
        self.balance.seq += 1
        self.transactions.append(
            Transaction(self.balance.seq, transaction_id, kind, key, at, tuple(entries), reason, actor)
        )
