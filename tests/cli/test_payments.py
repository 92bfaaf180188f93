"""Payment on the command line: the seed's grammar, and the operator's half."""

import datetime as dt
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from tallystick.domain.billing.references import creditor_reference
from tests.cli.conftest import Shell
from tests.make import IDS

NOW = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)


def owed(tally: Shell, amount: int) -> tuple[str, str]:
    """(uuid, number) of an issued invoice."""
    uuid, number = IDS.new(NOW), f"C-{IDS.secret()[:8].upper().replace('_', 'X').replace('-', 'X')}1"
    row = (tally.shop.uuid, uuid, number, NOW, NOW, amount, amount, Jsonb([]), NOW, NOW)
    with psycopg.connect(tally.shop.database_url) as conn:
        conn.execute(
            "INSERT INTO invoice (workspace_id, id, kind, purpose, status, number, currency, issued_at, due_at, "
            "net_minor, total_minor, taxes, created_at, updated_at) "
            "VALUES (%s, %s, 'invoice', 'custom', 'issued', %s, 'usd', %s, %s, %s, %s, %s, %s, %s)",
            row,
        )
    return str(uuid), number


def operator(tally: Shell, *arguments: str) -> object:
    done = tally(*arguments, TALLY_TOKEN=tally.house.operator_token)
    assert done.status == 0, done.stdout
    return done.answer


def test_the_card_and_the_portal_are_the_seeds(tally: Shell) -> None:
    assert tally("billing", "subscription", "get-credit-card").answer == {}
    url = tally("billing", "subscription", "create-portal-session").answer["portalSession"]["url"]
    assert url.startswith(f"{tally.house.base_url}/pay/")
    refused = tally("billing", "subscription", "create-setup-intent")
    assert (refused.status, refused.answer["reason"]) == (1, "failedToCreateSetupIntent")


def test_who_pays_is_set_and_shown(tally: Shell) -> None:
    named = ("--legal-name", "Acme GmbH", "--line1", "Ring 1", "--city", "Berlin", "--country", "de")
    account = tally("billing", "account", "set", *named).answer["account"]
    assert (account["legalName"], account["address"]["city"], account["country"]) == ("Acme GmbH", "Berlin", "DE")
    later = tally("billing", "account", "set", "--purchase-order", "PO 7").answer["account"]
    assert later == account | {"purchaseOrder": "PO 7"} == tally("billing", "account", "get").answer["account"]
    wrong = tally("billing", "account", "set", "--country", "Nowhere")
    assert (wrong.status, wrong.answer["reason"]) == (1, "invalidBillingDetails")


def test_a_transfer_is_marked_paid_listed_and_refunded(tally: Shell) -> None:
    uuid, number = owed(tally, 9_900)
    here = ("--workspace-uuid", str(tally.shop.uuid))
    operator(tally, "payment", "mark-paid", uuid, *here, "--amount", "5000", "--date", "2026-03-13")
    operator(tally, "payment", "mark-paid", uuid, *here)
    found = tally("billing", "payments", "list").answer["payments"]
    assert sorted(one["amount"] for one in found) == [4_900, 5_000]
    assert {one["invoiceNumber"] for one in found} == {number}
    table = tally("billing", "payments", "list", "--format", "table").stdout
    assert number in table and "5000" in table
    denied = tally("payment", "mark-paid", uuid)
    assert (denied.status, denied.answer) == (1, {"errorMessage": "forbidden"})


def test_a_statement_is_imported_and_the_rest_matched(tally: Shell, tmp_path: Path) -> None:
    uuid, number = owed(tally, 9_900)
    other, _ = owed(tally, 700)
    mark = IDS.secret()
    file = tmp_path / "statement.csv"
    file.write_text(f"Tag;Betrag;Zweck\n13.03.2026;99,00;{creditor_reference(number)}\n13.03.2026;7,00;{mark}\n")
    mapped = ("--date", "Tag", "--amount", "Betrag", "--reference", "Zweck", "--currency", "USD")
    form = ("--date-format", "%d.%m.%Y", "--decimal", ",")
    report = operator(tally, "payment", "import-statement", str(file), *mapped, *form)
    assert isinstance(report, dict) and (report["matched"], report["unmatched"]) == (1, 1)
    assert report["transactions"][0]["invoiceUuid"] == uuid
    waiting = operator(tally, "payment", "unmatched", "--limit", "1000")
    assert isinstance(waiting, dict)
    line = next(one["id"] for one in waiting["transactions"] if one["reference"] == mark)
    done = operator(tally, "payment", "match", line, "--workspace-uuid", str(tally.shop.uuid), "--invoice-uuid", other)
    assert isinstance(done, dict) and done["transaction"]["invoiceUuid"] == other
    lost = tally("payment", "import-statement", str(tmp_path / "none.csv"), TALLY_TOKEN=tally.house.operator_token)
    assert (lost.status, lost.answer["reason"]) == (1, "fileError")
