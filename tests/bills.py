"""Factories of what is owed, and a payment provider that the tests hold in their hands."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from tallystick.domain.billing.accounts import Account, Method
from tallystick.domain.billing.invoices import ISSUED, Invoice, Line, Tax
from tallystick.domain.billing.payments import (
    ACTION_REQUIRED,
    CANCELED,
    FAILED,
    PROCESSING,
    RANKS,
    SUCCEEDED,
    Checkout,
    Outcome,
    Payment,
    Provider,
    Told,
)
from tallystick.domain.identity.requests import RequestKey
from tallystick.flows import accounts
from tallystick.flows.billing import Billing, billing_of
from tallystick.flows.budgets import Author
from tallystick.gateways.payments.offline import Offline
from tallystick.kernel.errors import TallystickError
from tallystick.settings import Settings
from tallystick.store import accounts as account_store
from tallystick.store import invoices as invoice_store
from tallystick.store import payments as payment_store
from tallystick.store.database import Database
from tests import make
from tests.conftest import NOW
from tests.make import IDS

CARD = Method("pm_card", "card", "visa", "4242", 4, 2027)
OTHER_CARD = Method("pm_other", "card", "mastercard", "4444", 12, 2030)
BANK = Method("pm_bank", "bank", "", "3000")


@dataclass
class CardHouse:
    """A card provider with a memory, standing where Stripe does: what it charged, by the key that it was asked under.

    `declines` are methods that it refuses, `slow` those whose money comes later (`settle`), `asks` those whose owner
    has to confirm. `loses` says how many of the next answers never arrive, though what was asked is done.
    """

    name: str = "stripe"
    declines: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    asks: set[str] = field(default_factory=set)
    loses: int = 0
    is_down: bool = False
    charged: dict[str, Outcome] = field(default_factory=dict)
    amounts: dict[str, int] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    asked: int = 0

    @property
    def taken(self) -> int:
        """Everything that it got from anybody, in minor units."""
        return sum(self.amounts[key] for key, outcome in self.charged.items() if outcome.status == SUCCEEDED)

    async def close(self) -> None:
        """Nothing of it is open."""

    async def customer(self, account: Account, *, name: str, key: str) -> str:
        return f"cus_{account.workspace_id.hex}"

    async def setup_intent(self, customer_ref: str, *, key: str) -> str:
        self._reach()
        return f"seti_{key}_secret"

    async def attach(self, customer_ref: str, method_id: str, *, key: str) -> Method:
        self._reach()
        found = {method.id: method for method in (CARD, OTHER_CARD, BANK)}.get(method_id)
        if found is None:
            raise TallystickError("paymentMethodNotFound", "There is no such payment method.", id=method_id)
        return found

    async def charge(self, payment: Payment, customer_ref: str, method: Method, *, description: str) -> Outcome:
        self._reach()
        self.asked += 1
        if payment.key not in self.charged:
            ref = f"pi_{len(self.charged) + 1}_{payment.id.hex[-8:]}"
            if method.id in self.declines:
                outcome = Outcome(FAILED, ref, "card_declined", "Your card was declined.", method=method)
            else:
                status = PROCESSING if method.id in self.slow else SUCCEEDED
                outcome = Outcome(ACTION_REQUIRED if method.id in self.asks else status, ref, method=method)
            self.charged[payment.key] = outcome
            self.amounts[payment.key] = payment.amount_minor
        return self._answer(self.charged[payment.key])

    async def look(self, payment: Payment) -> Outcome | None:
        self._reach()
        found = self.charged.get(payment.key)
        return None if found is None else self._answer(found)

    async def cancel(self, payment: Payment) -> Outcome | None:
        self._reach()
        known = self.charged.get(payment.key)
        if known is not None and RANKS[known.status] < RANKS[CANCELED]:
            self.charged[payment.key] = replace(known, status=CANCELED)
        return self.charged.get(payment.key)

    async def refund(self, payment: Payment, amount_minor: int, *, key: str) -> Outcome:
        self._reach()
        self.refunds.setdefault(key, amount_minor)
        return self._answer(Outcome(SUCCEEDED, ref=f"re_{key}"))

    async def checkout(self, customer_ref: str, wanted: Checkout, *, key: str) -> str:
        self._reach()
        return f"https://checkout.test/{key}"

    async def portal(self, customer_ref: str, return_url: str) -> str:
        self._reach()
        return f"https://portal.test/{customer_ref}"

    def read_webhook(self, body: bytes, headers: Mapping[str, str], now: dt.datetime) -> Told:
        raise TallystickError("invalidWebhook", "This provider sends none.")

    async def refresh(self, told: Told) -> Told:
        return told

    def settle(self, payment: Payment, status: str = SUCCEEDED) -> Outcome:
        """What was slow has come to an end."""
        self.charged[payment.key] = replace(self.charged[payment.key], status=status)
        return self.charged[payment.key]

    def _reach(self) -> None:
        if self.is_down:
            raise TallystickError("paymentProviderUnavailable", "The payment provider does not answer.")

    def _answer(self, outcome: Outcome) -> Outcome:
        if self.loses:
            self.loses -= 1
            raise TallystickError("paymentProviderUnavailable", "The answer was lost.")
        return outcome


def billing(*providers: Provider, **settings: Any) -> Billing:
    """Terms as shipped but for these settings; bank transfer is always there."""
    given: dict[str, Any] = {"seller_name": "Tally Works", "seller_country": "DE", **settings}
    by_name: dict[str, Provider] = {"offline": Offline()}
    return billing_of(Settings(**given), by_name | {provider.name: provider for provider in providers})


async def payer(
    database: Database, now: dt.datetime, house: CardHouse, *, method: Method | None = CARD, plan: str = "pro"
) -> UUID:
    """A workspace whose card is on file with this provider."""
    workspace_id = await make.bare_workspace(database, now, plan=plan)
    terms = billing(house, payment_provider=house.name)
    await accounts.ensure_customer(database, terms, workspace_id, now=now, ids=IDS)
    if method is not None:
        await accounts.set_method(database, terms, workspace_id, method, actor="test", now=now, ids=IDS)
    return workspace_id


async def owed(
    database: Database,
    workspace_id: UUID,
    amount_minor: int,
    now: dt.datetime,
    *,
    currency: str = "usd",
    number: str | None = None,
    due_days: int = 14,
    **values: Any,
) -> Invoice:
    """An issued invoice over so much, as nobody in particular made it."""
    mark = IDS.secret()[:6].upper().replace("-", "X").replace("_", "Y")
    given: dict[str, Any] = {
        "kind": "invoice",
        "purpose": "custom",
        "status": ISSUED,
        "series": "T",
        "number": number or f"T-{mark}",
        "issued_at": now,
        "due_at": now + dt.timedelta(days=due_days),
        "net_minor": amount_minor,
        "total_minor": amount_minor,
        "next_at": now,
        "taxes": (Tax("O", 0, amount_minor, 0, "DE", reason="none"),),
    }
    line = Line(1, "custom", "Work", Decimal(1), "piece", Decimal(amount_minor), amount_minor, "O", 0)
    invoice = Invoice(
        workspace_id=workspace_id,
        id=IDS.new(now),
        currency=currency,
        created_at=now,
        updated_at=now,
        **given | values,
    )
    await database.run(lambda conn: invoice_store.insert(conn, invoice, [line]))
    return invoice


def author(workspace_id: UUID, now: dt.datetime = NOW, key: str | None = None, body: bytes = b"") -> Author:
    """An operator, with an Idempotency-Key where one is given."""
    request = None if key is None else RequestKey(workspace_id, "test", key, body, now)
    return Author(workspace_id, "operator:test", request, now, IDS)


async def invoice_now(database: Database, invoice: Invoice) -> Invoice:
    """How an invoice stands."""
    async with database.read(invoice.workspace_id) as conn:
        return await invoice_store.find(conn, invoice.workspace_id, invoice.id)


async def payments_of(database: Database, invoice: Invoice) -> list[Payment]:
    """Every payment of an invoice."""
    async with database.read(invoice.workspace_id) as conn:
        return await payment_store.of_invoice(conn, invoice.workspace_id, invoice.id)


async def account_of(database: Database, workspace_id: UUID) -> Account:
    async with database.read(workspace_id) as conn:
        return await account_store.read(conn, workspace_id)


async def facts_of(database: Database, workspace_id: UUID) -> list[str]:
    """The kinds of what was told of a workspace, in order."""
    found = await make.rows(database, "SELECT kind FROM fact WHERE workspace_id = %s ORDER BY at, id", workspace_id)
    return [row["kind"] for row in found]
