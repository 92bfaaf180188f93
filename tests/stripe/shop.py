"""Our side with a local Stripe: workspaces that pay, what they owe, and webhooks on their way over HTTP."""

import datetime as dt
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx2

from tallystick.domain.billing.accounts import Account, Method
from tallystick.domain.billing.invoices import Invoice, new_line
from tallystick.domain.billing.payments import Payment
from tallystick.flows import accounts, collecting, invoicing, payments, provider_events
from tallystick.flows.billing import Billing, billing_of
from tallystick.kernel.clock import FrozenClock
from tallystick.runtime import Runtime
from tallystick.store.database import Connection
from tests import bills, make
from tests.make import IDS
from tests.stripe.front import Front
from tests.stripe.objects import Json

ADDRESS = "/v1/providers/stripe/webhooks"


@dataclass
class Shop:
    runtime: Runtime
    http: httpx2.AsyncClient
    front: Front
    clock: FrozenClock
    answers: list[str] = field(default_factory=list)

    @property
    def now(self) -> dt.datetime:
        return self.clock.now()

    def in_euro(self) -> Billing:
        """The same terms in euro."""
        settings = replace(self.runtime.settings, currency="eur")
        return billing_of(settings, self.runtime.billing.providers)

    def pass_(self, **by: float) -> None:
        """Time goes by."""
        self.clock.advance(dt.timedelta(**by))

    # --- who pays ---

    async def workspace(self, *, plan: str = "pro") -> UUID:
        return await make.bare_workspace(self.runtime.database, self.now, plan=plan)

    async def payer(self, number: str | None = "4242424242424242", *, iban: str | None = None) -> UUID:
        """A workspace with a card or a bank account on file."""
        workspace_id = await self.workspace()
        await self.put_on_file(workspace_id, number, iban=iban)
        return workspace_id

    async def put_on_file(self, workspace_id: UUID, number: str | None, *, iban: str | None = None) -> str:
        """As a browser and its owner do it; the method's id. What Stripe tells of it is lost."""
        method = await (self.front.new_account(iban) if iban else self.front.new_card(number or ""))
        secret = await accounts.setup_intent(*self._about(workspace_id), now=self.now, ids=IDS)
        await self.front.finish_setup(secret, method)
        await accounts.attach_method(*self._about(workspace_id), method, actor="test", now=self.now, ids=IDS)
        self.front.take()
        return method

    async def account(self, workspace_id: UUID) -> Account:
        return await bills.account_of(self.runtime.database, workspace_id)

    async def method(self, workspace_id: UUID) -> Method:
        method = (await self.account(workspace_id)).method
        assert method is not None
        return method

    # --- what is owed ---

    async def owes(self, workspace_id: UUID, amount: int = 9_900, currency: str = "usd") -> Invoice:
        """An invoice over so much, just issued."""

        async def issue(conn: Connection) -> Invoice:
            await payments.lock_workspace(conn, workspace_id, self.now, IDS)
            lines = [new_line("custom", "Advice", amount)]
            billing = self.runtime.billing
            return await invoicing.issue_now(
                conn, billing, workspace_id, "custom", lines, now=self.now, ids=IDS, currency=currency
            )

        invoice = await self.runtime.database.run(issue)
        assert invoice.total_minor == amount
        return invoice

    async def collect(self, invoice: Invoice) -> Payment | None:
        return await payments.collect(
            *self._about(invoice.workspace_id), invoice.id, now=self.now, ids=self.runtime.ids
        )

    async def turn(self, *workspace_ids: UUID) -> None:
        """What the worker does now with what these owe."""
        for workspace_id in workspace_ids:
            await collecting.turn(*self._about(workspace_id), now=self.now, ids=self.runtime.ids)

    async def look(self, payment: Payment) -> Payment:
        return await payments.look_again(
            *self._about(payment.workspace_id), payment.id, now=self.now, ids=self.runtime.ids
        )

    async def invoice(self, invoice: Invoice) -> Invoice:
        return await bills.invoice_now(self.runtime.database, invoice)

    async def attempts(self, invoice: Invoice) -> list[Payment]:
        return await bills.payments_of(self.runtime.database, invoice)

    async def facts(self, workspace_id: UUID) -> list[str]:
        return await bills.facts_of(self.runtime.database, workspace_id)

    def _about(self, workspace_id: UUID) -> tuple[Any, Any, UUID]:
        return self.runtime.database, self.runtime.billing, workspace_id

    # --- webhooks ---

    async def post(self, event: Json, **signing: Any) -> httpx2.Response:
        """One webhook."""
        body, signature = self.front.signed(event, **signing)
        headers = {"content-type": "application/json; charset=utf-8", "stripe-signature": signature}
        return await self.http.post(ADDRESS, content=body, headers=headers)

    async def deliver(self, events: Iterable[Json] | None = None, *, order: random.Random | None = None) -> list[str]:
        """Webhooks that were not told yet, or these; with an `order`, mixed up and each of them once or twice."""
        told = list(self.front.take() if events is None else events)
        if order is not None:
            told += [event for event in told if order.random() < 0.5]
            order.shuffle(told)
        outcomes = []
        for event in told:
            answer = await self.post(event)
            assert answer.status_code == 200, answer.text
            outcomes.append(answer.json()["outcome"])
            self.front.delivered.add(event["id"])
        return outcomes

    async def catch_up(self) -> int:
        """Ask for what was lost."""
        runtime = self.runtime
        return await provider_events.catch_up(runtime.database, runtime.billing, now=self.now, ids=runtime.ids)

    def lose(self) -> None:
        """Webhooks that never arrive."""
        self.front.take()
