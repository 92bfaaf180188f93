"""Prices and meters in the database: appended, audited, never edited; processes notice.

The catalog belongs to the whole installation, so each test prices targets of its own.
"""

import asyncio
import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.metering.meters import SHIPPED, Meter
from tallystick.domain.metering.prices import BEGINNING, PriceVersion, digest_of, in_force
from tallystick.domain.metering.rates import canonical_rates
from tallystick.domain.metering.rating import rate_quantity
from tallystick.flows import prices as flow
from tallystick.flows.catalog import CatalogCache
from tallystick.gateways.model_prices import public_versions
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids, SystemIds
from tallystick.queries import prices as queries
from tallystick.store import catalog
from tallystick.store import prices as store
from tallystick.store.database import Connection, Database, Row

DAY = dt.timedelta(days=1)


def unique() -> UUID:
    return SystemIds().new(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


@pytest.fixture(autouse=True, scope="module")
async def shipped(database: Database) -> None:
    await flow.ship_catalog(database, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


@pytest.fixture
def target() -> str:
    return f"tool.call/integration:{unique()}"


async def rows(database: Database, query: str, *given: Any) -> list[Row]:
    async with database.read() as conn:
        return list(await (await conn.execute(query, given)).fetchall())


async def stored(database: Database, target: str) -> list[Row]:
    return await rows(database, "SELECT * FROM price_version WHERE target = %s ORDER BY valid_from, origin", target)


async def catalog_version(database: Database) -> int:
    async with database.read() as conn:
        return await catalog.version(conn)


def add(database: Database, target: str, now: dt.datetime, ids: Ids, **given: Any) -> Any:
    terms = {"model": "unit", "rates": {"amount": "0.5"}, "valid_from": now} | given
    return flow.add_version(database, target=target, now=now, ids=ids, actor="operator:ann", **terms)


# --- what ships -------------------------------------------------------------------------------------------------------


async def test_the_shipped_catalog_is_there_once_and_a_second_start_changes_nothing(
    database: Database, now: dt.datetime
) -> None:
    before = await catalog_version(database)
    await flow.ship_catalog(database, now)
    assert await catalog_version(database) == before
    async with database.read() as conn:
        held = await catalog.load_catalog(conn)
    assert {meter.type for meter in SHIPPED} <= held.meters.keys()
    for type_, quantity, expected in (
        ("orchestration.execution", 100, 1_000_000_000),
        ("storage.records", 1_000, 1_000_000_000),
        ("tool.call", 5, 0),
        ("asset.created", 5, 0),
        ("moderation.flag", 5, 0),
    ):
        version = held.prices.at((type_,), dt.datetime(1980, 1, 1, tzinfo=dt.UTC))
        assert version is not None
        assert rate_quantity(version, quantity) == expected
    assert held.prices.at(("storage.bytes",), now) is None


# --- the operator's own -----------------------------------------------------------------------------------------------


async def test_a_price_is_appended_audited_and_noticed(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    before = await catalog_version(database)
    version = await add(database, target, now, ids, reason="agreed in the call")
    assert version.valid_from == now
    assert await catalog_version(database) > before
    async with database.read() as conn:
        assert await store.version_at_start(conn, target, "operator", now) == version
    (entry,) = await rows(
        database, "SELECT * FROM audit_entry WHERE action = 'price.added' AND details->>'target' = %s", target
    )
    assert (entry["actor"], entry["reason"], entry["at"]) == ("operator:ann", "agreed in the call", now)
    assert entry["details"]["rates"] == {"amount": "0.5", "per": 1}


async def test_the_stored_digest_is_that_of_the_stored_row(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    await add(database, target, now, ids, valid_from=BEGINNING, model="package", rates={"per": 10, "amount": 2})
    (row,) = await stored(database, target)
    content = {field: row[field] for field in store.VERSION_FIELDS}
    assert bytes(row["digest"]) == digest_of(*content.values()) == store.version_of(row).digest()
    assert digest_of(*(content | {"rates": {"amount": "2.1", "per": 10}}).values()) != bytes(row["digest"])


async def test_the_same_version_again_is_that_version_and_another_one_is_refused(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    first = await add(database, target, now, ids)
    version = await catalog_version(database)
    assert await add(database, target, now + DAY, ids, valid_from=now, rates={"amount": "0.50"}) == first
    with pytest.raises(TallystickError) as caught:
        await add(database, target, now, ids, rates={"amount": "0.6"})
    assert caught.value.code == "priceVersionExists"
    assert caught.value.details["id"] == str(first.id)
    assert [row["id"] for row in await stored(database, target)] == [first.id]
    assert await catalog_version(database) == version


async def test_a_price_without_a_start_is_valid_from_the_beginning(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    assert (await add(database, target, now, ids, valid_from=None)).valid_from == BEGINNING


async def test_of_two_at_once_one_is_stored_and_the_other_told(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    outcomes = await asyncio.gather(
        *(add(database, target, now, ids, rates={"amount": n}) for n in range(1, 6)), return_exceptions=True
    )
    added = [outcome for outcome in outcomes if isinstance(outcome, PriceVersion)]
    refused = [outcome.code for outcome in outcomes if isinstance(outcome, TallystickError)]
    assert len(added) == 1
    assert refused == ["priceVersionExists"] * 4
    assert [row["id"] for row in await stored(database, target)] == [added[0].id]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"rates": {"amount": "-1"}}, "invalidPrice"),
        ({"model": "tokens", "rates": {}}, "invalidPrice"),
        ({"target": "no.such.type"}, "unknownMeter"),
        ({"target": ""}, "invalidPrice"),
        ({"valid_from": dt.datetime(2026, 1, 1)}, "invalidTime"),  # noqa: DTZ001 - no zone is the point
        ({"valid_from": dt.datetime(9999, 1, 1, tzinfo=dt.UTC)}, "invalidTime"),
    ],
)
async def test_a_price_that_cannot_be_leaves_no_trace(
    database: Database, target: str, now: dt.datetime, ids: Ids, given: dict[str, Any], code: str
) -> None:
    before = await catalog_version(database)
    target = given.pop("target", target)
    with pytest.raises(TallystickError) as caught:
        await add(database, target, now, ids, **given)
    assert caught.value.code == code
    assert await stored(database, target) == []
    assert await catalog_version(database) == before


async def test_a_percentage_keeps_the_worth_of_a_credit_it_was_made_with(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    version = await add(
        database, target, now, ids, model="percentage", rates={"percent": 110}, credits_per_usd=Decimal(50)
    )
    assert version.rates == {"percent": "110", "creditsPerUsd": "50"}


async def test_a_query_answers_which_price_is_in_force_as_the_book_does(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    general = f"{target}/send"
    await add(database, target, now, ids, valid_from=now)
    await add(database, target, now, ids, valid_from=now + 2 * DAY, rates={"amount": "2"})
    await add(database, general, now, ids, valid_from=now + DAY, rates={"amount": "3"})
    shipped = replace(flow.shipped_versions()[0], id=ids.new(now), target=target)
    await database.run(lambda conn: store.insert_versions(conn, [shipped]), admin=True)
    async with database.read() as conn:
        book = (await catalog.load_catalog(conn)).prices
    amounts = []
    for days in range(-1, 4):
        at = now + days * DAY
        for targets in ((target,), (general, target), (target, general), ("no.such", general)):
            assert await queries.price_in_force(database, targets, at) == book.at(targets, at)
        found = await queries.price_in_force(database, (general, target), at)
        amounts.append(found.rates["amount"] if found else None)
    assert amounts == ["0.01", "0.5", "3", "3", "3"]


# --- public prices ----------------------------------------------------------------------------------------------------


def public(target: str, amount: str, start: dt.datetime, now: dt.datetime, source: str = "s 1") -> PriceVersion:
    rates = canonical_rates("tokens", {"perMillion": {"inputTokens": amount}})
    return PriceVersion(unique(), target, start, "tokens", rates, "public", source, "{}", now)


def history(found: list[Row]) -> list[tuple[dt.datetime, str]]:
    return [(row["valid_from"], row["rates"]["perMillion"]["inputTokens"]) for row in found]


async def test_a_first_import_brings_the_whole_history_and_a_second_nothing(
    database: Database, now: dt.datetime, ids: Ids
) -> None:
    target = f"llm.tokens/{unique()}/m"
    source = [public(target, "1", BEGINNING, now), public(target, "2", now - 9 * DAY, now)]
    assert await flow.import_public(database, source, now, ids) == 2
    version = await catalog_version(database)
    assert await flow.import_public(database, source, now + DAY, ids) == 0
    assert await catalog_version(database) == version
    assert history(await stored(database, target)) == [(BEGINNING, "1"), (now - 9 * DAY, "2")]


async def test_a_later_difference_is_a_new_version_dated_now_and_the_past_stays(
    database: Database, now: dt.datetime, ids: Ids
) -> None:
    target = f"llm.tokens/{unique()}/m"
    await flow.import_public(database, [public(target, "1", BEGINNING, now)], now, ids)
    # The source now says that the price changed a week ago and will change again next week.
    later = now + DAY
    changed = [
        public(target, "1", BEGINNING, later, "s 2"),
        public(target, "2", now - 7 * DAY, later, "s 2"),
        public(target, "3", now + 7 * DAY, later, "s 2"),
    ]
    assert await flow.import_public(database, changed, later, ids) == 2
    assert await flow.import_public(database, changed, later + DAY, ids) == 0
    expected = [(BEGINNING, "1"), (later, "2"), (now + 7 * DAY, "3")]
    assert history(await stored(database, target)) == expected
    # A coming price that the source takes back is corrected by the first import after its day.
    assert await flow.import_public(database, changed[:2], now + 8 * DAY, ids) == 1
    assert history(await stored(database, target)) == [*expected, (now + 8 * DAY, "2")]


async def test_an_import_never_undoes_the_operators_price(database: Database, now: dt.datetime, ids: Ids) -> None:
    target = f"llm.tokens/{unique()}/m"
    own = await add(
        database, target, now, ids, model="tokens", rates={"perMillion": {"inputTokens": 9}}, valid_from=BEGINNING
    )
    await flow.import_public(database, [public(target, "1", BEGINNING, now)], now, ids)
    await flow.import_public(database, [public(target, "2", BEGINNING, now)], now + DAY, ids)
    async with database.read() as conn:
        held = await catalog.load_catalog(conn)
    assert held.prices.at((target,), now + 9 * DAY) == own
    cost = in_force(held.prices.public_timeline((target.split("/")[1], "m")), now + 9 * DAY)
    assert cost is not None
    assert cost.valid_from == now + DAY


async def test_the_whole_public_snapshot_is_imported_and_comes_back_as_it_was(
    database: Database, now: dt.datetime, ids: Ids
) -> None:
    versions = public_versions(now)
    await flow.import_public(database, versions, now, ids)
    assert await flow.import_public(database, versions, now + DAY, ids) == 0
    assert await flow.import_public(database, public_versions(now), now + DAY, ids) == 0
    async with database.read() as conn:
        held = await catalog.load_catalog(conn)
        found = await rows(database, "SELECT id, digest FROM price_version WHERE origin = 'public'")
    for version in versions:
        there = held.prices.at((version.target,), version.valid_from)
        assert there is not None
        assert (there.rates, there.source_text, there.valid_from) == (
            version.rates,
            version.source_text,
            version.valid_from,
        )
    for row in found:
        there = held.prices.get(row["id"])
        assert there is not None
        assert there.digest() == bytes(row["digest"])


# --- meters and the cache ---------------------------------------------------------------------------------------------


async def test_an_operator_defines_a_type_of_event_and_prices_it(
    database: Database, now: dt.datetime, ids: Ids
) -> None:
    meter = Meter(f"search.q{unique().hex[-8:]}", "other", "native.search", "queries")
    assert await flow.add_meter(database, meter, now=now, ids=ids, actor="operator:ann") == meter
    assert await flow.add_meter(database, meter, now=now, ids=ids, actor="operator:ann") == meter
    with pytest.raises(TallystickError) as caught:
        await flow.add_meter(database, replace(meter, unit="calls"), now=now, ids=ids, actor="operator:ann")
    assert caught.value.code == "meterExists"
    with pytest.raises(TallystickError) as caught:
        await flow.add_meter(database, replace(SHIPPED[0], unit="calls"), now=now, ids=ids, actor="operator:ann")
    assert caught.value.code == "meterExists"
    await add(database, meter.type, now, ids)
    async with database.read() as conn:
        held = await catalog.load_catalog(conn)
    assert held.meters[meter.type] == meter
    assert held.prices.at((meter.type,), now) is not None


async def test_the_cache_loads_again_only_when_the_catalog_changed(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    cache = CatalogCache()
    async with database.read() as conn:
        first = await cache.current(conn)
        assert await cache.current(conn) is first
    version = await add(database, target, now, ids)
    async with database.read() as conn:
        second = await cache.current(conn)
    assert second.version > first.version
    assert second.prices.at((target,), now) == version
    assert first.prices.at((target,), now) is None
    # What was compiled before is not compiled again.
    for held in first.prices.versions():
        assert second.prices.get(held.id) is held


async def test_a_change_that_is_not_committed_is_not_seen(
    database: Database, target: str, now: dt.datetime, ids: Ids
) -> None:
    cache = CatalogCache()
    version = PriceVersion(ids.new(now), target, now, "fixed", {"amount": "1"}, "operator", "operator", "", now)

    async def change_and_fail(conn: Connection) -> None:
        await catalog.lock(conn)
        await store.insert_versions(conn, [version])
        await catalog.bump(conn)
        async with database.read() as other:
            assert (await cache.current(other)).prices.at((target,), now) is None
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        await database.run(change_and_fail, admin=True)
    async with database.read() as conn:
        assert (await cache.current(conn)).prices.at((target,), now) is None


async def test_the_packaged_prices_are_imported_once_and_again_when_the_markup_changes(
    database: Database, now: dt.datetime, ids: Ids
) -> None:
    def bring(at: dt.datetime, markup: str) -> Any:
        return flow.import_packaged(database, credits_per_usd=100, markup=Decimal(markup), now=at, ids=ids)

    later = now + 400 * DAY  # after every other test's import, and every date in the source
    await flow.import_public(database, public_versions(later), later, ids)
    assert await bring(later + DAY, "1") == 0
    changed = await bring(later + 2 * DAY, "1.5")
    assert changed > 1000
    assert await bring(later + 3 * DAY, "1.5") == 0
    assert await bring(later + 4 * DAY, "1.0") == changed
    async with database.read() as conn:
        book = (await catalog.load_catalog(conn)).prices
    inputs = []
    for days in (1, 2, 4):
        version = in_force(book.public_timeline(("openai", "gpt-4o")), later + days * DAY)
        assert version is not None
        inputs.append(version.rates["perMillion"]["inputTokens"])
    assert inputs == ["250", "375", "250"]
