"""Two workspaces from their birth on, told line by line with what a hand calculation says beside every figure."""

import datetime as dt
from fractions import Fraction
from pathlib import Path

import pytest

from tallystick.domain.credits.grants import GrantTerms
from tallystick.flows import prices, reprice
from tallystick.store.database import Database
from tests import make
from tests.make import IDS
from tests.stories import oracle
from tests.stories.telling import NANO, REWRITE, Story, rewrite

HERE = Path(__file__).parent
LONG_AGO = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)

WRITER = {"input": Fraction(15), "cached": Fraction("7.5"), "output": Fraction(60)}
WRITER_LONG = {"input": Fraction(30), "cached": Fraction(15), "output": Fraction(90)}
THINKER = {"input": Fraction(300), "cached": Fraction(300), "output": Fraction("1234.567891234")}
SEARCH: list[tuple[int | None, Fraction]] = [(1_000, Fraction("0.01")), (None, Fraction("0.0035"))]
EXECUTION, RECORD, CALL = Fraction("0.01"), Fraction("0.001"), Fraction("0.7") / 3

PRICE_LIST = """
Price list: a node execution 0.01; a stored record 0.001; a call of ledgerly 0.7 for three; searches of a billing
period 0.01 each up to 1,000 and 0.0035 beyond; writer-1 per million tokens 15 in, 7.5 cached, 60 out, and for calls
of more than 200,000 tokens in 30, 15 and 90; thinker per million 300 in, 1,234.567891234 out.
""".strip()


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await prices.ship_catalog(database, LONG_AGO)
    await prices.add_meter(database, make.operator_meter("story.search"), now=LONG_AGO, ids=IDS, actor="test")
    writer = {"inputTokens": "15", "cachedInputTokens": "7.5", "outputTokens": "60"}
    longer = {"inputTokens": "30", "cachedInputTokens": "15", "outputTokens": "90"}
    tiers = [{"upTo": 1_000, "amount": "0.01"}, {"upTo": None, "amount": "0.0035"}]
    for target, model, rates in (
        (
            "llm.tokens/story/writer-1",
            "tokens",
            {"perMillion": writer, "above": [{"inputTokens": 200_000, "perMillion": longer}]},
        ),
        ("tool.call/integration:ledgerly", "unit", {"amount": "0.7", "per": 3}),
        ("story.search", "graduated", {"tiers": tiers}),
    ):
        await prices.add_version(database, target=target, model=model, rates=rates, now=LONG_AGO, ids=IDS, actor="test")
    return database


async def price_thinker(story: Story, model: str) -> int:
    """The operator gives a price from the beginning to a model that had none; how many events that priced."""
    rates = {"perMillion": {"inputTokens": "300", "outputTokens": "1234.567891234"}}
    now = story.clock.advance(dt.timedelta(milliseconds=1))
    target = f"llm.tokens/story/{model}"
    await prices.add_version(
        story.database, target=target, model="tokens", rates=rates, now=now, ids=story.ids, actor="operator"
    )
    return await reprice.price_unpriced(
        story.database, catalogs=story.catalogs, models=make.MODELS, hourly_days=400, now=now, ids=story.ids
    )


DAYS = "SELECT day AS name, sum(credits) AS credits FROM rollup_daily WHERE workspace_id = %s GROUP BY day"
HOURS = (
    "SELECT (hour AT TIME ZONE 'UTC')::date AS name, sum(credits) AS credits FROM rollup_hourly"
    " WHERE workspace_id = %s GROUP BY 1"
)
GRANTS = (
    "SELECT reason AS name, sum(amount) AS amount, sum(remaining) AS remaining, sum(expired) AS expired"
    " FROM credit_grant WHERE workspace_id = %s AND unit = 'credits' GROUP BY reason"
)
ACCOUNTS = (
    "SELECT account AS name, sum(amount) AS amount FROM ledger_entry"
    " WHERE workspace_id = %s AND unit = 'credits' GROUP BY account"
)


async def test_the_first_week(priced: Database) -> None:
    story = Story(priced, "A workspace's first week", dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC))
    story.say("Acme starts on the Free plan: 75 credits and 10,000 tool runs for 90 days.")
    story.say(PRICE_LIST + "\n")
    story.head()
    ends = story.now + 90 * DAY
    free = tuple(
        GrantTerms(unit, amount * NANO, "free", key=f"free:{unit}", expires_at=ends, reason="free grant")
        for unit, amount in (("credits", 75), ("tool_runs", 10_000))
    )
    await story.born("free", free)
    await story.line("75 free credits", 75 * NANO, Fraction(75))

    story.until("2026-03-02", "09:05")
    call = {"type": "llm.tokens", "integration": "story", "model": "writer-1", "agent": "clerk", "workflow": "mail"}
    first = call | {"id": "m1", "inputTokens": 1_204, "cachedInputTokens": 1_024, "outputTokens": 310}
    cost_m1 = oracle.tokens(first, WRITER, (200_000, WRITER_LONG))
    await story.used("writer-1: 1,204 in (1,024 cached), 310 out", cost_m1, **first)
    story.until("2026-03-02", "09:06")
    await story.used(
        "100 node executions", 100 * EXECUTION, type="orchestration.execution", id="x1", workflow="mail", quantity=100
    )
    story.until("2026-03-02", "09:07")
    await story.repeated("the same model call, reported again", **first)

    story.until("2026-03-03", "14:00")
    tool = {"type": "tool.call", "integration": "ledgerly", "action": "post", "connector": "books"}
    cost_t1 = oracle.rounded(5 * CALL)
    await story.used("5 calls of ledgerly (5 tool runs)", cost_t1, runs=5, **tool, id="t1", quantity=5)
    long_call = call | {"id": "m2", "inputTokens": 200_001, "outputTokens": 4_000, "reasoningTokens": 1_000}
    cost_m2 = oracle.tokens(long_call, WRITER, (200_000, WRITER_LONG))
    await story.used("writer-1: 200,001 in, a long call; 4,000 out", cost_m2, **long_call)

    story.until("2026-03-04", "08:30")
    await story.used("12,345 records stored", 12_345 * RECORD, type="storage.records", id="s1", quantity=12_345)
    unknown = call | {"id": "m3", "model": "thinker-week", "inputTokens": 3_333, "outputTokens": 777}
    await story.used("thinker: 3,333 in, 777 out; it has no price yet", Fraction(0), **unknown)

    story.until("2026-03-05", "10:00")
    await story.used(
        "40 executions of Monday, reported late",
        40 * EXECUTION,
        ago=3 * DAY,
        type="orchestration.execution",
        id="x2",
        workflow="mail",
        quantity=40,
    )
    right = tool | {"id": "t2", "quantity": 2, "replaces": {"source": "test", "id": "t1"}}
    cost_t2 = oracle.rounded(2 * CALL)
    story.until("2026-03-05", "10:10")
    # The replacement is used now; what it replaces goes back to the day of its use.
    await story.used("Tuesday's 5 calls were 2: corrected", cost_t2 - cost_t1, runs=-3, **right)
    story.until("2026-03-05", "10:20")
    await story.cancelled("Monday's 100 executions never ran: cancelled", "c1", "x1", 100 * EXECUTION)

    story.until("2026-03-06", "16:00")
    cost_m3 = oracle.tokens(unknown, THINKER, (10**12, THINKER))
    before = await story.posted()
    assert await price_thinker(story, "thinker-week") == 1
    story.wallet.use(cost_m3, story.now)
    await story.line("thinker gets its price, from the beginning", await story.posted() - before, -cost_m3)

    story.until("2026-03-07", "12:00")
    sunday = dt.datetime(2026, 3, 8, 12, tzinfo=dt.UTC)
    await story.given("a weekend gift, until Sunday noon", "promotion", 5, sunday)
    story.until("2026-03-07", "13:00")
    await story.used("direct charge: a workshop", Fraction(2), type="direct.charge", id="d1", quantity=2)

    story.until("2026-03-08", "12:00")
    await story.settled("what is left of the gift expires", -story.wallet.expire(story.now))
    story.until("2026-03-08", "18:00")
    await story.used(
        "direct charge: more than there is", Fraction("60.25"), type="direct.charge", id="d2", quantity="60.25"
    )
    story.until("2026-03-08", "19:00")
    await story.given("25 credits bought", "purchase", 25, story.now + 365 * DAY)
    story.until("2026-03-08", "20:00")
    await story.used(
        "250 searches", oracle.graduated(Fraction(0), Fraction(250), SEARCH), type="story.search", id="q1", quantity=250
    )

    by_day = {
        "2026-03-02": (cost_m1 + 40 * EXECUTION,),
        "2026-03-03": (cost_m2,),
        "2026-03-04": (12_345 * RECORD + cost_m3,),
        "2026-03-05": (cost_t2,),
        "2026-03-07": (Fraction(2),),
        "2026-03-08": (Fraction("60.25") + Fraction("2.5"),),
    }
    await story.table("Credits by day of use", DAYS, by_day)
    await story.table("The same from the hours", HOURS, by_day)
    left = {purse.source: purse for purse in story.wallet.purses}
    await story.table(
        "Grants: amount, remaining, expired",
        GRANTS,
        {
            "free grant": (Fraction(75), left["free"].left, Fraction(0)),
            "a weekend gift, until Sunday noon": (Fraction(5), left["promotion"].left, Fraction(3)),
            "25 credits bought": (Fraction(25), left["purchase"].left, Fraction(0)),
        },
    )
    used = sum((figures[0] for figures in by_day.values()), Fraction(0))
    await story.table(
        "Accounts of the ledger",
        ACCOUNTS,
        {
            "issued": (Fraction(-105),),
            "usage": (used,),
            "expired": (Fraction(3),),
            "grant": (105 - used - 3,),
            "overdraft": (Fraction(0),),
        },
    )
    await story.check(HERE / "first_week.txt")


async def test_three_months_on_pro(priced: Database) -> None:
    story = Story(
        priced, "Three months on Pro, from the last day of January", dt.datetime(2026, 1, 31, 10, tzinfo=dt.UTC)
    )
    story.say("Each period gives 10,000 credits and 100,000 tool runs; periods end on 28 February, 31 March, 30 April.")
    story.say(PRICE_LIST + "\n")
    story.head()
    included, runs = Fraction(10_000), Fraction(100_000)
    ends = [dt.datetime(2026, *day, 10, tzinfo=dt.UTC) for day in ((2, 28), (3, 31), (4, 30), (5, 31))]
    free = GrantTerms("credits", 75 * NANO, "free", key="free", expires_at=story.now + 90 * DAY, reason="free grant")
    story.wallet.give("plan", included, ends[0], story.now)
    story.tool_runs.give("plan", runs, ends[0], story.now)
    await story.born("pro", (free,))
    await story.line("10,000 credits of the plan and 75 free ones", 10_075 * NANO, Fraction(10_075))

    async def charge(what: str, number: str, amount: str, **more: dt.timedelta) -> None:
        await story.used(what, Fraction(amount), type="direct.charge", id=number, quantity=amount, **more)

    async def search(number: str, filled: int, more: int) -> Fraction:
        cost = oracle.graduated(Fraction(filled), Fraction(more), SEARCH)
        await story.used(f"{more:,} searches, after {filled:,}", cost, type="story.search", id=number, quantity=more)
        return cost

    def renew(end: int) -> Fraction:
        """The oracle's reset at an end; by how much it moves the balance of credits."""
        before = story.wallet.posted
        for wallet in (story.wallet, story.tool_runs):
            wallet.expire(ends[end])
        story.wallet.reset(included, ends[end + 1], ends[end])
        story.tool_runs.reset(runs, ends[end + 1], ends[end])
        return story.wallet.posted - before

    story.until("2026-02-03", "09:00")
    await charge("direct charge: a migration", "d1", "9500")
    story.until("2026-02-10", "09:00")
    await story.given("500 credits bought", "purchase", 500, story.now + 365 * DAY)
    story.until("2026-02-14", "09:00")
    await story.used(
        "1,000,000 records: the plan, the free and some bought ones",
        1_000_000 * RECORD,
        type="storage.records",
        id="s1",
        quantity=1_000_000,
    )
    story.until("2026-02-20", "09:00")
    await charge("direct charge: nothing is left, 125 overdrawn", "d2", "200")

    story.until("2026-02-28", "10:00")
    await story.settled("reset: the new grant pays the overdraft first", renew(0))
    story.until("2026-03-01", "08:00")
    await charge("1 credit of 27 February, reported late", "d3", "1", ago=2 * DAY)
    story.until("2026-03-02", "08:00")
    await story.used(
        "February's 200 were 150: corrected, bought ones come back",
        Fraction(-50),
        type="direct.charge",
        id="d4",
        quantity=150,
        replaces={"source": "test", "id": "d2"},
        ago=10 * DAY,
    )
    story.until("2026-03-15", "08:00")
    first = await search("q1", 0, 1_200)
    story.until("2026-03-20", "08:00")
    second = await search("q2", 1_200, 501)
    story.until("2026-03-21", "08:00")
    tool = {"type": "tool.call", "integration": "ledgerly", "action": "post"}
    await story.used(
        "10 calls of ledgerly (10 tool runs)", oracle.rounded(10 * CALL), runs=10, **tool, id="t1", quantity=10
    )

    story.until("2026-03-31", "10:00")
    await story.settled("reset: what the plan had left is gone", renew(1))
    story.until("2026-04-02", "09:00")
    third = await search("q3", 0, 900)
    story.until("2026-04-03", "09:00")
    await story.cancelled("March's 10 calls: cancelled", "c1", "t1", oracle.rounded(10 * CALL), runs=10)
    story.until("2026-04-10", "09:00")
    unknown = {"type": "llm.tokens", "integration": "story", "model": "thinker-pro", "id": "m1"}
    unknown |= {"inputTokens": 7_777_777, "outputTokens": 123_457}
    await story.used("thinker: it has no price yet", Fraction(0), **unknown)
    story.until("2026-04-11", "09:00")
    cost_m1 = oracle.tokens(unknown, THINKER, (10**12, THINKER))
    before = await story.posted()
    assert await price_thinker(story, "thinker-pro") == 1
    story.wallet.use(cost_m1, story.now)
    await story.line("thinker gets its price, from the beginning", await story.posted() - before, -cost_m1)
    story.until("2026-04-20", "09:00")
    await story.given("100 credits for five days", "promotion", 100, story.now + 5 * DAY)
    story.until("2026-04-26", "09:00")
    await story.settled("they expire unused: the plan's go first", -story.wallet.expire(story.now))

    story.until("2026-05-02", "09:00")
    renew(2)
    await charge("April's end is noticed by the first use after it", "d5", "0.000000001")

    await story.table(
        "Credits by day of use",
        DAYS,
        {
            "2026-02-03": (Fraction(9_500),),
            "2026-02-14": (Fraction(1_000),),
            "2026-02-20": (Fraction(150),),
            "2026-02-27": (Fraction(1),),
            "2026-03-15": (first,),
            "2026-03-20": (second,),
            "2026-03-21": (Fraction(0),),
            "2026-04-02": (third,),
            "2026-04-10": (cost_m1,),
            "2026-05-02": (Fraction(1, NANO),),
        },
    )
    await story.table(
        "Grants: amount, remaining, expired",
        GRANTS,
        {
            "Pro": (
                Fraction(40_000),
                sum((p.left for p in story.wallet.purses if p.source == "plan"), Fraction(0)),
                sum((10_000 - p.spent for p in story.wallet.purses if p.source == "plan" and p.closed), Fraction(0)),
            ),
            **{
                reason: (Fraction(amount), purse.left, amount - purse.spent - purse.left)
                for reason, source, amount in (
                    ("free grant", "free", 75),
                    ("500 credits bought", "purchase", 500),
                    ("100 credits for five days", "promotion", 100),
                )
                for purse in story.wallet.purses
                if purse.source == source
            },
        },
    )
    await story.check(HERE / "three_months.txt")


def test_goldens_are_not_rewritten_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    golden = tmp_path / "golden.txt"
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match=REWRITE):
        rewrite(golden, "whatever")
    assert not golden.exists()
    monkeypatch.delenv("CI")
    rewrite(golden, "a story")
    assert golden.read_text() == "a story"
