"""What is asked of holds within a commit: place, settle, void, extend (rules M8, M12, M20; rows E1, E6).

A commit books usage first, then ends holds, then places new ones in order of arrival: whatever came together may be
put in that order, and so nothing is refused that money set free in the same commit could pay. When all that is asked
does not fit, each is decided by itself: a large hold that is refused takes nothing from those behind it.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar
from uuid import UUID

import msgspec

from tallystick.domain.credits.accounts import BALANCE_MAX, BalanceOutOfRangeError
from tallystick.domain.credits.balances import Shown, shown
from tallystick.domain.credits.gates import Funds, decide_hold, standing_of
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS, UNITS
from tallystick.domain.credits.holds import HELD, Amounts, Cover, Hold, Scope
from tallystick.domain.credits.ledger import Book
from tallystick.domain.metering.charging import Charge
from tallystick.flows.caps import Caps
from tallystick.flows.due import release
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids, distinct
from tallystick.store import holds
from tallystick.store.database import Asked, Connection
from tallystick.store.holds import Facts
from tallystick.store.ledger import Books


class Operation(msgspec.Struct, eq=False):
    """One thing asked of holds. `error` says why it was refused, `hold` and `balances` what came of it."""

    workspace_id: UUID
    key: str
    request_hash: bytes
    error: TallystickError | None = None
    hold: Hold | None = None
    balances: Sequence[Shown] = ()
    repeated: bool = False

    def forget(self) -> None:
        """Begin anew: a transaction that lost a race is run again."""
        self.error, self.hold, self.repeated = None, None, False


class Place(Operation, kw_only=True):
    """Set amounts aside for `seconds`. `key` is its Idempotency-Key, or one made up; `names` is Hold's."""

    amounts: Amounts
    scope: Scope
    seconds: int
    names: str = "{}"


class Change(Operation, kw_only=True):
    """Something asked of one open hold."""

    asked: ClassVar[str]
    hold_id: UUID


class Settle(Change, kw_only=True):
    """Finish with the usage that its batch books; not `final`, as much less stays set aside."""

    asked: ClassVar[str] = "settle"
    final: bool = True


class Void(Change):
    """Release all."""

    asked: ClassVar[str] = "void"


class Extend(Change, kw_only=True):
    """A new deadline, `seconds` from now."""

    asked: ClassVar[str] = "extend"
    seconds: int


def questions(operations: Sequence[Operation], workspace_ids: Collection[UUID]) -> dict[str, Asked]:
    """What must be known of these under lock; `workspace_ids` are those of the whole commit."""
    places = [one for one in operations if isinstance(one, Place)]
    ids = {(one.workspace_id, one.hold_id) for one in operations if isinstance(one, Change)}
    keys = {(place.workspace_id, place.key) for place in places}
    runs = {(place.workspace_id, place.scope.run) for place in places if place.scope.run is not None}
    return holds.questions(workspace_ids, ids, keys, runs)


class Holding:
    """The operations of one commit. `begin` finds their holds and refuses what cannot be; `apply` does the rest."""

    def __init__(self, operations: Sequence[Operation], books: Books, facts: Facts, now: dt.datetime) -> None:
        self._places = [one for one in operations if isinstance(one, Place)]
        self._changes = [one for one in operations if isinstance(one, Change)]
        self._books = books
        self._facts = facts
        self.caps = Caps(facts.budgets)
        self._now = now
        self._touched: dict[UUID, Hold] = {}
        self._placed: list[Hold] = []
        self._begun: dict[tuple[UUID, str], None] = {}
        self._begun_in: dict[UUID, int] = {}
        self._parts: dict[tuple[UUID, str], bytes] = {}
        self.late_parts: list[Settle] = []
        """Parts that were refused because their hold had ended; `repeat` takes the refusal back."""

    def begin(self) -> None:
        """Find the hold of each change. One that was ended by the same request is repeated, by another refused."""
        for operation in (*self._places, *self._changes):
            operation.forget()
            if operation.workspace_id not in self._books:
                operation.error = TallystickError("workspaceNotFound", "There is no such workspace.")
        for change in self._changes:
            if change.error is not None:
                continue
            hold = self._facts.by_id.get((change.workspace_id, change.hold_id))
            if hold is None:
                change.error = TallystickError("holdNotFound", "There is no such hold.", id=str(change.hold_id))
                continue
            change.hold = hold
            if hold.status != HELD:
                self._repeat(change, hold)
                continue
            self._touched[hold.id] = hold
            if isinstance(change, Void) or (isinstance(change, Settle) and change.final):
                self._finish(change, hold)
            elif isinstance(change, Settle):
                self._parts[hold.id, change.key] = change.request_hash

    @staticmethod
    def repeat(part: Settle) -> None:
        """All that a late part reports was booked before: its answer was lost, and it is answered again."""
        part.error, part.repeated = None, True

    def cover(self, charges: Mapping[int, Sequence[Charge]]) -> None:
        """Say of each settle's charges which hold they settle, before they are booked."""
        covers = {hold.id: Cover.of(hold) for hold in self._touched.values()}
        for change in self._changes:
            for charge in charges.get(id(change), ()):
                charge.settles = covers[change.hold_id]

    async def apply(self, conn: Connection, charges: Mapping[int, Sequence[Charge]], ids: Ids) -> None:
        """Book what is asked; `charges` are those that each settle's events came to, by its identity."""
        placed = [(one.workspace_id, one.scope, one.created_at) for one in self._touched.values()]
        placed += [(place.workspace_id, place.scope, self._now) for place in self._places]
        await self.caps.read(conn, placed)
        for change in self._changes:
            if change.error is None and not change.repeated and change.hold is not None:
                self._change(change, change.hold, charges.get(id(change), ()))
        for workspace_id in distinct(hold.workspace_id for hold in self._touched.values()):
            for book in self._books[workspace_id].values():
                book.let_go(ids.new(self._now), at=self._now)
        self._place_all(ids)
        balances: dict[UUID, list[Shown]] = {}
        for operation in (*self._places, *self._changes):
            if operation.error is None:
                workspace_id = operation.workspace_id
                if workspace_id not in balances:
                    balances[workspace_id] = [_shown(self._books[workspace_id][unit]) for unit in UNITS]
                operation.balances = balances[workspace_id]

    def _repeat(self, change: Change, hold: Hold) -> None:
        """What is asked of a hold that has ended: the same answer to what ended it, or to a part of this commit."""
        is_part = isinstance(change, Settle) and not change.final
        if is_part:
            change.repeated = self._parts.get((hold.id, change.key)) == change.request_hash
        elif not isinstance(change, Extend):
            change.repeated = (hold.finish_key, hold.finish_hash) == (change.key, change.request_hash)
        if not change.repeated:
            change.error = _refused(lambda: hold.move(change.asked))
            if isinstance(change, Settle) and is_part:
                self.late_parts.append(change)

    def _finish(self, change: Change, hold: Hold) -> None:
        """Take the hold's last step now, so that a second one in the same commit finds it ended."""
        hold.move(change.asked)
        hold.finish_key, hold.finish_hash, hold.finished_at = change.key, change.request_hash, self._now

    def _change(self, change: Change, hold: Hold, charges: Sequence[Charge]) -> None:
        pair = self._books[hold.workspace_id]
        if isinstance(change, Extend):
            hold.expires_at = self._now + dt.timedelta(seconds=change.seconds)
            pair[CREDITS].set_aside(0, hold.expires_at)
            return
        spent = Amounts(sum(charge.credits for charge in charges), sum(charge.tool_runs for charge in charges))
        hold.settled_credits += spent.credits
        hold.settled_tool_runs += spent.tool_runs
        if isinstance(change, Settle) and not change.final:
            rest = Amounts(_within(spent.credits, hold.credits), _within(spent.tool_runs, hold.tool_runs))
        else:
            rest = hold.open_amounts
        release(hold, rest, pair, self.caps)

    async def save(self, conn: Connection) -> None:
        """Write what changed; the caller saves the books."""
        await holds.update(conn, list(self._touched.values()))
        await holds.insert(conn, self._placed)
        await holds.start(conn, list(self._begun), self._now)

    def _place_all(self, ids: Ids) -> None:
        known = dict(self._facts.by_key)
        asked = [place for place in self._places if place.error is None]
        for place in asked:
            earlier = known.get((place.workspace_id, place.key))
            if earlier is not None:
                self._same(place, earlier)
                continue
            run = place.scope.run
            is_new = run is not None and not self._is_started(place.workspace_id, run)
            error = self._refusal(place, is_new=is_new)
            if error is not None:
                place.error = error
                continue
            hold = self._set_aside(place, ids)
            known[place.workspace_id, place.key] = hold
            self._placed.append(hold)
            if is_new and run is not None:
                self._begun[place.workspace_id, run] = None
                self._begun_in[place.workspace_id] = self._begun_in.get(place.workspace_id, 0) + 1

    def _is_started(self, workspace_id: UUID, run: str) -> bool:
        return (workspace_id, run) in self._facts.started or (workspace_id, run) in self._begun

    @staticmethod
    def _same(place: Place, hold: Hold) -> None:
        """The same key again: the same answer, unless it asks for something else."""
        if hold.request_hash == place.request_hash:
            place.hold, place.repeated = hold, True
        else:
            place.error = TallystickError(
                "idempotencyConflict", "This Idempotency-Key was used for another request.", key=place.key
            )

    def _refusal(self, place: Place, *, is_new: bool) -> TallystickError | None:
        pair = self._books[place.workspace_id]
        terms = self._facts.terms.get(place.workspace_id)
        begun = self._begun_in.get(place.workspace_id, 0)
        overage = terms.overage if terms is not None else 0
        funds = {
            unit: Funds(book.balance.posted, book.balance.held, overage if unit == CREDITS else 0)
            for unit, book in pair.items()
        }
        standing = standing_of(
            terms.status if terms is not None else None,
            terms.resumes_to if terms is not None else None,
            run_quota=terms.run_quota if terms is not None else None,
            runs_started=(terms.runs_started if terms is not None else 0) + begun,
            subscription_id=terms.subscription_id if terms is not None else None,
            plan=terms.plan if terms is not None else None,
        )
        over = self.caps.over((place.workspace_id, place.scope, self._now))
        decision = decide_hold(place.amounts, funds, standing, over, new_run=is_new)
        return _refused(decision.check) or _too_much(place, pair)

    def _set_aside(self, place: Place, ids: Ids) -> Hold:
        scope, amounts = place.scope, place.amounts
        hold = Hold(
            workspace_id=place.workspace_id,
            id=ids.new(self._now),
            key=place.key,
            request_hash=place.request_hash,
            status=HELD,
            credits=amounts.credits,
            tool_runs=amounts.tool_runs,
            asked_credits=amounts.credits,
            asked_tool_runs=amounts.tool_runs,
            settled_credits=0,
            settled_tool_runs=0,
            run=scope.run,
            project_id=scope.project_id,
            user_id=scope.user_id,
            workflow_id=scope.workflow_id,
            agent_id=scope.agent_id,
            api_key=scope.api_key,
            names=place.names,
            created_at=self._now,
            expires_at=self._now + dt.timedelta(seconds=place.seconds),
        )
        pair = self._books[place.workspace_id]
        pair[CREDITS].set_aside(amounts.credits, hold.expires_at)
        if amounts.tool_runs:
            pair[TOOL_RUNS].set_aside(amounts.tool_runs, hold.expires_at)
        self.caps.hold(hold, amounts)
        place.hold = hold
        return hold


def _within(spent: int, held: int) -> int:
    return max(0, min(spent, held))


def _too_much(place: Place, pair: Mapping[str, Book]) -> TallystickError | None:
    """What a contract without end allows must still fit into the balance."""
    for unit, amount in place.amounts.by_unit().items():
        if pair[unit].balance.held + amount > BALANCE_MAX:
            return BalanceOutOfRangeError(place.workspace_id, unit)
    return None


def _refused(check: Callable[[], None]) -> TallystickError | None:
    try:
        check()
    except TallystickError as error:
        return error
    return None


def _shown(book: Book) -> Shown:
    balance = book.balance
    return shown(balance.unit, posted=balance.posted, held=balance.held, allocation=balance.allocation)
