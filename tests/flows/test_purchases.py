"""Buying credits: granted when they are paid, once, whatever crashes or runs at once (rule M26)."""

import asyncio
import datetime as dt
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.billing.payments import FAILED, SUCCEEDED, Outcome
from tallystick.domain.identity.requests import RequestKey
from tallystick.flows import buying, collecting, due, invoicing, payments, revenue, reversals, used_credits
from tallystick.flows.budgets import Author
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store import ledger
from tallystick.store.database import Connection, Database
from tests import bills, make
from tests.bills import BANK, CARD, CardHouse, billing, payer
from tests.conftest import NOW
from tests.make import IDS

DAY = dt.timedelta(days=1)


def author(workspace: UUID, *, key: str | None = None, now: dt.datetime = NOW) -> Author:
    request = None if key is None else RequestKey(workspace, "buy", key, sha256(key.encode()).digest(), now)
    return Author(workspace, "test", request, now, IDS)


async def posted(database: Database, workspace: UUID) -> int:
    (row,) = await make.rows(
        database, "SELECT posted FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace
    )
    return int(row["posted"])


async def bought(database: Database, workspace: UUID) -> list[dict[str, Any]]:
    return await make.rows(
        database, "SELECT * FROM credit_purchase WHERE workspace_id = %s ORDER BY created_at, id", workspace
    )


async def use(database: Database, workspace: UUID, amount: int, now: dt.datetime) -> None:
    async def work(conn: Connection) -> None:
        books = await due.lock(conn, {workspace}, now=now, ids=IDS)
        commit = IDS.new(now)
        books[workspace]["credits"].use(amount, commit, key=f"usage:{commit}", at=now)
        await ledger.save_books(conn, books, now)

    await database.run(work)


async def invoices(database: Database, workspace: UUID) -> list[dict[str, Any]]:
    return await make.rows(database, "SELECT * FROM invoice WHERE workspace_id = %s ORDER BY created_at, id", workspace)


async def test_what_is_charged_to_the_card_is_granted_at_once_behind_what_is_included(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    before = await posted(database, workspace)
    purchase = await buying.buy(database, billing(house), 1_000 * NANO, author(workspace))
    assert (purchase.status, purchase.price_minor, purchase.currency) == ("paid", 1_000, "usd")
    assert await posted(database, workspace) == before + 1_000 * NANO
    (grant,) = await make.rows(
        database, "SELECT * FROM credit_grant WHERE workspace_id = %s AND source = 'purchase'", workspace
    )
    assert (grant["priority"], grant["expires_at"]) == (30, NOW + 365 * DAY)
    (invoice,) = await invoices(database, workspace)
    assert (invoice["purpose"], invoice["status"], invoice["total_minor"]) == ("purchase", "paid", purchase.total_minor)
    assert house.taken == purchase.total_minor
    told = await bills.facts_of(database, workspace)
    assert told.count("credits.purchased") == 1 and "top_up.succeeded" not in told


async def test_price_and_tax_are_told_before_and_are_those_of_the_invoice(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    terms = billing(house, credit_price=Decimal("0.333"), seller_country="DE")
    quote = await buying.quote(database, terms, workspace, 1_000 * NANO, now=NOW)
    assert (quote.price_minor, quote.tax_minor) == (333, 63)
    assert await invoices(database, workspace) == []
    purchase = await buying.buy(database, terms, 1_000 * NANO, author(workspace))
    assert (purchase.price_minor, purchase.tax_minor) == (333, 63)


async def test_a_bank_debit_grants_when_its_money_has_come(database: Database) -> None:
    house = CardHouse(slow={BANK.id})
    workspace = await payer(database, NOW, house, method=BANK)
    terms = billing(house)
    before = await posted(database, workspace)
    purchase = await buying.buy(database, terms, 500 * NANO, author(workspace))
    assert (purchase.status, await posted(database, workspace)) == ("pending", before)
    (invoice,) = await invoices(database, workspace)
    (payment,) = await make.rows(database, "SELECT * FROM payment WHERE workspace_id = %s", workspace)
    later = NOW + 4 * DAY
    for _ in range(2):
        await payments.record(database, terms, workspace, payment["id"], Outcome(SUCCEEDED), now=later, ids=IDS)
    assert await posted(database, workspace) == before + 500 * NANO
    (row,) = await bought(database, workspace)
    assert (row["status"], row["finished_at"], row["invoice_id"]) == ("paid", later, invoice["id"])


async def test_a_card_that_is_declined_buys_nothing_and_the_invoice_is_void(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    before = await posted(database, workspace)
    purchase = await buying.buy(database, billing(house), 500 * NANO, author(workspace))
    assert (purchase.status, purchase.error) == ("failed", "Your card was declined.")
    (invoice,) = await invoices(database, workspace)
    assert (invoice["status"], invoice["next_at"]) == ("void", None)
    assert await posted(database, workspace) == before
    assert (await make.rows(database, "SELECT * FROM money_entry WHERE workspace_id = %s", workspace)) == []
    assert "invoice.voided" in await bills.facts_of(database, workspace)


async def test_the_same_request_again_is_the_same_purchase(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    terms = billing(house)
    done = await asyncio.gather(
        *(buying.buy(database, terms, 500 * NANO, author(workspace, key="once")) for _ in range(4))
    )
    assert len({one.id for one in done}) == 1
    assert (len(await bought(database, workspace)), house.asked) == (1, 1)


async def test_after_a_crash_before_the_payment_the_turn_of_collecting_goes_on(database: Database) -> None:
    house = CardHouse(is_down=True)
    workspace = await payer(database, NOW, house)
    terms = billing(house)
    with pytest.raises(TallystickError) as refused:
        await buying.buy(database, terms, 500 * NANO, author(workspace, key="k"))
    assert refused.value.code == "paymentProviderUnavailable"
    (row,) = await bought(database, workspace)
    assert row["status"] == "pending"
    house.is_down = False
    await payments.collect(database, terms, workspace, row["invoice_id"], now=NOW + DAY, ids=IDS)
    again = await buying.buy(database, terms, 500 * NANO, author(workspace, key="k"))
    assert (again.id, again.status, house.taken) == (row["id"], "paid", again.total_minor)


async def test_with_nothing_on_file_nothing_is_begun(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, method=None)
    with pytest.raises(TallystickError) as refused:
        await buying.buy(database, billing(house), 500 * NANO, author(workspace))
    assert refused.value.code == "paymentMethodNotFound"
    assert await bought(database, workspace) == []


async def test_by_bank_transfer_it_waits_for_the_money(database: Database) -> None:
    workspace = await make.bare_workspace(database, NOW, plan="pro")
    purchase = await buying.buy(database, billing(), 500 * NANO, author(workspace))
    (invoice,) = await invoices(database, workspace)
    assert (purchase.status, invoice["status"]) == ("pending", "issued")
    assert invoice["due_at"] > NOW


async def test_credits_that_cost_nothing_are_granted_at_once(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    purchase = await buying.buy(database, billing(house, credit_price=Decimal(0)), 500 * NANO, author(workspace))
    assert (purchase.status, house.asked) == ("paid", 0)


async def test_what_was_given_up_and_is_paid_after_all_is_granted_on_a_new_invoice(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    terms = billing(house)
    before = await posted(database, workspace)
    await buying.buy(database, terms, 500 * NANO, author(workspace))
    (payment,) = await make.rows(database, "SELECT * FROM payment WHERE workspace_id = %s", workspace)
    await payments.record(database, terms, workspace, payment["id"], Outcome(SUCCEEDED), now=NOW + DAY, ids=IDS)
    assert await posted(database, workspace) == before + 500 * NANO
    assert [one["status"] for one in await invoices(database, workspace)] == ["void", "paid"]
    assert [one["status"] for one in await bought(database, workspace)] == ["failed", "paid"]


async def test_told_of_failure_after_success_it_stays_granted(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    terms = billing(house)
    purchase = await buying.buy(database, terms, 500 * NANO, author(workspace))
    assert purchase.payment_id is not None
    await payments.record(database, terms, workspace, purchase.payment_id, Outcome(FAILED), now=NOW, ids=IDS)
    assert [one["status"] for one in await bought(database, workspace)] == ["paid"]


async def standing(database: Database, workspace: UUID) -> dict[str, int]:
    """What the accounts of the money side hold; every transaction of theirs sums to zero."""
    loose = await make.rows(
        database,
        "SELECT transaction_id FROM money_entry WHERE workspace_id = %s GROUP BY 1 HAVING sum(amount_minor) <> 0",
        workspace,
    )
    assert loose == []
    sums = await make.rows(
        database,
        "SELECT account, sum(amount_minor)::int AS n FROM money_entry WHERE workspace_id = %s GROUP BY account",
        workspace,
    )
    return {row["account"]: row["n"] for row in sums if row["n"]}


async def test_a_purchase_that_is_taken_back_by_the_bank_takes_its_credits_also_those_used(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house)
    purchase = await buying.buy(database, terms, 500 * NANO, author(workspace))
    await use(database, workspace, 200 * NANO, NOW + DAY)
    assert purchase.payment_id is not None
    for _ in range(2):
        await reversals.disputed(
            database, terms, workspace, purchase.payment_id, purchase.total_minor, now=NOW + 2 * DAY, ids=IDS
        )
    assert await posted(database, workspace) == -200 * NANO
    assert (await bought(database, workspace))[0]["status"] == "charged_back"
    assert await standing(database, workspace) == {}
    # Nothing is owed in money for what was taken back in credits.
    notes = [(one["kind"], one["status"], one["total_minor"]) for one in await invoices(database, workspace)]
    assert notes == [("invoice", "paid", purchase.total_minor), ("credit_note", "issued", purchase.total_minor)]


async def test_a_dispute_that_is_won_grants_them_again(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house)
    purchase = await buying.buy(database, terms, 500 * NANO, author(workspace))
    await use(database, workspace, 200 * NANO, NOW + DAY)
    assert purchase.payment_id is not None
    for held in (purchase.total_minor, 0):
        await reversals.disputed(database, terms, workspace, purchase.payment_id, held, now=NOW + 2 * DAY, ids=IDS)
    assert await posted(database, workspace) == 300 * NANO
    assert [one["status"] for one in await bought(database, workspace)] == ["charged_back", "paid"]
    await revenue.recognise(database, workspace, now=NOW + 3 * DAY, ids=IDS)
    held_by = await standing(database, workspace)
    assert (held_by["revenue"], held_by["deferred"], held_by["cash"]) == (-200, -300, purchase.total_minor)


async def test_a_refund_gives_back_what_is_unused_with_its_tax_and_a_credit_note(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house)
    purchase = await buying.buy(database, terms, 1_000 * NANO, author(workspace))
    assert (purchase.price_minor, purchase.tax_minor) == (1_000, 190)
    await use(database, workspace, 250 * NANO, NOW + DAY)
    back = await buying.refund(database, terms, purchase.id, None, "not needed", author(workspace, now=NOW + 2 * DAY))
    assert (back.status, back.taken, back.refunded_minor, back.refunded_tax_minor) == (
        "refunded",
        750 * NANO,
        750,
        143,
    )
    assert await posted(database, workspace) == 0
    assert list(house.refunds.values()) == [893]
    (note,) = [one for one in await invoices(database, workspace) if one["kind"] == "credit_note"]
    assert (note["net_minor"], note["tax_minor"]) == (750, 143)
    assert await standing(database, workspace) == {"cash": 297, "revenue": -250, "tax": -47}


async def test_refunds_in_parts_add_up_to_all_of_it(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house, credit_price=Decimal("0.333"))
    purchase = await buying.buy(database, terms, 1_000 * NANO, author(workspace))
    for part in (300, 300, 400):
        await buying.refund(database, terms, purchase.id, part * NANO, "bit by bit", author(workspace))
    assert sum(house.refunds.values()) == purchase.total_minor == 396
    assert await standing(database, workspace) == {}


async def test_a_refund_asked_for_twice_is_one(database: Database) -> None:
    house = CardHouse(loses=0)
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house)
    purchase = await buying.buy(database, terms, 1_000 * NANO, author(workspace))
    house.loses = 1
    with pytest.raises(TallystickError, match="lost"):
        await buying.refund(database, terms, purchase.id, 400 * NANO, "why", author(workspace, key="r"))
    assert (await standing(database, workspace))["refunds"] == -476
    await buying.refund(database, terms, purchase.id, 400 * NANO, "why", author(workspace, key="r"))
    assert list(house.refunds.values()) == [476]
    assert "refunds" not in await standing(database, workspace)
    assert await posted(database, workspace) == 600 * NANO


async def test_what_is_held_is_not_given_back(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house)
    purchase = await buying.buy(database, terms, 1_000 * NANO, author(workspace))

    async def hold(conn: Connection) -> None:
        books = await due.lock(conn, {workspace}, now=NOW, ids=IDS)
        books[workspace]["credits"].set_aside(900 * NANO, NOW + DAY)
        await ledger.save_books(conn, books, NOW)

    await database.run(hold)
    with pytest.raises(TallystickError) as refused:
        await buying.refund(database, terms, purchase.id, 101 * NANO, "why", author(workspace))
    assert (refused.value.code, refused.value.details["unused"]) == ("refundTooLarge", "100")


async def test_refunds_while_it_burns_never_give_back_what_was_used(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house)
    purchase = await buying.buy(database, terms, 1_000 * NANO, author(workspace))

    async def give_back() -> None:
        try:
            await buying.refund(database, terms, purchase.id, 300 * NANO, "why", author(workspace))
        except TallystickError as error:
            if error.code not in ("refundTooLarge", "nothingToRefund", "purchaseNotOpen"):
                raise

    burning = [use(database, workspace, 90 * NANO, NOW) for _ in range(6)]
    await asyncio.gather(*burning, *(give_back() for _ in range(4)))
    (row,) = await bought(database, workspace)
    assert await posted(database, workspace) == 1_000 * NANO - 540 * NANO - row["taken"]
    await revenue.recognise(database, workspace, now=NOW, ids=IDS)
    held = await standing(database, workspace)
    assert -held.get("revenue", 0) - held.get("deferred", 0) + row["refunded_minor"] == 1_000
    assert sum(house.refunds.values()) == row["refunded_minor"] + row["refunded_tax_minor"]


async def test_a_purchase_is_not_refunded_before_it_is_paid(database: Database) -> None:
    workspace = await make.bare_workspace(database, NOW, plan="pro")
    purchase = await buying.buy(database, billing(), 500 * NANO, author(workspace))
    with pytest.raises(TallystickError) as refused:
        await buying.refund(database, billing(), purchase.id, None, "why", author(workspace))
    assert refused.value.code == "purchaseNotOpen"


async def test_taxed_at_use_the_purchase_has_no_tax_and_what_is_used_is_taxed_once(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house, credits_tax_at="use")
    purchase = await buying.buy(database, terms, 1_000 * NANO, author(workspace))
    assert (purchase.price_minor, purchase.tax_minor, house.taken) == (1_000, 0, 1_000)

    async def lines(now: dt.datetime) -> list[tuple[int, int]]:
        """What the next invoice has for it: net amounts with their tax."""
        await revenue.recognise(database, workspace, now=now, ids=IDS)

        async def work(conn: Connection) -> list[tuple[int, int]]:
            asked = await invoicing.payer(conn, terms, workspace, now)
            found = await used_credits.lines_in(conn, terms, asked, "usd", now=now)
            _, taxes = terms.taxes.tax(found, terms.seller, asked.party, at=now)
            return [(tax.base_minor, tax.amount_minor) for tax in taxes]

        return await database.run(work)

    assert await lines(NOW) == []
    await use(database, workspace, 250 * NANO, NOW + DAY)
    assert await lines(NOW + DAY) == [(250, 48), (-250, 0)]
    assert await lines(NOW + DAY) == []
    await use(database, workspace, 750 * NANO, NOW + 2 * DAY)
    assert await lines(NOW + 2 * DAY) == [(750, 143), (-750, 0)]


async def test_what_is_used_is_earned_in_its_month_whenever_it_is_noticed(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    await buying.buy(database, billing(house), 1_000 * NANO, author(workspace))
    for month, amount in ((3, 100), (4, 333), (4, 1), (6, 66)):
        await use(database, workspace, amount * NANO, dt.datetime(2026, month, 20, tzinfo=dt.UTC))
    await revenue.recognise(database, workspace, now=dt.datetime(2026, 9, 1, tzinfo=dt.UTC), ids=IDS)
    # The grant ends after a year: what is left of it is breakage of that day, noticed months later.
    await revenue.recognise(database, workspace, now=dt.datetime(2027, 9, 1, tzinfo=dt.UTC), ids=IDS)
    earned = await make.rows(
        database,
        "SELECT to_char(at, 'YYYY-MM') AS month, account, -sum(amount_minor)::int AS n FROM money_entry"
        " WHERE workspace_id = %s AND account IN ('revenue', 'breakage') GROUP BY 1, 2 ORDER BY 1, 2",
        workspace,
    )
    assert [(row["month"], row["account"], row["n"]) for row in earned] == [
        ("2026-03", "revenue", 100),
        ("2026-04", "revenue", 334),
        ("2026-06", "revenue", 66),
        ("2027-03", "breakage", 500),
    ]
    again = await revenue.recognise(database, workspace, now=dt.datetime(2027, 9, 1, tzinfo=dt.UTC), ids=IDS)
    assert again == 0


async def test_a_sweep_that_runs_at_any_time_gives_the_same(database: Database) -> None:
    """One workspace is swept after each step, the other once at the end: the same cents in the same months."""
    house = CardHouse()
    terms = billing(house, credit_price=Decimal("0.777"))
    told = []
    for often in (True, False):
        workspace = await payer(database, NOW, house, plan="free")
        await buying.buy(database, terms, 1_000 * NANO, author(workspace))
        for step in range(12):
            at = NOW + step * 20 * DAY
            await use(database, workspace, (7 + 5 * step) * NANO + step, at)
            if often:
                await revenue.recognise(database, workspace, now=at, ids=IDS)
        await revenue.recognise(database, workspace, now=NOW + 300 * DAY, ids=IDS)
        rows = await make.rows(
            database,
            "SELECT to_char(at, 'YYYY-MM') AS month, account, sum(amount_minor)::int AS n FROM money_entry"
            " WHERE workspace_id = %s GROUP BY 1, 2 HAVING sum(amount_minor) <> 0 ORDER BY 1, 2",
            workspace,
        )
        told.append([tuple(row.values()) for row in rows])
    assert told[0] == told[1] != []


async def test_a_payment_told_by_many_at_once_grants_once(database: Database) -> None:
    house = CardHouse(slow={BANK.id})
    workspace = await payer(database, NOW, house, plan="free", method=BANK)
    terms = billing(house)
    await buying.buy(database, terms, 500 * NANO, author(workspace))
    (payment,) = await make.rows(database, "SELECT * FROM payment WHERE workspace_id = %s", workspace)
    await asyncio.gather(
        *(
            payments.record(database, terms, workspace, payment["id"], Outcome(SUCCEEDED), now=NOW, ids=IDS)
            for _ in "six"
        )
    )
    assert await posted(database, workspace) == 500 * NANO


async def on_page(database: Database, house: CardHouse) -> tuple[UUID, dict[str, Any]]:
    """A purchase that waits on the provider's page, with its payment."""
    workspace = await payer(database, NOW, house, plan="free", method=None)
    terms = billing(house)
    purchase = await buying.buy(database, terms, 500 * NANO, author(workspace), on_page=True)
    for _ in range(2):
        url = await buying.checkout(
            database, terms, workspace, purchase.id, return_url="https://here.test", now=NOW, ids=IDS
        )
        assert url == f"https://checkout.test/checkout:{purchase.id}"
    (payment,) = await make.rows(database, "SELECT * FROM payment WHERE workspace_id = %s", workspace)
    assert (payment["status"], payment["amount_minor"]) == ("created", purchase.total_minor)
    return workspace, payment


async def test_with_nothing_on_file_it_is_paid_on_the_providers_page(database: Database) -> None:
    house = CardHouse()
    workspace, payment = await on_page(database, house)
    await payments.record(database, billing(house), workspace, payment["id"], Outcome(SUCCEEDED), now=NOW, ids=IDS)
    assert await posted(database, workspace) == 500 * NANO
    (row,) = await bought(database, workspace)
    again = await buying.checkout(
        database, billing(house), workspace, row["id"], return_url="https://here.test", now=NOW, ids=IDS
    )
    assert (row["status"], again) == ("paid", None)


async def test_a_page_that_nobody_paid_on_gives_the_purchase_up_and_late_money_revives_it(database: Database) -> None:
    house = CardHouse()
    workspace, payment = await on_page(database, house)
    terms = billing(house)
    later = NOW + payments.ABANDONED
    await payments.look_again(database, terms, workspace, payment["id"], now=later, ids=IDS)
    assert [one["status"] for one in await bought(database, workspace)] == ["failed"]
    assert [one["status"] for one in await invoices(database, workspace)] == ["void"]
    await payments.record(database, terms, workspace, payment["id"], Outcome(SUCCEEDED), now=later, ids=IDS)
    assert [one["status"] for one in await bought(database, workspace)] == ["failed", "paid"]
    assert await posted(database, workspace) == 500 * NANO


async def test_taxed_at_use_the_invoice_of_the_period_has_the_tax_alone(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, plan="free")
    terms = billing(house, credits_tax_at="use")
    await buying.buy(database, terms, 1_000 * NANO, author(workspace))
    await use(database, workspace, 400 * NANO, NOW + DAY)
    later = dt.datetime(2026, 4, 14, 12, 0, tzinfo=dt.UTC)
    await due.bring_up(database, workspace, now=later, ids=IDS)
    await collecting.turn(database, terms, workspace, now=later, ids=IDS)
    (period,) = [one for one in await invoices(database, workspace) if one["purpose"] == "period"]
    assert (period["status"], period["net_minor"], period["tax_minor"], period["total_minor"]) == ("paid", 0, 76, 76)
    lines = await make.rows(
        database,
        "SELECT amount_minor, tax_category FROM invoice_line WHERE workspace_id = %s AND invoice_id = %s"
        " AND kind = 'credits' ORDER BY position",
        workspace,
        period["id"],
    )
    assert [(one["amount_minor"], one["tax_category"]) for one in lines] == [(400, "S"), (-400, "E")]
    assert [one.code for one in await make.differences(database, workspace) if "invoice" in one.code.lower()] == []
