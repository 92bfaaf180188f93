"""Bank transfers: written down once, in parts or too much; statements that are imported again change nothing."""

import asyncio
import datetime as dt
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.invoices import Invoice
from tallystick.domain.billing.references import creditor_reference, shown
from tallystick.domain.billing.statements import BankTransaction, Statement, StatementLine
from tallystick.flows import statements, transfers
from tallystick.flows.statements import Report
from tallystick.flows.transfers import Marked
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import bills, make
from tests.bills import author, billing, invoice_now, owed, payments_of
from tests.conftest import NOW
from tests.make import IDS

DAY = NOW.date()
TERMS = billing()


async def debtor(database: Database, amount: int = 9_900, **values: object) -> Invoice:
    workspace = await make.bare_workspace(database, NOW, plan="pro")
    return await owed(database, workspace, amount, NOW, **values)


async def mark(database: Database, invoice: Invoice, key: str | None = None, **said: object) -> UUID:
    marked = replace(Marked(DAY), **said)  # type: ignore[arg-type]
    body = repr(sorted(said.items())).encode()
    done = await transfers.mark_paid(database, TERMS, invoice.id, marked, author(invoice.workspace_id, NOW, key, body))
    return done.id


async def test_all_that_is_open_is_paid_by_a_transfer_and_the_invoice_with_it(database: Database) -> None:
    invoice = await debtor(database)
    await mark(database, invoice)
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor, stands.open_minor, stands.next_at) == ("paid", 9_900, 0, None)
    (payment,) = await payments_of(database, invoice)
    assert (payment.provider, payment.status, payment.received_on) == ("offline", "succeeded", DAY)
    assert [kind for kind in await bills.facts_of(database, invoice.workspace_id) if "aid" in kind] == ["invoice.paid"]


async def test_a_part_leaves_the_rest_open(database: Database) -> None:
    invoice = await debtor(database)
    await mark(database, invoice, amount_minor=3_000)
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.open_minor) == ("issued", 6_900)
    await mark(database, invoice, amount_minor=6_900)
    assert (await invoice_now(database, invoice)).status == "paid"


async def test_more_than_is_open_is_refused_unless_it_is_what_came(database: Database) -> None:
    invoice = await debtor(database)
    for amount in (9_901, 99_000):
        with pytest.raises(TallystickError) as raised:
            await mark(database, invoice, amount_minor=amount)
        assert raised.value.code == "paymentTooLarge" and raised.value.details["open"] == 9_900
    await mark(database, invoice, amount_minor=10_000, may_overpay=True)
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor) == ("paid", 10_000)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"amount_minor": 0}, "invalidAmount"),
        ({"amount_minor": -5}, "invalidAmount"),
        ({"amount_minor": 10**15}, "invalidAmount"),
        ({"currency": "eur"}, "currencyMismatch"),
        ({"reference": "a\x00b"}, "invalidText"),
    ],
)
async def test_what_no_transfer_can_be_is_refused(database: Database, said: dict[str, object], code: str) -> None:
    invoice = await debtor(database)
    with pytest.raises(TallystickError) as raised:
        await mark(database, invoice, **said)
    assert raised.value.code == code
    assert await payments_of(database, invoice) == []


@pytest.mark.parametrize("status", ["draft", "void", "paid"])
async def test_nothing_is_paid_on_what_is_not_open(database: Database, status: str) -> None:
    invoice = await debtor(database, status=status, paid_minor=9_900 if status == "paid" else 0)
    with pytest.raises(TallystickError) as raised:
        await mark(database, invoice)
    assert raised.value.code == "invoiceNotOpen"


async def test_money_may_still_come_for_what_was_written_off(database: Database) -> None:
    invoice = await debtor(database, status="uncollectible", next_at=None)
    await mark(database, invoice)
    assert (await invoice_now(database, invoice)).status == "paid"


async def test_the_same_request_and_the_same_transfer_count_once(database: Database) -> None:
    invoice = await debtor(database)
    first = await mark(database, invoice, "key", amount_minor=1_000)
    assert await mark(database, invoice, "key", amount_minor=1_000) == first
    with pytest.raises(TallystickError) as raised:
        await mark(database, invoice, "key", amount_minor=2_000)
    assert raised.value.code == "idempotencyConflict"
    named = await mark(database, invoice, amount_minor=500, reference="B-77")
    assert await mark(database, invoice, "other", amount_minor=500, reference="B-77") == named
    assert await mark(database, invoice, amount_minor=600, reference="B-77") != named
    assert (await invoice_now(database, invoice)).paid_minor == 2_100


async def test_many_who_mark_the_same_transfer_at_once_count_it_once(database: Database) -> None:
    invoice = await debtor(database)
    done = await asyncio.gather(*(mark(database, invoice, reference="B-1", amount_minor=900) for _ in range(6)))
    assert len(set(done)) == 1 and (await invoice_now(database, invoice)).paid_minor == 900


def line_for(invoice: Invoice, amount: int | None = None, text: str | None = None, day: dt.date = DAY) -> StatementLine:
    reference = text or shown(creditor_reference(str(invoice.number))).lower()
    return StatementLine(day, amount or invoice.total_minor, invoice.currency, reference, "Acme")


async def load(database: Database, *lines: StatementLine) -> Report:
    return await statements.import_statement(
        database, TERMS, Statement(lines, {}), actor="operator:test", now=NOW, ids=IDS
    )


def only(report: Report) -> BankTransaction:
    (one,) = report.lines
    return one


async def test_a_line_with_the_reference_pays_its_invoice_and_only_once(database: Database) -> None:
    invoice = await debtor(database)
    first = await load(database, line_for(invoice))
    assert (first.imported, first.known, only(first).invoice_id) == (1, 0, invoice.id)
    again = await load(database, line_for(invoice))
    assert (again.imported, again.known, again.lines) == (0, 1, first.lines)
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor, len(await payments_of(database, invoice))) == ("paid", 9_900, 1)


async def test_two_imports_of_the_same_statement_at_once_count_it_once(database: Database) -> None:
    wanted = [await debtor(database) for _ in range(3)]
    await asyncio.gather(*(load(database, *map(line_for, wanted)) for _ in range(4)))
    for invoice in wanted:
        assert (await invoice_now(database, invoice)).paid_minor == 9_900


async def test_a_reference_takes_parts_and_too_much_a_plain_number_only_what_is_open(database: Database) -> None:
    invoice = await debtor(database, number=f"INV-{IDS.secret()[:8].upper().replace('_', 'X')}9")
    number = str(invoice.number)
    guess = only(await load(database, line_for(invoice, 5_000, f"invoice {number}")))
    assert guess.invoice_id is None and guess.note == f"names {number}, but the amount is another"
    assert only(await load(database, line_for(invoice, 5_000))).invoice_id == invoice.id
    assert only(await load(database, line_for(invoice, 4_900, f"re {number.lower()} thanks"))).invoice_id == invoice.id
    assert (await invoice_now(database, invoice)).status == "paid"


async def test_more_than_was_owed_is_kept_as_paid_too_much(database: Database) -> None:
    invoice = await debtor(database)
    assert only(await load(database, line_for(invoice, 12_000))).invoice_id == invoice.id
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor) == ("paid", 12_000)
    fact = await make.rows(
        database,
        "SELECT data FROM fact WHERE workspace_id = %s AND kind = 'payment.succeeded'",
        invoice.workspace_id,
    )
    assert fact[0]["data"]["overpaidAmount"] == 2_100


async def test_what_a_person_has_to_look_at_says_why(database: Database) -> None:
    invoice, other = await debtor(database), await debtor(database)
    both = f"{creditor_reference(str(invoice.number))} {creditor_reference(str(other.number))}"
    notes = [
        (line_for(invoice, text="coffee"), "names no invoice"),
        (line_for(invoice, text=both), "names several invoices"),
        (replace(line_for(invoice), currency="eur"), f"{invoice.number} is in USD"),
    ]
    for line, note in notes:
        found = only(await load(database, line))
        assert (found.invoice_id, found.note) == (None, note)
    await mark(database, invoice)
    # Another payment of the same amount on another day, not the one that was marked by hand.
    late = only(await load(database, line_for(invoice, 9_800)))
    assert (late.invoice_id, late.note) == (None, f"{invoice.number} is paid already")
    async with database.admin() as conn:
        waiting = {one.id for one in await statements.store.unmatched(conn, limit=1_000, offset=0)}
    assert late.id in waiting


async def test_what_was_marked_by_hand_before_is_not_counted_again(database: Database) -> None:
    invoice = await debtor(database)
    payment = await mark(database, invoice)
    found = only(await load(database, line_for(invoice)))
    assert (found.invoice_id, found.payment_id, found.note) == (invoice.id, payment, "was marked paid by hand")
    assert (await invoice_now(database, invoice)).paid_minor == 9_900
    # The same amount again is other money.
    second = only(await load(database, line_for(invoice, day=DAY + dt.timedelta(days=1))))
    assert second.invoice_id is None


async def match(database: Database, one: BankTransaction, invoice: Invoice) -> BankTransaction:
    return await statements.match_by_hand(
        database, TERMS, one.id, invoice.workspace_id, invoice.id, actor="operator:test", now=NOW, ids=IDS
    )


async def test_a_line_is_matched_by_hand_once_and_to_one_invoice(database: Database) -> None:
    invoice, other = await debtor(database), await debtor(database)
    one = only(await load(database, line_for(invoice, text=f"coffee {IDS.secret()}")))
    done = await match(database, one, invoice)
    assert (done.invoice_id, done.note) == (invoice.id, "matched by hand")
    assert await match(database, one, invoice) == done
    with pytest.raises(TallystickError) as raised:
        await match(database, one, other)
    assert raised.value.code == "bankTransactionMatched"
    assert (await invoice_now(database, invoice)).status == "paid"
    assert (await invoice_now(database, other)).paid_minor == 0


async def test_a_line_cant_be_matched_to_another_currency_or_to_nothing(database: Database) -> None:
    invoice = await debtor(database)
    one = only(await load(database, replace(line_for(invoice, text=f"x {IDS.secret()}"), currency="eur")))
    with pytest.raises(TallystickError) as raised:
        await match(database, one, invoice)
    assert raised.value.code == "currencyMismatch"
    with pytest.raises(TallystickError) as raised:
        await match(database, replace(one, id="none"), invoice)
    assert raised.value.code == "bankTransactionNotFound"


async def test_what_paid_late_is_paid_at_the_workspaces_own_time(database: Database) -> None:
    born = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    invoice = await debtor(database)
    await database.run(
        lambda conn: conn.execute(b"UPDATE workspace SET clock_at = %s WHERE id = %s", [born, invoice.workspace_id])
    )
    await load(database, line_for(invoice))
    assert (await invoice_now(database, invoice)).paid_at == born


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amounts=st.lists(st.integers(1, 12_000), min_size=1, max_size=5),
    data=st.data(),
)
async def test_whatever_parts_come_in_whatever_files_the_sum_counts_once(
    database: Database, amounts: list[int], data: st.DataObject
) -> None:
    invoice = await debtor(database)
    lines = [line_for(invoice, amount, day=DAY + dt.timedelta(days=n)) for n, amount in enumerate(amounts)]
    for _ in range(3):
        chosen = data.draw(st.lists(st.sampled_from(lines), unique=True))
        await load(database, *chosen)
    await load(database, *lines)
    stands = await invoice_now(database, invoice)
    came = [one.amount_minor for one in await payments_of(database, invoice)]
    taken, counted = sum(came), set(came)
    # Once it is paid, a person decides about what comes after: only the last one may be too much.
    assert not came or taken - max(came) < invoice.total_minor
    assert stands.paid_minor == taken and counted <= set(amounts)
    assert (stands.status == "paid") == (taken >= invoice.total_minor)
    if sum(amounts) <= invoice.total_minor:
        assert taken == sum(amounts)
