"""The end of a billing period: its invoice has what was agreed and used, once (rules M12, M15, M28)."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

import pytest

from tallystick.domain.billing.invoices import DRAFT
from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import bills, make
from tests.invoices import closings
from tests.invoices.closings import BIRTH, DAY, HOUR, at, charge

END = at(2, 28, 9, 30)
"""The first period of who began on 31 January at half past nine."""


@pytest.fixture
async def meter(database: Database) -> make.Meter:
    await make.catalog(database, BIRTH)
    return make.Meter(database)


async def test_a_plan_is_paid_for_the_next_period_and_usage_is_listed_at_no_money(
    database: Database, meter: make.Meter
) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH, plan="pro")
    await meter.report(workspace_id, charge("a", "12.5", at(2, 3), agent="Ada"), now=at(2, 3))
    await meter.report(workspace_id, charge("b", "7.5", at(2, 3), agent="Bob"), now=at(2, 3))
    [invoice] = await closings.issue_due(database, workspace_id, END + HOUR)
    plan, usage = await closings.lines_of(database, invoice)
    assert (plan.kind, plan.amount_minor, plan.period_start, plan.period_end) == ("plan", 9_900, END, at(3, 31, 9, 30))
    assert (usage.kind, usage.amount_minor, usage.credits) == ("usage", 0, 20 * NANO)
    assert (usage.period_start, usage.period_end) == (BIRTH, END)
    assert sorted(one.credits for one in await closings.used_of(database, invoice)) == [7_500_000_000, 12_500_000_000]
    assert (invoice.net_minor, invoice.tax_minor, invoice.status) == (9_900, 1_881, "issued")


async def test_an_invoice_is_a_draft_until_the_grace_has_passed(database: Database) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH, plan="pro")
    await closings.bring_up(database, workspace_id, END)
    [draft] = await make.rows(database, "SELECT * FROM invoice WHERE workspace_id = %s", workspace_id)
    assert (draft["status"], draft["number"], draft["next_at"]) == (DRAFT, None, END + HOUR)
    assert await closings.issue_due(database, workspace_id, END + HOUR - DAY / 1_000_000) == []
    patient = bills.billing(invoice_grace_seconds=7_200)
    assert await closings.issue_due(database, workspace_id, END + HOUR, patient) == []
    [issued] = await closings.issue_due(database, workspace_id, END + 2 * HOUR, patient)
    assert issued.issued_at == END + 2 * HOUR
    assert await closings.issue_due(database, workspace_id, END + 3 * HOUR) == []


async def test_a_period_with_nothing_in_it_leaves_no_invoice_and_no_number(database: Database) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH)
    assert await closings.issue_due(database, workspace_id, END + HOUR) == []
    assert await make.rows(database, "SELECT id FROM invoice WHERE workspace_id = %s", workspace_id) == []


async def test_an_invoice_of_nothing_is_issued_as_paid(database: Database, meter: make.Meter) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH)
    await make.grant(database, workspace_id, 50, BIRTH)
    await meter.report(workspace_id, charge("a", "3", at(2, 3)), now=at(2, 3))
    [invoice] = await closings.issue_due(database, workspace_id, END + HOUR)
    assert (invoice.status, invoice.total_minor, invoice.paid_at, invoice.next_at) == ("paid", 0, END + HOUR, None)
    told = await bills.facts_of(database, workspace_id)
    assert told.count("invoice.issued") == told.count("invoice.paid") == 1


async def test_what_goes_beyond_a_contracts_credits_is_invoiced_and_leaves_no_debt(
    database: Database, meter: make.Meter
) -> None:
    """M12: 1,000 included, 1,250.5 used; the rest costs 0.8 cents a credit, rounded once."""
    workspace_id = await closings.contract(
        database, included_credits=1_000 * NANO, price_minor=50_000, overage_price=800_000_000
    )
    await meter.report(workspace_id, charge("a", "1250.5", at(2, 3)), now=at(2, 3))
    [invoice] = await closings.issue_due(database, workspace_id, END + HOUR)
    plan, overage, usage = await closings.lines_of(database, invoice)
    assert (plan.amount_minor, overage.kind, overage.amount_minor) == (50_000, "overage", 200)
    assert (overage.quantity, overage.unit_price, overage.credits) == (
        Decimal("250.5"),
        Decimal("0.8"),
        250_500_000_000,
    )
    assert usage.credits == 1_250_500_000_000
    [balance] = await make.rows(
        database, "SELECT posted, overdraft FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace_id
    )
    assert (balance["posted"], balance["overdraft"]) == (1_000 * NANO, 0)
    assert await make.differences(database, workspace_id) == []


async def test_a_debt_of_a_plan_that_denies_at_zero_is_no_overage(database: Database, meter: make.Meter) -> None:
    workspace_id = await closings.contract(database, included_credits=10 * NANO, at_zero="deny")
    await meter.report(workspace_id, charge("a", "14", at(2, 3)), now=at(2, 3))
    [invoice] = await closings.issue_due(database, workspace_id, END + HOUR)
    assert [line.kind for line in await closings.lines_of(database, invoice)] == ["usage"]
    [balance] = await make.rows(
        database, "SELECT posted FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace_id
    )
    assert balance["posted"] == 6 * NANO


async def test_late_and_corrected_usage_goes_on_the_next_invoice_and_names_its_period(
    database: Database, meter: make.Meter
) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH, plan="pro")
    await meter.report(workspace_id, charge("a", "10", at(2, 3)), charge("b", "5", at(2, 4)), now=at(2, 4))
    [first] = await closings.issue_due(database, workspace_id, END + HOUR)
    late = END + 2 * HOUR
    await meter.report(workspace_id, charge("c", "2", at(2, 5)), charge("d", "1", END), now=late)
    await meter.book(make_cancellation(workspace_id, "a", late))
    [second] = await closings.issue_due(database, workspace_id, at(3, 31, 11))
    plan, adjustment, usage = await closings.lines_of(database, second)
    assert (adjustment.kind, adjustment.credits, adjustment.amount_minor) == ("adjustment", -8 * NANO, 0)
    assert (adjustment.period_start, adjustment.period_end) == (BIRTH, END)
    assert (usage.credits, plan.amount_minor) == (NANO, 9_900)
    every = [*await closings.used_of(database, first), *await closings.used_of(database, second)]
    assert sum(one.credits for one in every) == 8 * NANO


def make_cancellation(workspace_id: UUID, target: str, now: dt.datetime) -> Batch:
    return Batch([Item(workspace_id, make.cancellation(f"cancel-{target}", "test", target, workspace_id, now))], now)


async def test_what_comes_within_minutes_of_issuing_waits_for_the_next_invoice(
    database: Database, meter: make.Meter
) -> None:
    """A commit may still be under way whose charges nobody can see: nothing is lost by it, and nothing is twice."""
    workspace_id = await make.bare_workspace(database, BIRTH, plan="pro")
    issued_at = END + HOUR
    moments = [issued_at - 6 * DAY / 1440, issued_at - 4 * DAY / 1440, issued_at + DAY / 1440]
    for number, moment in enumerate(moments):
        # One on a whole day of the period, one in its last hours.
        await meter.report(
            workspace_id,
            charge(f"a{number}", "1", at(2, 10)),
            charge(f"b{number}", "1", END - HOUR),
            now=moment,
        )
        if number == 1:
            [first] = await closings.issue_due(database, workspace_id, issued_at)
    [second] = await closings.issue_due(database, workspace_id, at(3, 31, 11))
    [used] = await closings.used_of(database, first)
    [later] = await closings.used_of(database, second)
    assert (used.credits, later.credits, later.period_start) == (2 * NANO, 4 * NANO, BIRTH)


async def test_what_came_late_and_was_listed_is_not_listed_again(database: Database, meter: make.Meter) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH, plan="pro")
    await meter.report(workspace_id, charge("a", "10", at(2, 3)), now=at(2, 20))
    await meter.report(workspace_id, charge("b", "5", at(2, 3)), now=at(3, 2))
    issued = [await closings.issue_due(database, workspace_id, moment) for moment in (at(3, 1), at(4, 1), at(5, 1))]
    used = [await closings.used_of(database, invoice) for invoices in issued for invoice in invoices]
    assert [[one.credits // NANO for one in each] for each in used] == [[10], [5], []]
