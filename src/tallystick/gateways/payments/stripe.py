"""Stripe, by its own library: customers, methods on file, charges off session, refunds, checkout, the portal.

No state of the library's is shared: each provider has a client with its own key, address and pinned version. The
library never repeats a call; we repeat it ourselves, under the same key.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, cast

import stripe

from tallystick.domain.billing.accounts import Account, Method
from tallystick.domain.billing.payments import FAILED, Checkout, Outcome, Payment, Told
from tallystick.gateways.payments.stripe_calls import (
    KeyTaken,
    Refused,
    ask,
    digest,
    is_id,
    misconfigured,
    options,
    unavailable,
)
from tallystick.gateways.payments.stripe_http import Carrier
from tallystick.gateways.payments.stripe_objects import (
    INVOICE,
    PAGE,
    PAYMENT,
    WORKSPACE,
    Object,
    details_of,
    failure,
    id_of,
    method_of,
    needs_authentication,
    outcome_of,
    refund_outcome,
)
from tallystick.gateways.payments.stripe_webhooks import missed, read, refreshed
from tallystick.kernel.errors import TallystickError

API_VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API that this was written for; the account's own default does not matter."""

_KINDS: Final[list[Any]] = ["card", "sepa_debit"]
_MOST: Final = 100
_KEY: Final = "tallystick_key"

# Nothing about this machine is sent, nor written into its user's home.
stripe.enable_telemetry = False

_ADJUSTABLE: Final[Mapping[str, Any]] = {"adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": 999_999}}


class StripeProvider:
    """`domain/billing/payments.Provider` for an account with Stripe. One per process, ended with `close`."""

    name = "stripe"

    def __init__(
        self, api_key: str, *, webhook_secrets: tuple[str, ...], api_base: str, return_url: str | None = None
    ) -> None:
        """`webhook_secrets`: any of them may have signed. `return_url` is where a customer comes back to who had to
        confirm a payment; without it such a payment fails."""
        self._http = Carrier()
        self._client = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base.rstrip("/")},
            max_network_retries=0,
            http_client=self._http,
        )
        self._v1 = self._client.v1
        self._secrets = webhook_secrets
        self._return_url = return_url

    async def close(self) -> None:
        """Close its connections."""
        await self._http.close_async()

    async def customer(self, account: Account, *, name: str, key: str) -> str:
        """Make or bring up to date the customer; its id."""
        ref = account.customer_ref
        metadata = {WORKSPACE: str(account.workspace_id)}
        try:
            if ref is None:
                # Only what never changes: the same key must not be used with other parameters.
                made = self._v1.customers.create_async({"metadata": metadata}, options(key))
                ref = str((await ask("create customer", made))["id"])
            details = details_of(account, name)
            # What is brought up to date differs from time to time, and so does its key.
            update = self._v1.customers.update_async(ref, cast(Any, details), options(key, digest(details)))
            await ask("update customer", update)
        except KeyTaken:
            raise unavailable() from None
        except Refused as refused:
            raise misconfigured(refused.code) from None
        return ref

    async def setup_intent(self, customer_ref: str, *, key: str) -> str:
        """A client secret with which a browser adds a card or bank account. Raises `failedToCreateSetupIntent`."""
        made = self._v1.setup_intents.create_async(
            {"customer": customer_ref, "usage": "off_session", "allowed_payment_method_types": _KINDS}, options(key)
        )
        try:
            return str((await ask("create setup intent", made))["client_secret"])
        except (Refused, KeyTaken):
            raise TallystickError(
                "failedToCreateSetupIntent", "Stripe did not begin the form for a payment method."
            ) from None

    async def attach(self, customer_ref: str, method_id: str, *, key: str) -> Method:
        """Make a method the one on file. Raises `paymentMethodNotFound`, `paymentMethodRefused`."""
        if not is_id(method_id):
            raise _no_method(method_id)
        try:
            found = await ask("find method", self._v1.payment_methods.retrieve_async(method_id))
            owner = id_of(found.get("customer"))
            if owner not in (None, customer_ref):
                raise _no_method(method_id)
            if owner is None:
                attached = self._v1.payment_methods.attach_async(
                    method_id, {"customer": customer_ref}, options(key, method_id)
                )
                found = await ask("attach method", attached)
            chosen = self._v1.customers.update_async(
                customer_ref,
                {"invoice_settings": {"default_payment_method": method_id}},
                options(key, method_id, "default"),
            )
            await ask("choose method", chosen)
        except KeyTaken:
            raise unavailable() from None
        except Refused as refused:
            if refused.error.get("type") == "card_error":
                said = failure(refused.error)
                raise TallystickError(
                    "paymentMethodRefused", said.error_message or "The card was declined.", declineCode=said.error_code
                ) from None
            raise _no_method(method_id) from None
        return method_of(found)

    async def charge(self, payment: Payment, customer_ref: str, method: Method, *, description: str) -> Outcome:
        """Charge the method on file, nobody being there to click. `payment.key` is the idempotency key.

        A method that was written down with the payment stands over `method`: asked again, it must be the same request.
        """
        chosen = payment.method or method
        metadata = {WORKSPACE: str(payment.workspace_id), PAYMENT: str(payment.id)}
        if payment.invoice_id is not None:
            metadata[INVOICE] = str(payment.invoice_id)
        created = self._v1.payment_intents.create_async(
            {
                "amount": payment.amount_minor,
                "currency": payment.currency,
                "customer": customer_ref,
                "payment_method": chosen.id,
                "allowed_payment_method_types": _KINDS,
                "off_session": True,
                "confirm": True,
                "description": description,
                "metadata": metadata,
            },
            options(payment.key),
        )
        try:
            intent: Object = await ask("charge", created)
        except KeyTaken:
            # It was asked for before, of other parameters: what came of that is what counts.
            found = await self.look(payment)
            if found is None:
                raise unavailable() from None
            return found
        except Refused as refused:
            intent = refused.error.get("payment_intent") or {}
            if not intent:
                return failure(refused.error)
            if not intent.get("last_payment_error"):
                intent = {**intent, "last_payment_error": refused.error}
        return await self._standing(payment, intent, chosen.id)

    async def look(self, payment: Payment) -> Outcome | None:
        """How a payment stands; None where Stripe never heard of it.

        Without its id it is searched by ours. The search may be a minute behind, for which the idempotency key stands
        in: it is good for a day.
        """
        intent = await self._intent(payment)
        return None if intent is None else await self._standing(payment, intent, None)

    async def cancel(self, payment: Payment) -> Outcome | None:
        """Give up an attempt that is not finished, so that it can never succeed later; how it stands then.

        None where Stripe never heard of it.
        """
        intent = await self._intent(payment)
        if intent is None or outcome_of(intent).status in ("succeeded", "canceled"):
            return None if intent is None else outcome_of(intent)
        ref = str(intent["id"])
        try:
            canceled = self._v1.payment_intents.cancel_async(ref, {}, options(payment.key, "cancel"))
            return outcome_of(await ask("cancel", canceled))
        except (Refused, KeyTaken):
            return outcome_of(await self._retrieved(ref))

    async def refund(self, payment: Payment, amount_minor: int, *, key: str) -> Outcome:
        """Give so much back. One that was made under this key before is found, however long ago that was."""
        if payment.ref is None:
            return Outcome(FAILED, error_code="not_charged", error_message="This payment was never charged.")
        try:
            listed = self._v1.refunds.list_async({"payment_intent": payment.ref, "limit": _MOST})
            for one in (await ask("list refunds", listed))["data"]:
                if (one.get("metadata") or {}).get(_KEY) == key:
                    return refund_outcome(one)
            made = self._v1.refunds.create_async(
                {
                    "payment_intent": payment.ref,
                    "amount": amount_minor,
                    "metadata": {
                        WORKSPACE: str(payment.workspace_id),
                        PAYMENT: str(payment.id),
                        _KEY: key,
                    },
                },
                options(key),
            )
            return refund_outcome(await ask("refund", made))
        except KeyTaken:
            raise unavailable() from None
        except Refused as refused:
            return failure(refused.error)

    async def checkout(self, customer_ref: str, wanted: Checkout, *, key: str) -> str:
        """The address of a page to buy on; the quantity is chosen there."""
        metadata = dict(wanted.metadata)
        page: dict[str, Any] = {
            "mode": "payment",
            "customer": customer_ref,
            "allowed_payment_method_types": _KINDS,
            "line_items": [
                {
                    "price_data": {
                        "currency": wanted.currency,
                        "unit_amount_decimal": Decimal(wanted.unit_minor),
                        "product_data": {"name": wanted.description},
                    },
                    "quantity": wanted.credits,
                    **cast(Any, _ADJUSTABLE if wanted.is_adjustable else {}),
                }
            ],
            "metadata": metadata,
            "payment_intent_data": {
                "metadata": metadata | {PAGE: "checkout"},
                "description": wanted.description,
            },
            "success_url": wanted.success_url,
            "cancel_url": wanted.cancel_url,
        }
        created = self._v1.checkout.sessions.create_async(cast(Any, page), options(key))
        try:
            return str((await ask("checkout", created))["url"])
        except KeyTaken:
            # The same purchase, to come back elsewhere: the page that is open is the one, never a second to pay on.
            return await self._open_page(customer_ref, metadata)
        except Refused as refused:
            raise misconfigured(refused.code) from None

    async def _open_page(self, customer_ref: str, metadata: Mapping[str, str]) -> str:
        listed = self._v1.checkout.sessions.list_async({"customer": customer_ref, "status": "open", "limit": _MOST})
        try:
            found = (await ask("find checkout", listed))["data"]
        except (Refused, KeyTaken) as refused:
            raise misconfigured(str(refused)) from None
        for one in found:
            if one.get("metadata") == metadata:
                return str(one["url"])
        raise unavailable()

    async def portal(self, customer_ref: str, return_url: str) -> str:
        """The address of a page where the customer sees and changes payment: new each time, good for minutes."""
        made = self._v1.billing_portal.sessions.create_async({"customer": customer_ref, "return_url": return_url})
        try:
            return str((await ask("portal", made))["url"])
        except (Refused, KeyTaken) as refused:
            raise misconfigured(str(refused)) from None

    def read_webhook(self, body: bytes, headers: Mapping[str, str], now: dt.datetime) -> Told:
        """Check and understand a webhook. Raises `invalidSignature`, `invalidWebhook`."""
        return read(body, headers, self._secrets, now)

    async def missed(self, since: dt.datetime) -> list[Told]:
        """What was told from `since` on and did not reach us; the oldest first. Stripe keeps it for thirty days."""
        return await missed(self._client, since)

    async def refresh(self, told: Told) -> Told:
        """What was told, as it stands by now: a webhook's own picture may be old, and come late."""
        return await refreshed(self._client, told)

    async def _standing(self, payment: Payment, intent: Object, method_id: str | None) -> Outcome:
        """How an intent stands. Where the bank wants the customer, the attempt goes on as one with a page to go to."""
        if not needs_authentication(intent) or self._return_url is None:
            return outcome_of(intent)
        refused = intent["last_payment_error"].get("payment_method")
        method_id = method_id or id_of(refused) or (payment.method.id if payment.method else None)
        if method_id is None:
            return outcome_of(intent)
        confirmed = self._v1.payment_intents.confirm_async(
            str(intent["id"]),
            {"payment_method": method_id, "off_session": False, "return_url": self._return_url},
            options(payment.key, "confirm"),
        )
        try:
            return outcome_of(await ask("confirm", confirmed))
        except (Refused, KeyTaken):
            return outcome_of(await self._retrieved(str(intent["id"])))

    async def _intent(self, payment: Payment) -> Object | None:
        if payment.ref is not None:
            return await self._retrieved(payment.ref)
        asked = self._v1.payment_intents.search_async(
            {"query": f"metadata['{PAYMENT}']:'{payment.id}'", "limit": _MOST}
        )
        try:
            found = list((await ask("search", asked))["data"])
        except (Refused, KeyTaken) as refused:
            raise misconfigured(str(refused)) from None
        # One at most is ever made; were there more, the one with money in it would count.
        return max(found, key=lambda one: one.get("status") in ("succeeded", "processing"), default=None)

    async def _retrieved(self, ref: str) -> Object:
        try:
            return await ask("look", self._v1.payment_intents.retrieve_async(ref))
        except (Refused, KeyTaken) as refused:
            # What we were given the id of is there, unless the key is another account's.
            raise misconfigured(str(refused)) from None


def _no_method(method_id: str) -> TallystickError:
    return TallystickError(
        "paymentMethodNotFound", "Stripe knows no such payment method of this customer.", id=method_id[:_MOST]
    )
