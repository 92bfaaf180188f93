"""Telling a story: each step is done by the product and worked out by the oracle, and becomes a line with both."""

import datetime as dt
import os
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

from tallystick.domain.credits.grants import GrantTerms
from tallystick.domain.identity.rights import PERMISSIONS, Principal
from tallystick.domain.metering.events import UsageEvent
from tallystick.flows import due, grants, subscriptions, workspaces
from tallystick.flows.batches import Batch, Outcome
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.ingest import IngestLimits, book
from tallystick.flows.names import Item, Names
from tallystick.flows.workspaces import NewWorkspace
from tallystick.kernel.clock import FrozenClock
from tallystick.kernel.credits import format_credits
from tallystick.kernel.ids import SequentialIds
from tallystick.queries.balances import balances
from tallystick.store.database import Database
from tests import make
from tests.stories.oracle import Wallet

REWRITE = "TALLY_TEST_REWRITE_GOLDENS"
NANO = 10**9
WIDTHS = (16, 56, 17, 17, 17, 17, 8, 8)
HEAD = ("when (UTC)", "what", "credits", "by hand", "balance", "by hand", "used %", "by hand")


def exact(amount: Fraction) -> str:
    """A fraction of credits as the plain decimal it is."""
    nano = amount * NANO
    assert nano.denominator == 1, amount
    sign, digits = "-" if nano < 0 else "", f"{abs(int(nano)):010d}"
    return f"{sign}{digits[:-9]}.{digits[-9:]}".rstrip("0").rstrip(".")


class Story:
    """A workspace on a frozen clock, and beside it the oracle's wallets."""

    def __init__(self, database: Database, title: str, begins: dt.datetime) -> None:
        self.database = database
        self.clock = FrozenClock(begins)
        self.ids = SequentialIds()
        self.names, self.catalogs = Names(make.MODELS), CatalogCache()
        self.wallet, self.tool_runs = Wallet(), Wallet()
        self.workspace_id = UUID(int=0)
        self.lines = [title, "=" * len(title), ""]
        self.differences: list[str] = []

    @property
    def now(self) -> dt.datetime:
        return self.clock.now()

    def until(self, day: str, time: str) -> None:
        """Let time pass; a day begins a paragraph."""
        then = dt.datetime.fromisoformat(f"{day}T{time}:00+00:00")
        if then.date() != self.now.date():
            self.lines.append("")
        self.clock.advance(then - self.now)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def head(self) -> None:
        """What the columns are."""
        self.lines += [self._row(HEAD), self._row(tuple("-" * width for width in WIDTHS))]

    async def born(self, plan: str, grants: tuple[GrantTerms, ...]) -> None:
        await subscriptions.ship_plans(self.database)
        operator = Principal("operator", UUID(int=1), "story", None, None, None, PERMISSIONS)
        made = await workspaces.create(
            self.database,
            NewWorkspace("Acme", grants, plan=plan),
            principal=operator,
            text=f"token of {self.lines[0]}",
            request=None,
            now=self.now,
            ids=self.ids,
        )
        self.workspace_id = made.workspace.id
        for terms in grants:
            wallet = self.wallet if terms.unit == "credits" else self.tool_runs
            wallet.give(terms.source, Fraction(terms.amount, NANO), terms.expires_at, self.now)

    async def given(self, what: str, source: str, amount: int, ends: dt.datetime | None = None) -> None:
        terms = GrantTerms("credits", amount * NANO, source, key=what, expires_at=ends, reason=what)
        await grants.issue(
            self.database, terms, workspace_id=self.workspace_id, now=self.now, ids=self.ids, actor="story"
        )
        self.wallet.give(source, Fraction(amount), ends, self.now)
        await self.line(what, amount * NANO, Fraction(amount))

    async def used(
        self, what: str, by_hand: Fraction, *, runs: int = 0, ago: dt.timedelta | None = None, **report: Any
    ) -> None:
        """One event, new and accepted, that costs `by_hand`."""
        at = self.now if ago is None else self.now - ago
        event = make.event_of({"at": at, **report}, self.workspace_id, self.now)
        outcome = await self._book(event)
        assert outcome.kind == "accepted", outcome
        self.wallet.use(by_hand, self.now)
        self.tool_runs.use(Fraction(runs), self.now)
        await self.line(what, -outcome.credits, -by_hand)

    async def repeated(self, what: str, **report: Any) -> None:
        """An event that was reported before."""
        outcome = await self._book(make.event_of(report, self.workspace_id, self.now))
        assert outcome.kind == "duplicate", outcome
        await self.line(what, -outcome.credits, Fraction(0))

    async def cancelled(self, what: str, own_id: str, target: str, by_hand: Fraction, *, runs: int = 0) -> None:
        event = make.cancellation(own_id, "test", target, self.workspace_id, self.now)
        outcome = await self._book(event)
        assert outcome.kind == "accepted", outcome
        self.wallet.use(-by_hand, self.now)
        self.tool_runs.use(Fraction(-runs), self.now)
        await self.line(what, -outcome.credits, by_hand)

    async def settled(self, what: str, by_hand: Fraction) -> None:
        """What the clock alone did; `by_hand` is by how much it moved the balance."""
        before = await self.posted()
        await due.bring_up(self.database, self.workspace_id, now=self.now, ids=self.ids)
        await self.line(what, await self.posted() - before, by_hand)

    async def line(self, what: str, moved: int, by_hand: Fraction) -> None:
        money, runs = await balances(self.database, self.workspace_id)
        shares = f"{money.used_hundredths // 100}.{money.used_hundredths % 100:02d}"
        pairs = (
            (format_credits(moved), exact(by_hand)),
            (format_credits(money.posted), exact(self.wallet.posted)),
            (shares, self.wallet.used_percent),
        )
        row = self._row((f"{self.now:%Y-%m-%d %H:%M}", what, *(figure for pair in pairs for figure in pair)))
        self.lines.append(row)
        if any(ours != theirs for ours, theirs in pairs) or format_credits(runs.posted) != exact(self.tool_runs.posted):
            self.differences.append(row)

    async def table(self, title: str, query: str, by_hand: dict[str, tuple[Fraction, ...]]) -> None:
        """Figures of the database beside those by hand; rows of (name, figures of nano-units…)."""
        self.lines += ["", title]
        found = {
            str(row.pop("name")): tuple(int(value) for value in row.values())
            for row in await make.rows(self.database, query, self.workspace_id)
        }
        for name in sorted(found.keys() | by_hand.keys()):
            ours = " ".join(f"{format_credits(figure):>17}" for figure in found.get(name, ()))
            theirs = " ".join(f"{exact(figure):>17}" for figure in by_hand.get(name, ()))
            self.lines.append(f"  {name:<30} {ours}   by hand {theirs}")
            if ours != theirs:
                self.differences.append(self.lines[-1])

    async def _book(self, event: UsageEvent) -> Outcome:
        # Each commit has an instant of its own, as ids made from a count want it.
        now = self.clock.advance(dt.timedelta(milliseconds=1))
        batch = Batch([Item(self.workspace_id, event)], now)
        await book(
            self.database,
            [batch],
            names_cache=self.names,
            catalogs=self.catalogs,
            limits=IngestLimits(hourly_days=400),
            ids=self.ids,
        )
        [outcome] = batch.outcomes
        assert outcome is not None
        return outcome

    async def posted(self) -> int:
        [money, _] = await balances(self.database, self.workspace_id)
        return money.posted

    def _row(self, cells: tuple[str, ...]) -> str:
        texts = [
            f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
        ]
        return "  ".join(texts).rstrip()

    async def check(self, golden: Path) -> None:
        """Both columns agree, the books verify, and the text is the committed one."""
        assert await make.differences(self.database, self.workspace_id) == []
        text = "\n".join(self.lines).rstrip() + "\n"
        assert not self.differences, "\n".join(self.differences)
        if os.environ.get(REWRITE):
            rewrite(golden, text)
        assert golden.read_text(encoding="utf-8") == text, f"{golden.name} tells another story; {REWRITE}=1 rewrites it"


def rewrite(golden: Path, text: str) -> None:
    """Replace a golden file; never where nobody looks at the difference."""
    if os.environ.get("CI"):
        raise AssertionError(f"{REWRITE} is refused in CI: rewrite goldens at a desk and read what changed")
    golden.write_text(text, encoding="utf-8")
