"""Bank transfer: the provider that needs nothing outside, and the embedded default (row D11).

Nothing can be taken from anybody: a customer sends money and names the invoice's reference, and the operator says that
it came, by hand or with a bank statement. So there is no method on file and nothing to collect; a refund is a transfer
that the operator makes, recorded.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NoReturn

from tallystick.domain.billing.accounts import Account, Method
from tallystick.domain.billing.payments import FAILED, SUCCEEDED, Checkout, Outcome, Payment, Told
from tallystick.kernel.errors import TallystickError


class Offline:
    """No call of it leaves the process."""

    name: str = "offline"

    async def customer(self, account: Account, *, name: str, key: str) -> str:
        """Whoever pays by transfer needs no record elsewhere: the workspace's own id."""
        return str(account.workspace_id)

    async def setup_intent(self, customer_ref: str, *, key: str) -> str:
        raise TallystickError(
            "failedToCreateSetupIntent", "Invoices are paid by bank transfer here: there is no card to add."
        )

    async def attach(self, customer_ref: str, method_id: str, *, key: str) -> Method:
        raise TallystickError(
            "paymentMethodNotFound", "Invoices are paid by bank transfer here: no payment method can be put on file."
        )

    async def charge(self, payment: Payment, customer_ref: str, method: Method, *, description: str) -> Outcome:
        """Nobody's account can be charged; what was on file with another provider is of no use here."""
        return Outcome(FAILED, error_code="methodNotUsable", error_message="Bank transfers come by themselves.")

    async def look(self, payment: Payment) -> Outcome | None:
        """What was marked paid is; of anything else nobody here knows."""
        return Outcome(SUCCEEDED, ref=payment.ref) if payment.status == SUCCEEDED else None

    async def cancel(self, payment: Payment) -> Outcome | None:
        """Nothing is ever on its way."""
        return None

    async def refund(self, payment: Payment, amount_minor: int, *, key: str) -> Outcome:
        """The operator sends the money; this only says that it is on the record."""
        return Outcome(SUCCEEDED, ref=key)

    async def checkout(self, customer_ref: str, wanted: Checkout, *, key: str) -> str:
        """Bought on our own page: its address is the one that was to follow."""
        return wanted.success_url

    async def portal(self, customer_ref: str, return_url: str) -> str:
        """Our own payment page, to which the caller made a signed link."""
        return return_url

    def read_webhook(self, body: bytes, headers: Mapping[str, str], now: datetime) -> Told:
        _no_webhooks()

    async def missed(self, since: datetime) -> list[Told]:
        """Nothing is ever told."""
        return []

    async def refresh(self, told: Told) -> Told:
        _no_webhooks()

    async def close(self) -> None:
        """Nothing is open."""


def _no_webhooks() -> NoReturn:
    raise TallystickError("invalidWebhook", "Bank transfers send no webhooks.")
