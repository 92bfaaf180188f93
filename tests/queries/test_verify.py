"""Verify is clean after everything the flows do, and names whatever was changed behind their back."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from tallystick.domain.differences import CODES, Difference
from tallystick.flows import due, prices
from tallystick.flows.reprice import price_unpriced
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries.verify import Checked, verify
from tallystick.store.database import Database
from tests import make
from tests.make import IDS, Batch, Item, Meter

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
BORN = T0 - 70 * DAY
KEPT = 35 * DAY
TIERED = {
    "graduated": {"tiers": [{"upTo": 10, "amount": "1"}, {"upTo": None, "amount": "0.333333333", "flat": "2"}]},
    "volume": {"tiers": [{"upTo": 12, "amount": "1"}, {"upTo": None, "amount": "0.25"}]},
    "package": {"amount": "3", "per": 4},
}


@dataclasses.dataclass(frozen=True)
class Told:
    """A workspace with a past, and what to find it by."""

    database: Database
    workspace_id: UUID
    kind: str

    async def differences(self) -> list[Difference]:
        found: list[Difference] = []
        await verify(self.database, found.append, hours_since=T0 - KEPT, workspace_id=self.workspace_id)
        assert {difference.code for difference in found} <= CODES.keys()
        return found

    async def plant(self, statement: str, **given: Any) -> list[Difference]:
        """What verify says after one statement behind the back of the flows; it must change one row."""
        async with self.database.data() as conn:
            done = await conn.execute(statement.encode(), {"w": self.workspace_id, **given})
            assert done.rowcount == 1
        return await self.differences()

    async def row(self, query: str, **given: Any) -> dict[str, Any]:
        async with self.database.read() as conn:
            [row] = await (await conn.execute(query.encode(), {"w": self.workspace_id, **given})).fetchall()
            return dict(row)

    async def event(self, source_id: str) -> dict[str, Any]:
        return await self.row(
            "SELECT * FROM usage_event WHERE workspace_id = %(w)s AND source_id = %(i)s AND reverses IS NULL",
            i=source_id,
        )


def brief(found: list[Difference]) -> dict[str, list[tuple[Any, ...]]]:
    """Differences by code: each figure's name, what it should be, and what it is."""
    told: dict[str, list[tuple[Any, ...]]] = {}
    for difference in found:
        told.setdefault(difference.code, []).extend((f.name, f.expected, f.found) for f in difference.figures)
    return told


def only(found: list[Difference], code: str) -> Difference:
    [difference] = [difference for difference in found if difference.code == code]
    return difference


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, BORN - 400 * DAY)
    return database


async def add_price(
    database: Database, target: str, model: str, rates: dict[str, Any], valid_from: dt.datetime
) -> None:
    await prices.add_version(
        database, target=target, model=model, rates=rates, now=BORN, ids=IDS, actor="test", valid_from=valid_from
    )


async def begun(database: Database) -> Told:
    """A workspace on a paid plan with tiers, tool calls, language models, and one event cancelled."""
    workspace_id = await make.bare_workspace(database, BORN, plan="pro")
    kind = f"q{workspace_id.hex[-12:]}"
    for model, rates in TIERED.items():
        await prices.add_meter(database, make.operator_meter(f"{kind}.{model}"), now=BORN, ids=IDS, actor="test")
        await add_price(database, f"{kind}.{model}", model, rates, BORN - 400 * DAY)
    await add_price(database, f"tool.call/integration:{kind}", "unit", {"amount": "0.7", "per": 3}, BORN)
    await make.grant(database, workspace_id, 50, BORN, expires_at=T0 - 20 * DAY)
    meter = Meter(database)
    call = {"type": "llm.tokens", "model": "gpt-4o", "agent": "a", "workflow": "w", "inputTokens": 1000, "user": "u"}
    await meter.report(
        workspace_id,
        call | {"id": "llm", "at": T0 - HOUR, "outputTokens": 40},
        call | {"id": "llm-2", "at": T0 - 40 * DAY},
        {"type": "tool.call", "id": "tool", "integration": kind, "action": "x", "quantity": 4, "at": T0 - HOUR},
        {"type": "orchestration.execution", "id": "run", "workflow": "w", "status": "error", "at": T0 - 2 * HOUR},
        {"type": f"{kind}.graduated", "id": "tier", "quantity": 8, "at": T0 - 3 * HOUR},
        {"type": f"{kind}.graduated", "id": "tier-2", "quantity": "4.5", "at": T0 - 2 * HOUR},
        {"type": "orchestration.execution", "id": "taken", "quantity": 100, "at": T0 - DAY},
        now=T0,
    )
    await meter.book(Batch([Item(workspace_id, make.cancellation("c", "test", "taken", workspace_id, T0))], T0))
    return Told(database, workspace_id, kind)


@pytest.fixture
async def told(priced: Database) -> Told:
    story = await begun(priced)
    assert await story.differences() == []
    return story


async def busy(database: Database) -> Told:
    """Everything the flows can do to a workspace, over three billing periods."""
    told = await begun(database)
    w, kind, meter = told.workspace_id, told.kind, Meter(database)
    for model in TIERED:
        for day in (68, 40, 39, 5):
            at = T0 - day * DAY
            report = {"type": f"{kind}.{model}", "at": at}
            await meter.report(w, *(report | {"id": f"{model}{day}{n}", "quantity": n} for n in (9, 1, 6)), now=T0)
        for day, n in ((68, 9), (5, 1), (5, 6)):
            await meter.book(
                Batch([Item(w, make.cancellation(f"c{model}{day}{n}", "test", f"{model}{day}{n}", w, T0))], T0)
            )
    # Overdraft, a late grant that pays it, a return that fills it again, a renewal after long silence.
    for number, quantity in enumerate(("10030", "9999.999999999", "2500")):
        now = BORN + (5 + 31 * number) * DAY
        await meter.report(w, {"type": "direct.charge", "id": f"d{number}", "quantity": quantity}, now=now)
    await make.grant(database, w, 3000, T0 - HOUR, source="purchase")
    await meter.book(Batch([Item(w, make.cancellation("cd", "test", "d0", w, T0))], T0))
    await make.grant(database, w, 7, T0, unit="tool_runs", expires_at=T0 + DAY)
    await _late_and_unpriced(told, meter)
    await _history(told, meter)
    await due.sweep(database, now=T0 + 90 * DAY, ids=IDS)
    return told


async def _late_and_unpriced(told: Told, meter: Meter) -> None:
    w, kind = told.workspace_id, told.kind
    new = {"type": "llm.tokens", "model": f"m-{kind}", "inputTokens": 700_001, "outputTokens": 3, "at": T0 - 2 * DAY}
    await meter.report(w, *(new | {"id": f"u{n}"} for n in range(4)), now=T0)
    share = {"type": "llm.tokens", "model": "gpt-4o", "integration": kind, "inputTokens": 12_345}
    await add_price(told.database, f"llm.tokens/{kind}/gpt-4o", "percentage", {"percent": "133.3"}, BORN)
    await add_price(told.database, f"tool.call/integration:{kind}/paid", "percentage", {"percent": "110"}, BORN)
    await meter.report(
        w,
        share | {"id": "p1"},
        share | {"id": "p2", "cost": 0.0123456789012},
        {"type": "tool.call", "id": "p3", "integration": kind, "action": "paid", "cost": "0.5", "connector": "mine"},
        {"type": "tool.call", "id": "p4", "integration": kind, "action": "paid"},
        {"type": "litellm_tokens", "id": "l", "model": "gpt-4o", "prompt_tokens": 10, "total_tokens": 15},
        now=T0,
    )
    async with told.database.data() as conn:
        await conn.execute(
            "UPDATE resource SET attributes = %s WHERE workspace_id = %s AND kind = 'connector'",
            [Jsonb({"useCredits": False}), w],
        )
        await conn.execute("UPDATE balance SET resources_no = resources_no + 1 WHERE workspace_id = %s", [w])
    await meter.report(w, {"type": "tool.call", "id": "own", "integration": kind, "connector": "mine"}, now=T0)
    await meter.book(Batch([Item(w, make.cancellation("cu0", "test", "u0", w, T0))], T0))
    await add_price(
        told.database,
        f"llm.tokens/*/m-{kind}",
        "graduated",
        {"tiers": [{"upTo": 1_000_000, "amount": "5", "per": 1_000_000}, {"amount": "1", "per": 1_000_000}]},
        BORN,
    )
    await price_unpriced(told.database, catalogs=meter.catalogs, models=make.MODELS, hourly_days=35, now=T0, ids=IDS)
    replacing = new | {"id": "u9", "inputTokens": 1, "replaces": {"source": "test", "id": "u2"}}
    await meter.report(w, replacing, now=T0)
    await meter.book(Batch([Item(w, make.cancellation("cu1", "test", "u1", w, T0))], T0))


async def _history(told: Told, meter: Meter) -> None:
    w, kind = told.workspace_id, told.kind
    old = {"type": "direct.charge", "quantity": 500, "at": BORN - 30 * DAY}
    reports = [old | {"id": f"h{n}"} for n in range(3)]
    reports.append({"type": "tool.call", "id": "h3", "quantity": 2, "at": BORN - DAY, "integration": kind})
    reports.append(old | {"id": "young", "at": T0 - DAY})
    items = [Item(w, make.event_of(report, w, T0)) for report in reports]
    # A cancellation of past usage in the same commit, before and after what it takes back, and a later one.
    early = Item(w, make.cancellation("ch0", "test", "h0", w, T0))
    late = Item(w, make.cancellation("ch1", "test", "h1", w, T0))
    await meter.book(Batch([early, *items, late], T0, "file-1"))
    await meter.book(Batch([Item(w, make.cancellation("ch2", "test", "h2", w, T0))], T0))
    again = make.cancellation("again", "test", "young", w, T0)
    await meter.book(Batch([Item(w, again), Item(w, make.event_of(old | {"id": "x", "at": T0}, w, T0))], T0))


async def test_everything_the_flows_do_is_clean(priced: Database) -> None:
    stories = [await busy(priced) for _ in range(2)]
    for story in stories:
        assert await story.differences() == []
    checked = Checked()
    found: list[Difference] = []
    for story in stories:
        await verify(priced, found.append, hours_since=T0 - KEPT, workspace_id=story.workspace_id, checked=checked)
    [counts] = await make.rows(
        priced,
        "SELECT (SELECT count(*) FROM usage_event WHERE workspace_id = ANY(%s)) AS events, "
        "(SELECT count(*) FROM event_key WHERE workspace_id = ANY(%s)) AS keys, "
        "(SELECT count(*) FROM ledger_entry WHERE workspace_id = ANY(%s)) AS entries, "
        "(SELECT count(*) FROM credit_grant WHERE workspace_id = ANY(%s)) AS grants",
        *[[story.workspace_id for story in stories]] * 4,
    )
    assert {name: getattr(checked, name) for name in counts} == counts
    assert (checked.workspaces, found) == (2, [])
    [states] = await make.rows(
        priced,
        "SELECT count(DISTINCT state) AS states, count(reverses) AS reversals, count(adjusts) AS adjustments, "
        "count(covered_by) AS covered, count(counter_before) AS tiered, bool_or(overdrawn) AS overdrawn "
        "FROM usage_event WHERE workspace_id = %s",
        stories[0].workspace_id,
    )
    assert states["states"] == 4 and states["overdrawn"] and min(states.values()) > 0, "the story is busy enough"


async def test_an_unknown_workspace_is_said_to_be_unknown(priced: Database) -> None:
    with pytest.raises(TallystickError) as error:
        await verify(priced, [].append, hours_since=T0, workspace_id=UUID(int=5))
    assert error.value.code == "workspaceNotFound"


async def test_a_changed_charge_is_named_with_both_amounts(told: Told) -> None:
    event = await told.event("llm")
    found = await told.plant(
        "UPDATE usage_event SET credits = credits + 1 WHERE workspace_id = %(w)s AND id = %(i)s", i=event["id"]
    )
    charge = only(found, "chargeDiffers")
    assert charge.ids["eventUuid"] == event["id"] and charge.ids["id"] == "llm"
    assert brief(found) == {
        "chargeDiffers": [("credits", event["credits"], event["credits"] + 1)],
        "transactionDiffersFromEvents": brief(found)["transactionDiffersFromEvents"],
        "rollupDiffers": [("credits", event["credits"] + 1, event["credits"])] * 3,
    }
    booked = only(found, "transactionDiffersFromEvents")
    assert booked.ids["transactionUuid"] == event["transaction_id"]
    [(_, expected, there)] = brief(found)["transactionDiffersFromEvents"]
    assert expected - there == 1


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ("tokens_in = tokens_in - 1", ("tokens_in", 1000, 999)),
        ("quantity = 1041", ("quantity", 1040, Decimal(1041))),
        ("tool_runs = 5", ("tool_runs", 0, 5)),
    ],
)
async def test_a_changed_measure_is_named(told: Told, change: str, figure: tuple[object, ...]) -> None:
    found = await told.plant(
        f"UPDATE usage_event SET {change} WHERE workspace_id = %(w)s AND source_id = 'llm' AND reverses IS NULL"
    )
    assert brief(found)["chargeDiffers"] == [figure]
    assert "rollupDiffers" in brief(found)


async def test_a_charge_of_a_price_that_is_not_there_is_named(told: Told) -> None:
    missing = UUID(int=77)
    found = await told.plant(
        "UPDATE usage_event SET price_version_id = %(p)s WHERE workspace_id = %(w)s AND source_id = 'run'", p=missing
    )
    assert brief(found) == {"unknownPrice": [("price_version", None, missing)]}


async def test_an_event_said_to_be_unpriced_or_waived_after_the_fact_is_named(told: Told) -> None:
    event = await told.event("run")
    found = await told.plant("UPDATE usage_event SET state = 'waived' WHERE workspace_id = %(w)s AND source_id = 'run'")
    assert ("credits", 0, event["credits"]) in brief(found)["chargeDiffers"]


async def test_a_deleted_event_is_named_with_what_it_cost(told: Told) -> None:
    event = await told.event("llm")
    found = await told.plant("DELETE FROM usage_event WHERE workspace_id = %(w)s AND id = %(i)s", i=event["id"])
    missing = only(found, "eventMissing")
    assert missing.ids | {"usedAt": None} == {
        "eventUuid": event["id"],
        "source": "test",
        "id": "llm",
        "usedAt": None,
        "transactionUuid": event["transaction_id"],
    }
    [(_, expected, there)] = brief(found)["transactionDiffersFromEvents"]
    assert there - expected == event["credits"] == 290_000_000
    assert only(found, "transactionDiffersFromEvents").ids["transactionUuid"] == event["transaction_id"]


async def test_a_missing_key_is_named(told: Told) -> None:
    event = await told.event("tool")
    found = await told.plant("DELETE FROM event_key WHERE workspace_id = %(w)s AND id = 'tool'")
    assert brief(found) == {"eventUnkeyed": [("credits", None, event["credits"])]}
    assert found[0].ids["eventUuid"] == event["id"]


async def test_a_cancellation_without_its_key_is_named(told: Told) -> None:
    found = await told.plant("DELETE FROM event_key WHERE workspace_id = %(w)s AND id = 'c'")
    assert brief(found) == {"eventUnkeyed": [("credits", None, -NANO)]}


async def test_a_second_copy_of_an_event_is_named(told: Told) -> None:
    event = await told.event("run")
    columns = [name for name in event if name != "id"]
    found = await told.plant(
        f"INSERT INTO usage_event (id, {', '.join(columns)}) SELECT %(n)s, {', '.join(columns)} FROM usage_event "
        "WHERE workspace_id = %(w)s AND id = %(i)s",
        n=UUID(int=event["id"].int + 1000),
        i=event["id"],
    )
    assert only(found, "eventUnkeyed").ids["eventUuid"] == UUID(int=event["id"].int + 1000)
    assert {"transactionDiffersFromEvents", "rollupDiffers"} <= brief(found).keys()


@pytest.mark.parametrize(
    "change", ['data = \'{"quantity":2,"workflow":"w","status":"error"}\'', "subject = 'else'", "type = 'x.y'"]
)
async def test_changed_content_of_an_event_is_named(told: Told, change: str) -> None:
    found = await told.plant(f"UPDATE usage_event SET {change} WHERE workspace_id = %(w)s AND source_id = 'run'")
    assert only(found, "eventChanged").ids["id"] == "run"


async def test_data_written_in_another_order_are_the_same_data(told: Told) -> None:
    found = await told.plant(
        'UPDATE usage_event SET data = \'{ "workflow": "w", "status": "error" }\' '
        "WHERE workspace_id = %(w)s AND source_id = 'run'"
    )
    assert found == []


async def test_data_that_no_longer_parse_are_named(told: Told) -> None:
    found = await told.plant(
        "UPDATE usage_event SET data = '{\"inputTokens\": \"many\"}' WHERE workspace_id = %(w)s AND source_id = 'llm'"
    )
    assert brief(found).keys() == {"eventChanged"}


async def test_a_reversal_that_takes_back_more_is_named(told: Told) -> None:
    found = await told.plant(
        "UPDATE usage_event SET credits = credits - 3 WHERE workspace_id = %(w)s AND reverses IS NOT NULL"
    )
    assert brief(found)["chargeDiffers"] == [("credits", -NANO, -NANO - 3)]


async def test_a_second_reversal_of_one_event_is_named(told: Told) -> None:
    reversal = await told.row("SELECT * FROM usage_event WHERE workspace_id = %(w)s AND reverses IS NOT NULL")
    columns = [name for name in reversal if name != "id"]
    found = await told.plant(
        f"INSERT INTO usage_event (id, {', '.join(columns)}) SELECT %(n)s, {', '.join(columns)} FROM usage_event "
        "WHERE workspace_id = %(w)s AND id = %(i)s",
        n=UUID(int=reversal["id"].int + 5),
        i=reversal["id"],
    )
    assert brief(found)["eventDoubled"] == [("credits", 0, -NANO)]


async def test_a_reversal_of_nothing_is_named(told: Told) -> None:
    found = await told.plant(
        "UPDATE usage_event SET reverses = %(n)s WHERE workspace_id = %(w)s AND reverses IS NOT NULL", n=UUID(int=9)
    )
    assert brief(found) == {"correctionDiffers": [("original", UUID(int=9), None)]}


async def first_usage(told: Told) -> dict[str, Any]:
    return await told.row(
        "SELECT n.* FROM ledger_entry AS n JOIN ledger_transaction AS t USING (workspace_id, unit, seq) "
        "WHERE workspace_id = %(w)s AND unit = 'credits' AND t.kind = 'usage' AND n.account = 'usage' "
        "ORDER BY seq LIMIT 1"
    )


async def test_a_doubled_ledger_entry_is_named(told: Told) -> None:
    entry = await first_usage(told)
    found = await told.plant(
        "INSERT INTO ledger_entry SELECT workspace_id, unit, seq, 9, account, grant_id, amount, balance_after + amount "
        "FROM ledger_entry WHERE workspace_id = %(w)s AND unit = 'credits' AND seq = %(s)s AND position = %(p)s",
        s=entry["seq"],
        p=entry["position"],
    )
    assert brief(found)["transactionUnbalanced"] == [("total", 0, entry["amount"])]
    assert only(found, "transactionUnbalanced").ids["seq"] == entry["seq"]
    assert ("used", entry["amount"] * 2 - NANO, entry["amount"] - NANO) in brief(found)["balanceDiffers"]


async def test_a_ledger_entry_that_stands_twice_as_it_is_is_named_as_doubled(told: Told) -> None:
    entry = await first_usage(told)
    found = await told.plant(
        "INSERT INTO ledger_entry SELECT workspace_id, unit, seq, 9, account, grant_id, amount, balance_after "
        "FROM ledger_entry WHERE workspace_id = %(w)s AND unit = 'credits' AND seq = %(s)s AND position = %(p)s",
        s=entry["seq"],
        p=entry["position"],
    )
    doubled = only(found, "entryDoubled")
    assert (doubled.ids["seq"], doubled.ids["position"]) == (entry["seq"], 9)
    assert brief(found)["entryDoubled"] == [("amount", 0, entry["amount"])]


async def test_an_unbalanced_transaction_is_named(told: Told) -> None:
    entry = await first_usage(told)
    found = await told.plant(
        "UPDATE ledger_entry SET amount = amount + 5 WHERE workspace_id = %(w)s AND unit = 'credits' "
        "AND seq = %(s)s AND position = %(p)s",
        s=entry["seq"],
        p=entry["position"],
    )
    assert brief(found)["transactionUnbalanced"] == [("total", 0, 5)]
    assert brief(found)["runningBalanceDiffers"] == [
        ("balance_after", entry["balance_after"] + 5, entry["balance_after"])
    ]
    assert brief(found)["transactionDiffersFromEvents"] == [("amount", entry["amount"], entry["amount"] + 5)]


async def test_an_entry_moved_to_another_account_is_named(told: Told) -> None:
    entry = await first_usage(told)
    found = await told.plant(
        "UPDATE ledger_entry SET account = 'expired' WHERE workspace_id = %(w)s AND unit = 'credits' "
        "AND seq = %(s)s AND position = %(p)s",
        s=entry["seq"],
        p=entry["position"],
    )
    assert ("used", -NANO, entry["amount"] - NANO) in brief(found)["balanceDiffers"]
    assert brief(found)["transactionDiffersFromEvents"] == [("amount", entry["amount"], 0)]


async def test_a_deleted_transaction_is_named(told: Told) -> None:
    entry = await first_usage(told)
    found = await told.plant(
        "DELETE FROM ledger_transaction WHERE workspace_id = %(w)s AND unit = 'credits' AND seq = %(s)s",
        s=entry["seq"],
    )
    assert brief(found)["transactionMissing"] == [("used", None, entry["amount"])]
    assert brief(found)["sequenceGap"] == [("seq", entry["seq"], entry["seq"] + 1)]
    assert brief(found)["transactionDiffersFromEvents"] == [("amount", entry["amount"], 0)]


async def test_a_transaction_deleted_with_its_entries_is_named(told: Told) -> None:
    entry = await first_usage(told)
    async with told.database.data() as conn:
        for table in ("ledger_entry", "ledger_transaction"):
            await conn.execute(
                f"DELETE FROM {table} WHERE workspace_id = %s AND unit = 'credits' AND seq = %s".encode(),
                [told.workspace_id, entry["seq"]],
            )
    found = await told.differences()
    assert brief(found)["sequenceGap"] == [("seq", entry["seq"], entry["seq"] + 1)]
    assert brief(found)["transactionDiffersFromEvents"] == [("amount", entry["amount"], 0)]


@pytest.mark.parametrize(
    "column", ["posted", "overdraft", "issued", "used", "expired", "allocation", "allocation_no", "seq"]
)
async def test_a_changed_balance_is_named(told: Told, column: str) -> None:
    before = await told.row("SELECT * FROM balance WHERE workspace_id = %(w)s AND unit = 'credits'")
    found = await told.plant(
        f"UPDATE balance SET {column} = {column} + 7 WHERE workspace_id = %(w)s AND unit = 'credits'"
    )
    assert brief(found) == {"balanceDiffers": [(column, before[column], before[column] + 7)]}
    assert found[0].ids == {"unit": "credits"}


async def test_thresholds_that_were_reached_and_not_noted_are_named(told: Told) -> None:
    found = await told.plant("UPDATE balance SET told = -1 WHERE workspace_id = %(w)s AND unit = 'credits'")
    [(name, expected, noted)] = brief(found)["balanceDiffers"]
    assert (name, noted) == ("told", -1)
    assert expected in (0, 20, 50, 70, 80, 90, 100)


async def test_an_end_that_would_be_missed_is_named(told: Told) -> None:
    before = await told.row("SELECT due_at FROM balance WHERE workspace_id = %(w)s AND unit = 'credits'")
    found = await told.plant("UPDATE balance SET due_at = NULL WHERE workspace_id = %(w)s AND unit = 'credits'")
    assert brief(found) == {"balanceDiffers": [("due_at", before["due_at"], None)]}


@pytest.mark.parametrize("column", ["remaining", "amount", "expired"])
async def test_a_changed_grant_is_named(told: Told, column: str) -> None:
    grant = await told.row(
        "SELECT * FROM credit_grant WHERE workspace_id = %(w)s AND unit = 'credits' AND remaining > 0 LIMIT 1"
    )
    found = await told.plant(
        f"UPDATE credit_grant SET {column} = {column} + 11 WHERE workspace_id = %(w)s AND id = %(i)s", i=grant["id"]
    )
    assert brief(found) == {"grantDiffers": [(column, grant[column], grant[column] + 11)]}
    assert found[0].ids["grantUuid"] == grant["id"]


async def test_a_deleted_grant_is_named(told: Told) -> None:
    grant = await told.row(
        "SELECT * FROM credit_grant WHERE workspace_id = %(w)s AND unit = 'credits' AND remaining > 0 LIMIT 1"
    )
    found = await told.plant("DELETE FROM credit_grant WHERE workspace_id = %(w)s AND id = %(i)s", i=grant["id"])
    assert brief(found) == {"grantMissing": [("remaining", grant["remaining"], None)]}


@pytest.mark.parametrize(("table", "at"), [("rollup_daily", "day"), ("rollup_hourly", "hour")], ids=["daily", "hourly"])
@pytest.mark.parametrize("measure", ["events", "quantity", "credits", "tool_runs"])
async def test_a_changed_total_is_named(told: Told, table: str, at: str, measure: str) -> None:
    row = await told.row(
        f"SELECT * FROM {table} WHERE workspace_id = %(w)s AND category = 'llm' ORDER BY {at} DESC LIMIT 1"
    )
    found = await told.plant(
        f"UPDATE {table} SET {measure} = {measure} + 2 WHERE workspace_id = %(w)s AND {at} = %(t)s AND bucket = %(b)s",
        t=row[at],
        b=row["bucket"],
    )
    assert brief(found) == {"rollupDiffers": [(measure, row[measure], row[measure] + 2)]}
    assert (found[0].ids[at], found[0].ids["slug"]) == (row[at], row["slug"])


@pytest.mark.parametrize("measure", ["events", "quantity", "credits"])
async def test_a_changed_total_of_a_workflow_is_named(told: Told, measure: str) -> None:
    row = await told.row("SELECT * FROM rollup_workflow WHERE workspace_id = %(w)s AND type = 'llm.tokens' LIMIT 1")
    found = await told.plant(
        f"UPDATE rollup_workflow SET {measure} = {measure} + 2 "
        "WHERE workspace_id = %(w)s AND day = %(d)s AND workflow_id = %(f)s AND slug = %(s)s AND type = 'llm.tokens'",
        d=row["day"],
        f=row["workflow_id"],
        s=row["slug"],
    )
    assert brief(found) == {"rollupDiffers": [(measure, row[measure], row[measure] + 2)]}


@pytest.mark.parametrize("measure", ["tokens_in", "tokens_out", "provider_cost", "unpriced"])
async def test_a_changed_daily_measure_is_named(told: Told, measure: str) -> None:
    found = await told.plant(
        f"UPDATE rollup_daily SET {measure} = {measure} + 2 "
        "WHERE workspace_id = %(w)s AND category = 'llm' AND day > '2026-02-15'"
    )
    [(name, expected, there)] = brief(found)["rollupDiffers"]
    assert (name, there - expected) == (measure, 2)


@pytest.mark.parametrize("table", ["rollup_daily", "rollup_hourly"])
async def test_a_deleted_total_is_named(told: Told, table: str) -> None:
    found = await told.plant(f"DELETE FROM {table} WHERE workspace_id = %(w)s AND category = 'tool_calls'")
    event = await told.event("tool")
    assert ("credits", event["credits"], None) in brief(found)["rollupDiffers"]
    assert ("tool_runs", 4 * NANO, None) in brief(found)["rollupDiffers"]


async def test_a_total_of_nothing_is_named(told: Told) -> None:
    found = await told.plant(
        "INSERT INTO rollup_daily SELECT (jsonb_populate_record(r, jsonb_build_object('day', r.day - 1))).* "
        "FROM rollup_daily AS r WHERE workspace_id = %(w)s AND category = 'tool_calls'"
    )
    event = await told.event("tool")
    assert ("events", 0, 1) in brief(found)["rollupDiffers"]
    assert ("credits", 0, event["credits"]) in brief(found)["rollupDiffers"]


@pytest.mark.parametrize("table", ["rollup_daily", "rollup_hourly"])
async def test_a_total_under_a_wrong_key_is_named(told: Told, table: str) -> None:
    found = await told.plant(
        f"UPDATE {table} SET bucket = %(b)s WHERE workspace_id = %(w)s AND category = 'tool_calls'", b=UUID(int=3)
    )
    assert [(code, figures[0][2]) for code, figures in brief(found).items()] == [("bucketDiffers", UUID(int=3))]


async def test_hours_that_are_no_longer_kept_are_not_missed(told: Told) -> None:
    async with told.database.data() as conn:
        await conn.execute("DELETE FROM rollup_hourly WHERE workspace_id = %s", [told.workspace_id])
    found: list[Difference] = []
    await verify(told.database, found.append, hours_since=T0 + HOUR, workspace_id=told.workspace_id)
    assert found == []


async def test_a_price_edited_in_place_is_named_with_what_it_would_change(told: Told) -> None:
    target = f"tool.call/integration:{told.kind}"
    version = await told.row("SELECT id, rates FROM price_version WHERE target = %(t)s", t=target)
    change = "UPDATE price_version SET rates = %(r)s WHERE id = %(i)s"
    event = await told.event("tool")
    try:
        found = await told.plant(change, r=Jsonb({"amount": "0.9", "per": 3}), i=version["id"])
        assert only(found, "priceEdited").ids["target"] == target
        assert only(found, "priceEdited").ids["priceVersionUuid"] == version["id"]
        assert brief(found)["chargeDiffers"] == [("credits", 1_200_000_000, event["credits"])]
        found = await told.plant(change, r=Jsonb({"amount": "lots"}), i=version["id"])
        assert brief(found).keys() == {"priceEdited", "unknownPrice"}
    finally:
        assert await told.plant(change, r=Jsonb(version["rates"]), i=version["id"]) == []


async def test_a_wrong_counter_is_named(told: Told) -> None:
    found = await told.plant("UPDATE price_counter SET quantity = 13 WHERE workspace_id = %(w)s")
    assert brief(found) == {"counterDiffers": [("quantity", Decimal("12.5"), Decimal(13))]}
    assert found[0].ids["target"] == f"{told.kind}.graduated"


async def test_a_deleted_counter_is_named(told: Told) -> None:
    found = await told.plant("DELETE FROM price_counter WHERE workspace_id = %(w)s")
    assert brief(found) == {"counterDiffers": [("quantity", Decimal("12.5"), None)]}


async def test_a_stretch_of_a_tier_that_was_moved_is_named(told: Told) -> None:
    event = await told.event("tier-2")
    found = await told.plant(
        "UPDATE usage_event SET counter_before = 0, credits = 4500000000 "
        "WHERE workspace_id = %(w)s AND source_id = 'tier-2'"
    )
    assert only(found, "counterDiffers").ids["eventUuid"] == event["id"]
    assert "chargeDiffers" not in brief(found)
