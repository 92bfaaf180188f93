"""Differences: where a figure does not follow from what it rests on, named by id and by both amounts (row E2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from uuid import UUID

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "eventUnkeyed": "an event without the key that makes it exactly-once",
        "eventMissing": "a key whose event is not there",
        "eventDoubled": "an event that another one is the first outcome of, or a second correction of one event",
        "eventChanged": "an event whose type, subject or data are not those its key was made of",
        "chargeDiffers": "a charge that its event and its price version do not give",
        "correctionDiffers": "a reversal or late price that does not fit the event it names",
        "unknownPrice": "a charge whose price version is not there, or does not fit its event",
        "counterDiffers": "a tiered price's counter that its charges do not fill without gaps",
        "priceEdited": "a price version whose content is not what its digest was made of",
        "transactionMissing": "ledger entries without their transaction",
        "transactionEmpty": "a ledger transaction without entries",
        "transactionUnbalanced": "a ledger transaction whose entries do not sum to zero",
        "sequenceGap": "a sequence number of the ledger that no transaction has",
        "entryDoubled": "a ledger entry that stands twice",
        "runningBalanceDiffers": "a ledger entry whose running balance does not follow from the one before",
        "transactionDiffersFromEvents": "a ledger transaction that books another amount than its events cost",
        "balanceDiffers": "a cached balance that the ledger does not give",
        "grantMissing": "a grant with ledger entries but no row, or a row but no entries",
        "grantDiffers": "a cached figure of a grant that the ledger does not give",
        "holdDiffers": "a hold that sets aside what it cannot, or ended otherwise than its status says",
        "rollupDiffers": "a daily or hourly total that its events do not give",
        "budgetDiffers": "how far a budget is used, where charges and open holds do not give it",
        "deploymentDiffers": "a deployment that stands otherwise than its last change left it",
        "deploymentTimeMissing": "time in which something was Deployed on hardware and that no usage event charges",
        "deploymentTimeDoubled": "time of a deployment that more than one usage event charges",
        "deploymentTimeUnfounded": "time that is charged and in which nothing was Deployed on that hardware",
        "deploymentTimeDiffers": "a day of a deployment whose time or credits its usage events do not give",
        "invoiceDiffers": "an invoice whose sums, taxes or credit notes its lines do not give",
        "invoiceUsageDiffers": "usage on an invoice that its charges do not give, or that another one lists",
        "numberGap": "a series of invoices with a number that is missing or stands twice",
        "paymentDiffers": "an invoice that the payments for it do not give, or a payment that its refunds do not give",
        "moneyUnbalanced": "a movement of money whose entries do not sum to zero",
        "moneyDiffers": "an account of a purchase's money that its price and what was used of it do not give",
        "purchaseDiffers": "a purchase that its grant, its invoice or the ledger do not give",
        "bucketDiffers": "a total under another key than its dimensions give",
    }
)
"""Every code, and what it stands for."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that is not as it should be. `expected` follows from what is below, `found` is stored.

    Values are integers of nano-units where `nano`, else counts, quantities, instants or text; None is "nothing there".
    """

    name: str
    expected: object
    found: object
    nano: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """`ids` name the thing; `figures` say what differs. `workspace_id` is None for what all workspaces share."""

    code: str
    workspace_id: UUID | None
    ids: Mapping[str, object]
    figures: tuple[Figure, ...] = field(default=())


_NANO: Final = frozenset(
    {
        "credits",
        "tool_runs",
        "provider_cost",
        "amount",
        "remaining",
        "expired",
        "posted",
        "overdraft",
        "issued",
        "used",
        "allocation",
        "balance_after",
        "total",
        "spent",
        "held",
        "kept",
        "taken",
        "recognised_used",
        "recognised_expired",
    }
)


def figure(name: str, expected: object, found: object) -> Figure:
    """A figure under the name of its column; amounts are told apart by that name."""
    return Figure(name, expected, found, nano=name in _NANO)


def figures(names: tuple[str, ...], expected: tuple[object, ...], found: tuple[object, ...]) -> tuple[Figure, ...]:
    """Those of the figures that differ."""
    return tuple(
        figure(name, one, other) for name, one, other in zip(names, expected, found, strict=True) if one != other
    )
