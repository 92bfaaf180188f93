"""What a run sets aside, what it has used, and which request says so when. Pure: the runs of both clients do the I/O.

A generator here yields what to do, like `delivery.deliver`, and is sent what came of it; one at a time for each state.
`collect` may be called from any thread meanwhile.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final, TypeVar, cast
from uuid import UUID

from tallystick.client import hold_calls
from tallystick.client.asking import ONCE, Record, Rules, Steps, Tell, ask
from tallystick.client.collecting import Collected
from tallystick.client.delivery import Retrying
from tallystick.client.errors import ApiError, ClientError, EventProblem, ServerUnreachableError
from tallystick.client.estimating import estimate
from tallystick.client.events import EncodedEvent
from tallystick.client.holds import Ending, OpenHold, RunAccount, Stray, Terms
from tallystick.client.leases import CREDITS, TOOL_RUNS, Share
from tallystick.client.replies import REFUSED, Call
from tallystick.kernel.credits import format_credits
from tallystick.wire.holds import HoldAnswer, SettleAnswer

T = TypeVar("T")

_LOG = logging.getLogger("tallystick.client")

_CLOCKS_APART: Final = dt.timedelta(seconds=5)
_LIFE_UNLESS_TOLD: Final = 900.0
_BETWEEN_ATTEMPTS: Final = 15.0
_GONE: Final = (404, 409)
"""How the server says that a hold is no longer open."""


class RunState:
    """One run, or a part of it: its open holds and the events that are not settled yet."""

    def __init__(self, rules: Rules, terms: Terms, account: RunAccount | None = None) -> None:
        self.terms = terms
        self._rules = rules
        self._is_part = account is not None
        self._account = account or RunAccount()
        self._events = Collected(rules.policy.settling)
        self._holds: list[OpenHold] = []
        self._rest: list[OpenHold] = []
        self._strays: list[Stray] = []
        self._not_before = 0.0

    @property
    def has_ended(self) -> bool:
        return self._events.is_closed

    @property
    def holds(self) -> Iterator[UUID]:
        """The holds that are open, as far as is known here."""
        return (hold.id for hold in self._holds)

    @property
    def is_on_trust(self) -> bool:
        return self._account.share is not None

    def settled(self, unit: str) -> Decimal:
        """What the server has booked against this run's holds, as its answers told."""
        nano = self._account.settled(unit) + sum(hold.settled.get(unit, 0) for hold in [*self._holds, *self._rest])
        return Decimal(format_credits(nano))

    def left(self, unit: str) -> Decimal:
        """What this run's holds still set aside."""
        return Decimal(format_credits(sum(hold.left.get(unit, 0) for hold in self._holds)))

    def collect(self, event: EncodedEvent) -> bool:
        """Keep an event until it is settled; False when the run has ended. Raises `BufferFullError`."""
        return self._events.add(event, self._rules.time())

    def ended(self) -> "RunState":
        """A state of the same run that has ended: what is reported there is recorded without a hold."""
        copy = RunState(self._rules, self.terms, self._account)
        copy._events.close()
        return copy

    def abandon(self) -> list[EncodedEvent]:
        """End with nobody to talk to: the events that nobody has been told of yet."""
        self._holds, self._rest, self._strays = [], [], []
        return self._events.abandon()

    def due_at(self) -> float | None:
        """When `upkeep` has something to do; None: nothing in sight."""
        waiting: list[OpenHold | Stray] = [*(self._rest if self.has_ended else self._holds), *self._strays]
        instants = [one.next_at for one in waiting]
        settle_at = self._settle_at()
        return min(instants if settle_at is None else [*instants, settle_at], default=None)

    def _settle_at(self) -> float | None:
        due = None if self.has_ended else self._events.due_at(at_once=not self._holds)
        return None if due is None else max(due, self._not_before)

    def _hold_for(self, event: EncodedEvent) -> OpenHold | None:
        """Where an event is booked: tool calls where tool runs are set aside, all else where credits are, newest first.

        So what was set aside for one call pays for it, and does not stay set aside beside it.
        """
        unit = TOOL_RUNS if event.type == "tool.call" else CREDITS
        for hold in reversed(self._holds):
            if hold.left.get(unit, 0) > 0:
                return hold
        return self._holds[0] if self._holds else None

    def _is_for(self, hold: OpenHold) -> Callable[[EncodedEvent], bool]:
        return lambda event: self._hold_for(event) is hold

    # ---- setting aside

    def open(self) -> Steps[None]:
        """Begin. Raises `RefusedError`, other `ApiError`s, and `ServerUnreachableError` as the policy has it."""
        try:
            yield from self.reserve(self.terms.amounts, self.terms.percentile)
        except BaseException:
            self._events.close()
            raise

    def reserve(self, amounts: dict[str, int], percentile: str | None = None) -> Steps[OpenHold | None]:
        """Set aside more; None when that is on trust. What was used so far is told first, so that caps see it."""
        lease = self._rules.lease
        # Where trust has begun, the server is known to be away: one question is enough to see whether it is back.
        retrying = ONCE if lease is not None and lease.has_begun else self._rules.policy.retrying
        try:
            while len(self._events) and self._holds:
                yield from self._settle_part(retrying)
            if percentile is not None:
                found = yield from estimate(self.terms.names, percentile, self._rules, retrying)
                given = {TOOL_RUNS: amounts[TOOL_RUNS]} if TOOL_RUNS in amounts else {}
                amounts = {**amounts, **{unit: nano for unit, nano in found.items() if nano}, **given}
            hold = yield from self._place(amounts, retrying)
        except ServerUnreachableError as error:
            self._trust(amounts, error)
            return None
        except ApiError:
            if lease is not None:
                lease.reached()
            raise
        self._holds.append(hold)
        if lease is not None:
            lease.reached()
        return hold

    def _trust(self, amounts: dict[str, int], error: ServerUnreachableError) -> None:
        lease = self._rules.lease
        if lease is None:
            raise error
        share = self._account.share or Share()
        refusal = lease.take(share, amounts, self._rules.time())
        if refusal is not None:
            raise ServerUnreachableError(error.base_url, f"{error.cause}; and {refusal}") from error
        self._account.share = share

    def _place(self, amounts: dict[str, int], retrying: Retrying) -> Steps[OpenHold]:
        terms = self.terms
        key = self._account.key(terms.key)
        scope = {name: terms.names.get(name) for name in ("run", "agent", "workflow", "project", "user", "api_key")}
        decimals = {unit: Decimal(format_credits(nano)) for unit, nano in amounts.items()}
        call = hold_calls.place_hold(
            credits=decimals.get(CREDITS),
            tool_runs=decimals.get(TOOL_RUNS),
            expires_in=terms.expires_in,
            wait=terms.wait,
            idempotency_key=key,
            **scope,
        )
        begun = self._rules.time()
        try:
            placed = (yield from ask(call, self._rules, retrying)).hold
        except (ServerUnreachableError, GeneratorExit) as error:
            # No answer, or nobody waits for it any more; the hold may be there all the same.
            if isinstance(error, GeneratorExit) or error.was_sent:
                now = self._rules.time()
                life = terms.expires_in or _LIFE_UNLESS_TOLD
                self._strays.append(Stray(call, key, now + self._rules.policy.retrying.longest, now + life))
            raise
        if placed.status != "held":
            raise ClientError(f"The hold with the key {key!r} is {placed.status}; another run needs another key.")
        hold = OpenHold(placed.id, key, (placed.expires_at - placed.created_at).total_seconds())
        # Counted from before the question: early rather than late, however long the answer took.
        hold.lives_from(begun)
        if placed.created_at < terms.begun_at - _CLOCKS_APART:
            # The key's earlier use placed it (or a clock is wrong): nobody here knows how long it has lived.
            hold.next_at = begun
        hold.told(placed)
        self._account.placed.add(placed.id)
        return hold

    def part(self, hold: OpenHold | None) -> "RunState":
        """A part of this run that settles `hold` by itself, with the events collected there."""
        part = RunState(self._rules, self.terms, self._account)
        if hold is not None and hold in self._holds:
            self._holds.remove(hold)
            part._holds.append(hold)
        return part

    # ---- while it runs

    def upkeep(self) -> Steps[None]:
        """Do what is due: settle what has waited, extend holds, end what could not be ended. One attempt each."""
        now = self._rules.time()
        yield from self._end_strays(now)
        if self.has_ended:
            yield from self._end_rest(now)
            return
        settle_at = self._settle_at()
        if settle_at is not None and settle_at <= now:
            try:
                yield from self._settle_part(ONCE)
            except ServerUnreachableError:
                self._not_before = now + self._rules.policy.retrying.longest
        for hold in [hold for hold in self._holds if hold.next_at <= now]:
            yield from self._extend(hold, now)

    def _settle_part(self, retrying: Retrying) -> Steps[None]:
        events = self._events.take(self._hold_for, self._rules.time())
        if not events:
            return
        hold = self._hold_for(events[0])
        try:
            if hold is None:
                yield Record(events, self._account.share)
            else:
                yield from self._settle(hold, self._settling(hold, events, final=False), events, retrying)
        except ApiError as error:
            self._refused(hold, error)
            yield Record(events, self._account.share)
        except BaseException:
            self._events.put_back()
            raise
        self._events.done()

    def _settling(self, hold: OpenHold, events: list[EncodedEvent], *, final: bool) -> Call[SettleAnswer]:
        key = f"{hold.key}/end" if final else None
        return hold_calls.settle_hold_with(hold.id, events, final=final, idempotency_key=key)

    def _settle(self, hold: OpenHold, call: Ending, events: list[EncodedEvent], retrying: Retrying) -> Steps[None]:
        answer: HoldAnswer = yield from ask(cast(Call[HoldAnswer], call), self._rules, retrying)
        hold.told(answer.hold)
        hold.has_settled = True
        if not isinstance(answer, SettleAnswer):
            return
        problems = [
            EventProblem(event.id, kind, refusal.reason, refusal.message, event.body, refusal.index)
            for kind, refusals in (("conflict", answer.usage.conflicts), ("rejected", answer.usage.rejected))
            for refusal in refusals
            for event in events[refusal.index : refusal.index + 1]
        ]
        if problems:
            yield Tell(problems)
        if answer.usage.retry:
            again = {entry.index for entry in answer.usage.retry}
            yield Record([event for at, event in enumerate(events) if at in again], self._account.share)

    def _refused(self, hold: OpenHold | None, error: ApiError) -> None:
        """A hold that is gone counts no more; whatever the reason, the events are then booked without it."""
        _LOG.warning("run %s: the server did not do as asked with a hold: %s", self.terms.names.get("run"), error)
        if hold is not None and error.status in _GONE and hold in self._holds:
            self._holds.remove(hold)
            self._account.add(hold)

    def _extend(self, hold: OpenHold, now: float) -> Steps[None]:
        try:
            yield from ask(hold_calls.extend_hold(hold.id, max(1, round(hold.lifetime))), self._rules, ONCE)
        except ServerUnreachableError:
            hold.try_again_after(now)
        except ApiError as error:
            hold.try_again_after(now)
            self._refused(hold, error)
        else:
            hold.lives_from(now)

    # ---- the end

    def finish(self) -> Steps[None]:
        """Settle what was used, release the rest. Raises nothing: what can't be settled is recorded instead."""
        if not self._events.close():
            return
        while len(self._events):
            events = self._events.take(self._hold_for, self._rules.time())
            hold = self._hold_for(events[0])
            if hold is None:
                yield Record(events, self._account.share)
            else:
                more = self._events.any_for(self._is_for(hold))
                yield from self._end_with(hold, events, final=not more)
            self._events.done()
        for hold in list(self._holds):
            yield from self._end_with(hold, [], final=True)
        if self._rules.lease is not None and self._account.share is not None and not self._is_part:
            self._rules.lease.ended(self._account.share)

    def _end_with(self, hold: OpenHold, events: list[EncodedEvent], *, final: bool) -> Steps[None]:
        call = self._ending(hold, events) if final else self._settling(hold, events, final=False)
        if final:
            self._holds.remove(hold)
        try:
            # One hold has waited for the server already: the others need not do so after it.
            yield from self._settle(hold, call, events, ONCE if self._rest else self._rules.policy.retrying)
        except ServerUnreachableError:
            if final:
                hold.ending = call
                hold.try_again_after(self._rules.time())
                self._rest.append(hold)
            if events:
                # Known by their ids, they are charged once whether the settle got through or not.
                yield Record(events, self._account.share)
            return
        except ApiError as error:
            self._refused(hold, error)
            if events:
                yield Record(events, self._account.share)
            if final and error.status not in _GONE:
                yield from self._void(hold)
        if final:
            self._account.add(hold)

    def _ending(self, hold: OpenHold, events: list[EncodedEvent]) -> Ending:
        if events or hold.has_settled:
            return self._settling(hold, events, final=True)
        return hold_calls.void_hold(hold.id, idempotency_key=f"{hold.key}/end")

    def _void(self, hold: OpenHold) -> Steps[None]:
        try:
            yield from ask(hold_calls.void_hold(hold.id), self._rules, ONCE)
        except ClientError as error:
            _LOG.warning("hold %s is left to expire: %s", hold.id, error)

    def end_rest(self) -> Steps[None]:
        """Once more, and at once: for the end of the program."""
        now = self._rules.time()
        waiting: list[OpenHold | Stray] = [*self._rest, *self._strays]
        for one in waiting:
            one.next_at = now
        yield from self._end_strays(now)
        yield from self._end_rest(now)

    def _end_rest(self, now: float) -> Steps[None]:
        """Holds that could not be ended for want of a server: the very same request again, until they have expired."""
        for hold in [hold for hold in self._rest if hold.next_at <= now]:
            try:
                if hold.ending is not None and now < hold.gone_at:
                    yield from self._settle(hold, hold.ending, [], ONCE)
            except ServerUnreachableError:
                hold.try_again_after(now)
                continue
            except ApiError as error:
                self._refused(hold, error)
            self._rest.remove(hold)
            self._account.add(hold)

    def _end_strays(self, now: float) -> Steps[None]:
        for stray in [stray for stray in self._strays if stray.next_at <= now]:
            try:
                if now < stray.gone_at:
                    yield from self._find_and_void(stray)
            except ServerUnreachableError:
                stray.next_at = now + _BETWEEN_ATTEMPTS
                continue
            except ApiError as error:
                if error.status not in (REFUSED, *_GONE):
                    _LOG.warning("a hold that may have been placed is left to expire: %s", error)
            self._strays.remove(stray)

    def _find_and_void(self, stray: Stray) -> Steps[None]:
        """Asked once more with its key, the server tells the hold; which is done only where it has one unknown here."""
        there = yield from ask(hold_calls.holds(status="held", run=self.terms.names["run"]), self._rules, ONCE)
        if all(hold.id in self._account.placed for hold in there.holds):
            return
        placed = (yield from ask(stray.call, self._rules, ONCE)).hold
        yield from ask(hold_calls.void_hold(placed.id, idempotency_key=f"{stray.key}/end"), self._rules, ONCE)
