"""Holds against a slow model, through the real flow: whatever is asked, in whatever order and commit, every figure is
the model's, and never is more approved than there is (bar R1, rules M8, M20, M21).
"""

import asyncio
import datetime as dt
from typing import Any
from uuid import uuid5

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tallystick.flows import budgets
from tallystick.flows.batches import Batch
from tallystick.flows.holding import Extend, Place
from tallystick.flows.names import Item
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make, tills
from tests.make import IDS
from tests.properties.slow_till import FAR, UNITS, Cap, Purse, SlowHold, SlowTill, Spent

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
PLANS = {"slow-none": (0, 0), "slow-some": (12, 6)}
RUN_QUOTA = 5
PRIORITIES = {"free": 20, "promotion": 20, "purchase": 30}

names = st.sampled_from([None, "a", "b"])
amounts = st.sampled_from([(1, 0), (3, 0), (6, 0), (11, 0), (0, 1), (0, 4), (2, 2), (9, 5)])
spends = st.sampled_from([(0, 0), (1, 0), (3, 0), (4, 1), (8, 0), (2, 3), (14, 0)])
seconds = st.sampled_from([60, 300, 900, 7_200, 7_200, 86_400])
number = st.integers(0, 99)
asked = st.one_of(
    st.tuples(st.just("use"), spends, names, names),
    st.tuples(st.just("place"), amounts, names, names, seconds),
    st.tuples(st.just("place"), amounts, names, names, seconds),
    st.tuples(st.just("settle"), number, spends, st.booleans()),
    st.tuples(st.just("settle"), number, spends, st.booleans()),
    st.tuples(st.just("void"), number),
    st.tuples(st.just("extend"), number, seconds),
    st.tuples(st.just("cancel"), number),
)


class Tills(RuleBasedStateMachine):
    """One workspace, its clock and its model. Amounts are whole units."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.run = runner.run
        self.database = database
        self.numbers = 0

    @initialize(plan=st.sampled_from(sorted(PLANS)), given=st.integers(0, 20))
    def begin(self, plan: str, given: int) -> None:
        money, runs = PLANS[plan]
        self.run(tills.plan(self.database, plan, T0, credits=money, runs=runs, run_quota=RUN_QUOTA))
        workspace_id = self.run(make.bare_workspace(self.database, T0, plan=plan))
        self.till = tills.Till(self.database, workspace_id, T0)
        self.model = SlowTill(T0, (money, runs), RUN_QUOTA)
        if given:
            self.give("credits", given, "free", None)
            self.give("tool_runs", given // 3 + 1, "free", None)

    @rule(
        unit=st.sampled_from(UNITS),
        amount=st.integers(1, 15),
        source=st.sampled_from(sorted(PRIORITIES)),
        minutes=st.sampled_from([None, 2, 4, 5, 10, 60, 2_000]),
    )
    def give(self, unit: str, amount: int, source: str, minutes: int | None) -> None:
        # An instant of its own, so that the order of creation is known.
        self.till.wait(dt.timedelta(seconds=1))
        self.model.bring_up(self.till.at)
        ends = None if minutes is None else self.till.at + minutes * MINUTE
        self.run(self.till.grant(amount, unit=unit, source=source, expires_at=ends))
        order = (PRIORITIES[source], ends or FAR, self.till.at, 0)
        self.model.pots[UNITS.index(unit)].give(Purse(source, order, ends, amount))

    @rule(unit=st.sampled_from(UNITS), source=st.sampled_from(sorted(PRIORITIES)), share=st.sampled_from([1, 2, 4]))
    def end_under_a_hold(self, unit: str, source: str, share: int) -> None:
        """A grant ends while something is held: a share of what is available, or what others hold already."""
        self.give(unit, 4, source, 2)
        pot = self.model.pots[UNITS.index(unit)]
        amount = max(pot.posted - pot.held, 0) // share
        if amount and share < 4:
            asked = (amount, 0) if unit == "credits" else (0, amount)
            self.commit([("place", asked, None, None, 7_200)])
        self.wait(2, looked_at=True)

    @precondition(lambda self: len(self.model.caps) < 4)
    @rule(
        scope=st.sampled_from(["workspace", "agent"]),
        per=st.sampled_from(["run", "day", "month"]),
        unit=st.integers(0, 1),
        amount=st.integers(0, 20),
    )
    def cap(self, scope: str, per: str, unit: int, amount: int) -> None:
        if per == "run" and self.model.runs | {spent.run for spent in self.model.spent}:
            return  # A run that rests may not be looked back on.
        new = budgets.NewBudget("cap", scope, per, UNITS[unit], amount * NANO)
        author = budgets.Author(self.till.workspace_id, "test", None, self.till.at, IDS)
        made = self.run(budgets.create(self.database, new, author, most=10))
        self.model.caps.append(Cap(made.id, scope, per, unit, amount, self.till.at))

    @rule(minutes=st.sampled_from([1, 2, 3, 4, 5, 5, 6, 15, 60, 700, 1_440, 44_640]), looked_at=st.booleans())
    def wait(self, minutes: int, looked_at: bool) -> None:
        self.till.wait(minutes * MINUTE)
        if looked_at:
            self.run(self.till.settle_due())
            self.model.bring_up(self.till.at)

    @rule(operations=st.lists(asked, min_size=1, max_size=5))
    def commit(self, operations: list[tuple[Any, ...]]) -> None:
        self.till.wait(dt.timedelta(seconds=1))
        at, model = self.till.at, self.model
        model.bring_up(at)
        batches: list[Batch] = []
        usage: list[Spent] = []
        settling: list[int] = [0, 0]
        returned: list[Spent] = []
        changes: list[tuple[Batch, SlowHold, tuple[Any, ...]]] = []
        places: list[tuple[Batch, SlowHold]] = []
        ended: set[Any] = set()
        for kind, *given in operations:
            self.numbers += 1
            name = f"n{self.numbers}"
            if kind == "use":
                spent, run, agent = given
                batches.append(self.till.using(self._report(name, spent, run, agent)))
                usage.append(Spent(name, spent, at, run, agent))
            elif kind == "place":
                amount, run, agent, life = given
                scope = {} if agent is None else {"agent": agent}
                batches.append(self.till.placing(*amount, run=run, seconds=life, **scope))
                deadline = at + dt.timedelta(seconds=life)
                places.append((batches[-1], SlowHold(None, amount, list(amount), at, deadline, run, agent)))
            elif kind == "cancel":
                if model.spent:
                    target = model.spent[given[0] % len(model.spent)]
                    event = make.cancellation(name, "test", target.name, self.till.workspace_id, at)
                    batches.append(Batch([Item(self.till.workspace_id, event)], at))
                    if not target.taken_back and target not in returned:
                        returned.append(target)
            elif model.holds:
                hold = model.holds[given[0] % len(model.holds)]
                is_open = hold.status == "held" and hold.name not in ended
                if kind == "settle":
                    _, spent, final = given
                    report = self._report(name, spent, hold.run, hold.agent)
                    batches.append(self.till.settling(self._named(hold), report, final=final))
                    if is_open:
                        usage.append(Spent(name, spent, at, hold.run, hold.agent))
                        settling = [sum(pair) for pair in zip(settling, spent, strict=True)]
                        ended |= {hold.name} if final else set()
                elif kind == "void":
                    batches.append(self.till.voiding(self._named(hold)))
                    ended |= {hold.name} if is_open else set()
                else:
                    batches.append(self.till.extending(self._named(hold), given[1]))
                changes.append((batches[-1], hold, (kind, is_open, *given[1:])))
        # A commit of nothing is none: then time alone has passed, as in the model.
        self.run(self.till.together(*batches) if batches else self.till.settle_due())
        self._book(usage, returned, settling)
        for batch, hold, (kind, is_open, *rest) in changes:
            self._change(batch, hold, kind, is_open, rest)
        if any(is_open for _, _, (_, is_open, *_) in changes):
            for pot in model.pots:
                pot.let_go()
        for batch, hold in places:
            self._place(batch, hold)

    def _report(self, name: str, spent: tuple[int, int], run: str | None, agent: str | None) -> dict[str, Any]:
        said: dict[str, Any] = {key: value for key, value in (("run", run), ("agent", agent)) if value is not None}
        return tills.direct(name, *spent, **said)

    def _named(self, hold: SlowHold) -> Any:
        return type("Named", (), {"id": hold.name})

    def _book(self, usage: list[Spent], returned: list[Spent], settling: list[int]) -> None:
        net = [0, 0]
        for place in range(2):
            net[place] = sum(one.amounts[place] for one in usage) - sum(one.amounts[place] for one in returned)
        for one in returned:
            one.taken_back = True
        self.model.spent += usage
        self.model.debit(net, settling, self.till.at)

    def _change(self, batch: Batch, hold: SlowHold, kind: str, is_open: bool, rest: list[Any]) -> None:
        operation = tills.change_of(batch.operation)
        if not is_open:
            assert operation.error is not None and operation.error.code == "holdNotOpen", (kind, hold)
            return
        assert operation.error is None, (kind, operation.error)
        if kind == "settle":
            self.model.settle(hold, rest[0], final=rest[1])
        elif kind == "void":
            self.model.void(hold)
        else:
            assert isinstance(operation, Extend)
            hold.deadline = self.till.at + dt.timedelta(seconds=rest[0])

    def _place(self, batch: Batch, hold: SlowHold) -> None:
        operation = batch.operation
        assert isinstance(operation, Place)
        refusal = self.model.refusal(hold, self.till.at)
        told = operation.error.code if operation.error is not None else None
        assert told == refusal, (hold.asked, told, refusal)
        if operation.hold is not None:
            hold.name = operation.hold.id
            self.model.place(hold)
            for pot, amount in zip(self.model.pots, hold.asked, strict=True):
                assert not amount or pot.held <= pot.posted

    @invariant()
    def every_figure_is_the_models(self) -> None:
        self.run(self._compare())

    async def _compare(self) -> None:
        model, rows = self.model, self.till.rows
        balances = {row["unit"]: row for row in await rows("SELECT * FROM balance WHERE workspace_id = %s")}
        for unit, pot in zip(UNITS, model.pots, strict=True):
            row = balances[unit]
            figures = {name: row[name] / NANO for name in ("posted", "held", "overdraft")}
            assert figures == {"posted": pot.posted, "held": pot.held, "overdraft": pot.debt}, unit
        grants = await rows("SELECT * FROM credit_grant WHERE workspace_id = %s")
        ours = [
            (
                g["unit"],
                g["source"],
                g["expires_at"] or FAR,
                g["remaining"] / NANO,
                g["kept"] / NANO,
                g["expired"] / NANO,
            )
            for g in grants
        ]
        theirs = [
            (unit, p.source, p.ends or FAR, p.left, p.kept, p.lost)
            for unit, pot in zip(UNITS, model.pots, strict=True)
            for p in pot.purses
        ]
        assert sorted(ours) == sorted(theirs)
        holds = {row["id"]: row for row in await rows("SELECT * FROM hold WHERE workspace_id = %s")}
        assert len(holds) == len(model.holds)
        for hold in model.holds:
            row = holds[hold.name]
            found = [row[name] / NANO for name in (*UNITS, "settled_credits", "settled_tool_runs")]
            assert (row["status"], row["expires_at"], found) == (hold.status, hold.deadline, hold.open + hold.settled)
        used = await rows("SELECT * FROM budget_usage WHERE workspace_id = %s")
        for cap in model.caps:
            counted = {
                (row["subject"], row["window"]): (row["spent"] / NANO, row["held"] / NANO)
                for row in used
                if row["budget_id"] == cap.name and (row["spent"] or row["held"]) and cap.counts(row["window"])
            }
            assert counted == {(self._subject(cap, who), window): n for (who, window), n in model.usage(cap).items()}

    def _subject(self, cap: Cap, who: str) -> str:
        return who if cap.scope == "workspace" else str(uuid5(self.till.workspace_id, f"agent:{who}"))

    def teardown(self) -> None:
        if hasattr(self, "till"):
            self.run(self.till.verified())


@pytest.fixture(scope="module")
def runner(database_url: str) -> Any:
    """A loop of its own: Hypothesis calls its rules from no loop."""
    with asyncio.Runner() as runner:
        database = Database(database_url, pool_size=2)
        runner.run(database.open())
        runner.run(make.catalog(database, T0 - dt.timedelta(days=400)))
        yield runner, database
        runner.run(database.close())


def test_every_figure_of_holds_is_the_models(runner: tuple[asyncio.Runner, Database]) -> None:
    # Not made smaller: each history is one of a real database, and that would take minutes.
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    run_state_machine_as_test(
        lambda: Tills(*runner),  # type: ignore[arg-type]
        settings=settings(max_examples=35, stateful_step_count=30, deadline=None, phases=phases),
    )
