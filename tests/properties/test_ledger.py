"""The ledger against a slow model: whatever happens, every unit is somewhere, and where it should be."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from fractions import Fraction
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.domain.credits.accounts import Balance
from tallystick.domain.credits.balances import used_hundredths
from tallystick.domain.credits.grants import PRIORITIES, Grant
from tallystick.domain.credits.ledger import Book
from tallystick.domain.telling.facts import Fact
from tallystick.kernel.credits import NANO
from tests.properties.slow_ledger import FAR, Purse, SlowLedger, SlowTeller

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PERIOD = 30 * DAY
WORKSPACE = UUID(int=1)

amounts = st.integers(1, 25)
lives = st.one_of(st.none(), st.integers(1, 70))


class Ledger(RuleBasedStateMachine):
    """One workspace and unit on its way through grants, usage, returns, expiries and renewals."""

    def __init__(self) -> None:
        super().__init__()
        self.balance = Balance(WORKSPACE, "credits")
        self.grants: dict[UUID, Grant] = {}
        self.model = SlowLedger()
        self.teller = SlowTeller()
        self.told: set[UUID] = set()
        self.now = T0
        self.period_end = T0 + PERIOD
        self.numbers = 0
        self.accounts: dict[tuple[str, UUID | None], int] = {}
        self.seq = 0
        self.included = 0

    @initialize(included=st.integers(0, 20))
    def begin(self, included: int) -> None:
        self.included = included
        if included:
            self._issue("plan", included, PRIORITIES["plan"], self.period_end)
        self._book().schedule(self.period_end, None)

    @rule(
        source=st.sampled_from(["free", "promotion", "adjustment", "purchase"]),
        amount=amounts,
        priority=st.one_of(st.none(), st.integers(9, 31)),
        days=lives,
    )
    def give(self, source: str, amount: int, priority: int | None, days: int | None) -> None:
        expires = None if days is None else self.now + days * DAY
        self._issue(source, amount, PRIORITIES[source] if priority is None else priority, expires)

    @rule(amount=amounts)
    def use(self, amount: int) -> None:
        book = self._book()
        book.use(amount, self._id(), key="usage", at=self.now)
        self.model.take(amount, self.now)
        self._check(book, [("threshold", step) for step in self.teller.used(self.model)])

    @rule(amount=amounts)
    def correct_down(self, amount: int) -> None:
        book = self._book()
        book.take_back(amount, self._id(), key=f"adjustment:{self.numbers}", at=self.now, reason="", actor="")
        self.model.correct_down(amount, self.now)
        self.teller.ended(self.model)
        self._check(book, [("adjusted", -amount)])

    @precondition(lambda self: self.model.consumed > 0)
    @rule(share=st.integers(1, 4))
    def return_some(self, share: int) -> None:
        amount = max(self.model.consumed * share // 4, 1)
        order = (PRIORITIES["adjustment"], self.period_end, self.now)
        grant = self._grant("adjustment", 0, order[0], self.period_end)
        book = self._book()
        book.give_back(amount, grant, self._id(), key="usage", at=self.now)
        spare = Purse(grant.id, "adjustment", (*order, grant.id), self.period_end, 0)
        self.model.put_back(amount, self.now, spare)
        self._check(book)

    @rule(days=st.integers(1, 40))
    def let_time_pass(self, days: int) -> None:
        until = self.now + days * DAY
        while True:
            ends = [purse.ends for purse in self.model.purses if not purse.closed and purse.ends is not None]
            instant = min([*ends, self.period_end])
            if instant > until:
                break
            self.now = instant
            for purse in sorted(self.model.purses, key=lambda purse: purse.order):
                if purse.source != "plan" and not purse.closed and purse.ends == instant:
                    self._expire(purse)
            if instant == self.period_end:
                self._reset()
            self._book().schedule(self.period_end, None)
        self.now = until

    @invariant()
    def the_balance_is_what_the_model_says(self) -> None:
        balance, model = self.balance, self.model
        assert (balance.issued, balance.used, balance.expired) == (model.given, model.consumed, model.lost)
        assert balance.posted == model.posted
        assert balance.overdraft == model.debt
        assert balance.allocation == model.allocation
        assert balance.told == max(self.teller.said, default=0)

    @invariant()
    def posted_is_what_the_grants_hold_less_the_overdraft(self) -> None:
        held = sum(grant.remaining for grant in self.grants.values())
        assert self.balance.posted == held - self.balance.overdraft
        assert self.balance.posted == self.balance.issued - self.balance.used - self.balance.expired
        assert self.balance.overdraft >= 0
        # A debt beside money would mean that somebody was not paid.
        assert not (self.balance.overdraft and any(grant.remaining for grant in self.grants.values()))

    @invariant()
    def no_grant_is_below_zero_or_above_its_amount(self) -> None:
        for purse in self.model.purses:
            grant = self.grants[purse.name]
            assert (grant.remaining, grant.consumed, grant.expired) == (purse.left, purse.spent, purse.lost)
            assert 0 <= grant.remaining <= grant.amount
            assert 0 <= grant.consumed <= grant.amount
            assert (grant.ended_at is not None) == purse.closed

    @invariant()
    def the_share_used_is_the_exact_one_rounded_half_up(self) -> None:
        allocation, remaining = self.balance.allocation, max(self.balance.posted, 0)
        assert allocation >= remaining
        exact = self.model.used_share
        shown = used_hundredths(remaining, allocation)
        assert (shown == 0) == (exact == 0)
        assert (shown == 10_000) == (exact == 1)
        if 0 < exact < 1:
            half_up = (exact * 10_000 + Fraction(1, 2)).__floor__()
            assert shown == min(max(half_up, 1), 9_999)

    @invariant()
    def accounts_are_what_was_booked_on_them(self) -> None:
        balance = self.balance
        expected = {
            ("issued", None): -balance.issued,
            ("overdraft", None): -balance.overdraft,
            ("usage", None): balance.used,
            ("expired", None): balance.expired,
        } | {("grant", grant.id): grant.remaining for grant in self.grants.values()}
        assert {key: value for key, value in expected.items() if value} == {
            key: value for key, value in self.accounts.items() if value
        }

    @invariant()
    def what_falls_due_is_scheduled(self) -> None:
        book = Book(dataclasses.replace(self.balance), self.grants)
        noted = self.balance.due_at
        book.schedule(self.period_end, None)
        # It may be early (the grant was used up meanwhile), never late.
        assert noted is not None and book.balance.due_at is not None
        assert self.now < noted <= book.balance.due_at

    def _id(self) -> UUID:
        self.numbers += 1
        return UUID(int=self.numbers)

    def _book(self) -> Book:
        """As a flow gets it: locked, with every grant that has not ended."""
        return Book(self.balance, {key: grant for key, grant in self.grants.items() if grant.ended_at is None})

    def _grant(self, source: str, amount: int, priority: int, expires: dt.datetime | None) -> Grant:
        return Grant(self._id(), "credits", source, amount, amount, priority, self.now, expires, self.now)

    def _purse(self, grant: Grant) -> Purse:
        order = (grant.priority, grant.expires_at or FAR, grant.created_at, grant.id)
        return Purse(grant.id, grant.source, order, grant.expires_at, grant.amount)

    def _issue(self, source: str, amount: int, priority: int, expires: dt.datetime | None) -> None:
        grant = self._grant(source, amount, priority, expires)
        book = self._book()
        book.issue(grant, grant.id, key=f"grant:{grant.id}")
        self.model.give(self._purse(grant))
        self.teller.begun(self.model)
        self._check(book, [("granted", amount)])

    def _expire(self, purse: Purse) -> None:
        book = self._book()
        book.expire(self.grants[purse.name], self._id(), at=self.now)
        left = purse.left
        self.model.end(purse)
        if left:
            self.teller.ended(self.model)
        self._check(book, [("expired", left)] if left else [])

    def _reset(self) -> None:
        self.period_end += PERIOD
        given = []
        if self.included:
            given = [self._grant("plan", self.included, PRIORITIES["plan"], self.period_end)]
        purses = [self._purse(grant) for grant in given]
        plans = sorted((p for p in self.model.purses if p.source == "plan" and p.left), key=lambda p: p.order)
        news: list[tuple[str, int]] = [("expired", purse.left) for purse in plans]
        book = self._book()
        book.reset(given, self._id(), at=self.now, key=f"reset:{self.now}")
        self.model.reset(purses)
        if given:
            self.teller.begun(self.model)
        elif news:
            self.teller.ended(self.model)
        self._check(book, news + [("granted", self.included) for _ in given])

    def _check(self, book: Book, news: Sequence[tuple[str, int]] = ()) -> None:
        """Keep what the flow would write, and hold every transaction to the rules of bookkeeping; `news` is told."""
        assert [_news(fact) for fact in book.facts] == list(news)
        ids = [fact.id for fact in book.facts]
        assert len({*ids}) == len(ids) and self.told.isdisjoint(ids)
        self.told.update(ids)
        for transaction in book.transactions:
            self.seq += 1
            assert transaction.seq == self.seq == self.balance.seq
            assert sum(entry.amount for entry in transaction.entries) == 0
            for entry in transaction.entries:
                key = (entry.account, entry.grant_id)
                self.accounts[key] = self.accounts.get(key, 0) + entry.amount
                assert entry.balance_after == self.accounts[key], entry
                assert entry.account == "usage" or entry.amount != 0
                assert entry.account not in ("grant", "expired") or entry.balance_after >= 0
        assert len(book.transactions) <= 1
        self.grants.update(book.grants)


def _news(fact: Fact) -> tuple[str, int]:
    """What is told, and of how much: a threshold in percent, or nano-credits."""
    what = fact.kind.removeprefix("credits.")
    if what in ("threshold_crossed", "exhausted"):
        assert (what == "exhausted") == (fact.data["threshold"] == 100)
        return "threshold", fact.data["threshold"]
    return what, int(fact.data["amount"] * NANO)


Ledger.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestLedger = Ledger.TestCase
