"""The double-entry ledger of one workspace and unit while its balance row is locked.

A `Book` turns what happened into transactions whose entries sum to zero, and keeps the cached figures in step.
Accounts: `issued` (what the operator gave, negative), `grant` (one for each grant), `overdraft` (negative: used beyond
all grants, rule M15), `usage` and `expired` (what ended unused, or was taken back). posted = issued − used − expired =
Σ grants' remaining − overdraft. What people are told of a booking is collected as `facts`.
"""

import datetime as dt
from dataclasses import dataclass, field
from uuid import UUID

from tallystick.domain.credits import told
from tallystick.domain.credits.accounts import BALANCE_MAX, Balance, BalanceOutOfRangeError, Entry, Transaction
from tallystick.domain.credits.grants import Grant, burn_order
from tallystick.domain.credits.thresholds import ALL_USED, crossed, reached
from tallystick.domain.telling.facts import Fact


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
    facts: list[Fact] = field(default_factory=list)

    @property
    def booked(self) -> bool:
        """Whether more than holds and deadlines changed."""
        return bool(self.transactions or self.touched)

    def issue(self, grant: Grant, transaction_id: UUID, *, key: str, actor: str = "", corrects: bool = False) -> None:
        """Book a new grant; an overdraft is paid from it first (rule M15); a new allocation begins (rule M19).

        It is told as given, or, where it `corrects` something, as an operator's correction.
        """
        entries = self._issue_entries(grant)
        self.balance.allocation += grant.amount
        self.balance.allocation_no += 1
        at = grant.created_at
        self._book("grant", key, transaction_id, at, entries, grant.reason, actor)
        self._rearm()
        if corrects:
            fact = told.adjusted_fact(self.balance, grant.amount, key=key, at=at, reason=grant.reason, grant=grant)
        else:
            fact = told.granted_fact(self.balance, grant, key=key, at=at)
        self.facts.append(fact)

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
        balance = self.balance
        if balance.told < ALL_USED:
            threshold = crossed(balance.told, balance.posted, balance.allocation)
            if threshold:
                balance.told = threshold
                self.facts.append(told.threshold_fact(self.balance, threshold, at=at))

    def take_back(
        self, amount: int, transaction_id: UUID, *, key: str, at: dt.datetime, reason: str, actor: str
    ) -> None:
        """Book an operator's correction downwards by `amount` > 0: off grants in burn order, the rest as overdraft.

        It leaves the allocation as what expires does. Whether it may go below what is there is the caller's question.
        """
        self._guard(self.balance.expired + amount)
        entries: list[Entry] = []
        rest = amount
        for grant in sorted((g for g in self.grants.values() if g.remaining > 0 and g.alive(at)), key=burn_order):
            if not rest:
                break
            gone = min(rest, grant.remaining)
            entries += self._lapse(grant, gone)
            rest -= gone
        if rest:
            self.balance.expired += rest
            entries += [self._overdraw(rest), Entry("expired", None, rest, self.balance.expired)]
        self.balance.allocation = max(self.balance.allocation - amount, 0)
        self._book("adjustment", key, transaction_id, at, entries, reason, actor)
        self._pass()
        self.facts.append(told.adjusted_fact(self.balance, -amount, key=key, at=at, reason=reason))

    def withdraw(
        self, grant: Grant, amount: int, transaction_id: UUID, *, key: str, at: dt.datetime, reason: str, actor: str
    ) -> None:
        """Take `amount` > 0 of one grant back, at most what remains of it; one that is emptied so has ended.

        Whether holds rely on it is the caller's question.
        """
        entries = self._lapse(grant, amount)
        grant.kept = min(grant.kept, grant.remaining)
        self._end_if_empty(grant, at)
        self.balance.allocation = max(self.balance.allocation - amount, 0)
        self._book("adjustment", key, transaction_id, at, entries, reason, actor)
        self._pass()
        self.facts.append(told.adjusted_fact(self.balance, -amount, key=key, at=at, reason=reason, grant=grant))

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
        ended: list[tuple[Grant, int]] = []
        for grant in reversed(self._kept()):
            if excess <= 0:
                break
            gone = min(excess, grant.remaining)
            excess -= gone
            grant.kept -= gone
            entries += self._lapse(grant, gone)
            ended.append((grant, gone))
            self._end_if_empty(grant, at)
        if entries:
            key = f"kept:{self.balance.seq + 1}"
            self.balance.allocation = max(self.balance.allocation - sum(gone for _, gone in ended), 0)
            self._book("expiry", key, transaction_id, at, entries)
            self._tell_expired(ended, key, at)

    def expire(self, grant: Grant, transaction_id: UUID, *, at: dt.datetime, reason: str = "", actor: str = "") -> None:
        """End a grant; what is left of it leaves the balance and the allocation, but for what open holds rely on."""
        entries = self._expire_entries(grant, at)
        if entries:
            key = f"expiry:{grant.id}"
            left = sum(entry.amount for entry in entries if entry.account == "expired")
            self.balance.allocation = max(self.balance.allocation - left, 0)
            self._book("expiry", key, transaction_id, at, entries, reason, actor)
            self._tell_expired([(grant, left)], key, at, reason=reason)

    def reset(self, given: list[Grant], transaction_id: UUID, *, at: dt.datetime, key: str) -> None:
        """The period's end (rule M14), one transaction: end the plan grants, settle a negative, give the new ones.

        With nothing `given` it is no reset of the allocation (rule M18), only an expiry.
        """
        entries: list[Entry] = []
        ended: list[tuple[Grant, int]] = []
        for grant in sorted(self.grants.values(), key=burn_order):
            if grant.source == "plan" and grant.ended_at is None and not grant.kept:
                before = grant.expired
                entries += self._expire_entries(grant, at)
                ended.append((grant, grant.expired - before))
        for grant in given:
            entries += self._issue_entries(grant)
        if given:
            self.balance.allocation = max(self.balance.posted, 0)
            self.balance.allocation_no += 1
        else:
            self.balance.allocation = max(self.balance.allocation - sum(gone for _, gone in ended), 0)
        if entries:
            self._book("reset", key, transaction_id, at, entries)
            if given:
                self._rearm()
            self._tell_expired(ended, key, at, renewed=bool(given))
            for place, grant in enumerate(given):
                self.facts.append(told.granted_fact(self.balance, grant, key=f"{key}:{place}", at=at))

    def settle_overage(self, amount: int, grant_id: UUID, transaction_id: UUID, *, at: dt.datetime, key: str) -> None:
        """What was used beyond all grants and is invoiced, `amount` > 0 of the overdraft, is none any more (rule M12).

        It is given and used up in one instant: no allocation, no threshold and no count of a period knows of it.
        """
        grant = Grant(grant_id, self.balance.unit, "overage", amount, amount, 0, at, None, at, "overage", ended_at=at)
        self._book("overage", key, transaction_id, at, self._issue_entries(grant))

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

    def _rearm(self) -> None:
        """A new allocation: what it begins above is passed in silence, the thresholds over that may be told again."""
        self.balance.told = reached(self.balance.posted, self.balance.allocation)

    def _pass(self) -> None:
        """A movement that is told by itself, in place of the thresholds it goes over."""
        self.balance.told = max(self.balance.told, reached(self.balance.posted, self.balance.allocation))

    def _tell_expired(
        self, ended: list[tuple[Grant, int]], key: str, at: dt.datetime, *, reason: str = "", renewed: bool = False
    ) -> None:
        self._pass()
        for place, (grant, gone) in enumerate(ended):
            if gone:
                self.facts.append(
                    told.expired_fact(
                        self.balance, grant, gone, key=f"{key}:{place}", at=at, reason=reason, renewed=renewed
                    )
                )

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
