"""The money side of bought credits: re-derived from purchases, their grants' ledger and their invoices (rule M26)."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing.purchases import PAID, REFUNDED, Purchase
from tallystick.domain.billing.revenue import ACCOUNTS, Burnt, stand
from tallystick.domain.differences import figures
from tallystick.queries.verify.checking import Check
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load
from tallystick.store.purchases import purchase_of

SQL = load(__file__)

_BURNT: Final = ("recognised_used", "recognised_expired", "taken")
_BOUGHT: Final = ("credits", "price_minor", "tax_minor")


async def check(conn: Connection, check: Check) -> None:
    """Every purchase of one workspace and every movement of money for it.

    What was used since a purchase was last recognised is no difference: it is compared as of then.
    """
    rows = await _rows(conn, check, "purchases")
    check.checked.purchases += len(rows)
    for row in await _rows(conn, check, "unbalanced"):
        check.found(
            "moneyUnbalanced", {"transactionUuid": row["transaction_id"]}, figures(("total",), (0,), (row["n"],))
        )
    booked: dict[UUID, dict[str, int]] = {}
    paid_out: dict[UUID, int] = {}
    for row in await _rows(conn, check, "booked"):
        held = booked.setdefault(row["purchase_id"], dict.fromkeys(ACCOUNTS, 0))
        held[row["account"]] = row["amount"]
        paid_out[row["purchase_id"]] = paid_out.get(row["purchase_id"], 0) + row["paid_out"]
    burnt = {row["id"]: row for row in await _rows(conn, check, "burnt")}
    for row in rows:
        purchase = purchase_of(row)
        _check_purchase(check, purchase, row, burnt.get(purchase.id))
        held = booked.pop(purchase.id, dict.fromkeys(ACCOUNTS, 0))
        _check_accounts(check, purchase, held, paid_out.get(purchase.id, 0))
    for purchase_id, held in booked.items():
        unknown = figures(ACCOUNTS, (0,) * len(ACCOUNTS), tuple(held[account] for account in ACCOUNTS))
        check.found("moneyDiffers", {"purchaseUuid": purchase_id}, unknown)


def _check_purchase(check: Check, purchase: Purchase, row: Row, burnt: Row | None) -> None:
    ids = {"purchaseUuid": purchase.id, "status": purchase.status}
    granted = purchase.status in (PAID, REFUNDED, "charged_back")
    wrong = figures(("grant",), (granted,), (row["granted"] is not None,))
    if granted and row["granted"] is not None:
        given = (row["granted"], row["net_minor"], row["invoice_tax"])
        wrong += figures(_BOUGHT, given, (purchase.credits, purchase.price_minor, purchase.tax_minor))
    if purchase.status in (PAID, REFUNDED):
        moved = (0, 0, 0) if burnt is None else (burnt["used"], burnt["expired"], burnt["taken"])
        wrong += figures(_BURNT, moved, tuple(getattr(purchase, name) for name in _BURNT))
    if wrong:
        check.found("purchaseDiffers", ids, wrong)


def _check_accounts(check: Check, purchase: Purchase, held: Mapping[str, int], paid_out: int) -> None:
    expected = stand(purchase, Burnt(purchase.recognised_used, purchase.recognised_expired), paid_out)
    wrong = figures(
        ACCOUNTS, tuple(expected[account] for account in ACCOUNTS), tuple(held.get(account, 0) for account in ACCOUNTS)
    )
    if wrong:
        check.found("moneyDiffers", {"purchaseUuid": purchase.id, "currency": purchase.currency}, wrong)


async def _rows(conn: Connection, check: Check, query: str) -> list[Any]:
    return list(await (await conn.execute(SQL[query], check.given)).fetchall())
