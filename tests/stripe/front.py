"""A local Stripe: localstripe, and before it what localstripe leaves out, as Stripe documents it.

Idempotency keys, parameters that are checked against the library's own list of them, off-session authentication, bank
debits that take their time, declines with their codes, refunds, disputes, checkout, the portal, signed webhooks,
search; and everything that can go wrong between two machines. Its books say what was really charged.
"""

import copy
import datetime as dt
import itertools
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import stripe.params
import stripe.params.billing_portal
import stripe.params.checkout
from aiohttp import web
from stripe import WebhookSignature

from tests.stripe.objects import (
    AUTHENTICATED_ENDINGS,
    Asked,
    Books,
    Fault,
    Json,
    Kept,
    Problem,
    card_error,
    flag,
    listing,
    nested,
)

KEY: Final = "sk_test_of_the_local_server"
SECRET: Final = "whsec_of_the_local_server"

_IDS = itertools.count(1)
_CHECKED: Final = {
    ("POST", r"/v1/customers"): stripe.params.CustomerCreateParams,
    ("POST", r"/v1/customers/[^/]+"): stripe.params.CustomerUpdateParams,
    ("POST", r"/v1/setup_intents"): stripe.params.SetupIntentCreateParams,
    ("POST", r"/v1/payment_methods/[^/]+/attach"): stripe.params.PaymentMethodAttachParams,
    ("POST", r"/v1/payment_intents"): stripe.params.PaymentIntentCreateParams,
    ("POST", r"/v1/payment_intents/[^/]+/confirm"): stripe.params.PaymentIntentConfirmParams,
    ("POST", r"/v1/payment_intents/[^/]+/cancel"): stripe.params.PaymentIntentCancelParams,
    ("POST", r"/v1/refunds"): stripe.params.RefundCreateParams,
    ("POST", r"/v1/checkout/sessions"): stripe.params.checkout.SessionCreateParams,
    ("POST", r"/v1/billing_portal/sessions"): stripe.params.billing_portal.SessionCreateParams,
}


class Front:
    """The server. Tests hold it in their own process, so that they can look at its books and make things go wrong."""

    def __init__(self, inner: str, clock: Callable[[], dt.datetime]) -> None:
        self.inner_url = inner
        self.clock = clock
        self.url = ""
        self.secret = SECRET
        self.keys: dict[str, Kept] = {}
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self.events: list[Json] = []
        self.untold: list[Json] = []
        self.shown: dict[str, Json] = {}
        self.declines: dict[str, str] = {}
        self.customers: set[str] = set()
        self.refunds: dict[str, Json] = {}
        self.disputes: dict[str, Json] = {}
        self.sessions: dict[str, Json] = {}
        self.search_lags = False
        self.is_down = False
        self.delivered: set[str] = set()
        self.page = 3
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Awaitable[Json]]]] = [
            (method, re.compile(pattern), handler)
            for method, pattern, handler in (
                ("POST", r"/v1/customers", self._create_customer),
                ("POST", r"/v1/customers/([^/]+)", self._update_customer),
                ("POST", r"/v1/setup_intents", self._create_setup_intent),
                ("POST", r"/v1/payment_methods/([^/]+)/attach", self._attach),
                ("GET", r"/v1/payment_methods/([^/]+)", self._method),
                ("POST", r"/v1/payment_intents", self._create_intent),
                ("GET", r"/v1/payment_intents/search", self._search),
                ("GET", r"/v1/payment_intents/([^/]+)", self._retrieve_intent),
                ("POST", r"/v1/payment_intents/([^/]+)/confirm", self._confirm_intent),
                ("POST", r"/v1/payment_intents/([^/]+)/cancel", self._cancel_intent),
                ("GET", r"/v1/events", self._list_events),
                ("POST", r"/v1/refunds", self._create_refund),
                ("GET", r"/v1/refunds", self._list_refunds),
                ("GET", r"/v1/disputes", self._list_disputes),
                ("POST", r"/v1/checkout/sessions", self._create_session),
                ("GET", r"/v1/checkout/sessions", self._list_sessions),
                ("GET", r"/v1/checkout/sessions/([^/]+)", self._retrieve_session),
                ("POST", r"/v1/billing_portal/sessions", self._create_portal),
            )
        ]

    # --- the server ---

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"})
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        assert self._runner and self._session
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        params = nested(body or request.query_string)
        asked = Asked(
            request.method,
            request.path,
            request.headers.get("Idempotency-Key"),
            request.headers.get("Stripe-Version"),
            params,
        )
        self.asked.append(asked)
        fault = self._fault(asked)
        if fault == "before":
            return self._hang_up(request)
        try:
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                raise Problem(401, is_kept=False, message="Invalid API Key provided: sk_wro**ng")
            if fault == "limited":
                raise Problem(429, is_kept=False, code="rate_limit", message="Too many requests.")
            if fault == "error" or self.is_down:
                raise Problem(500, is_kept=False, type="api_error", message="Something went wrong.")
            if fault == "running":
                raise Problem(
                    409, is_kept=False, type="idempotency_error", code="idempotency_key_in_use", message="Busy."
                )
            status, answer = await self._once(asked, fault)
        except Problem as problem:
            status, answer = problem.status, {"error": problem.error}
        if fault == "lost":
            return self._hang_up(request)
        headers = {"Request-Id": f"req_{next(_IDS)}"}
        if asked.replayed:
            headers["Idempotent-Replayed"] = "true"
        return web.json_response(answer, status=status, headers=headers)

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=500)

    def _fault(self, asked: Asked) -> str | None:
        for fault in self.faults:
            if asked.method == "POST" and fault.on in asked.path:
                self.faults.remove(fault)
                return fault.kind
        return None

    async def _once(self, asked: Asked, fault: str | None) -> tuple[int, Json]:
        """The idempotency layer."""
        if asked.method != "POST" or asked.key is None:
            return 200, await self._execute(asked)
        fingerprint = json.dumps([asked.path, asked.params], sort_keys=True)
        kept = self.keys.get(asked.key)
        if kept is not None:
            if kept.asked != fingerprint:
                raise Problem(400, is_kept=False, type="idempotency_error", message="Other parameters, same key.")
            if kept.answer is None:
                raise Problem(
                    409, is_kept=False, type="idempotency_error", code="idempotency_key_in_use", message="Busy."
                )
            asked.replayed = True
            return kept.answer
        kept = self.keys[asked.key] = Kept(fingerprint)
        try:
            if fault == "kept_error":
                raise Problem(500, type="api_error", message="Something went wrong.")
            answer = 200, await self._execute(asked)
            if fault == "done_error":
                raise Problem(500, type="api_error", message="Something went wrong.")
        except Problem as problem:
            answer = problem.status, {"error": problem.error}
            if not problem.is_kept:
                del self.keys[asked.key]
                raise
        kept.answer = copy.deepcopy(answer)
        return answer

    def forget_keys(self) -> None:
        """A day has passed."""
        self.keys.clear()

    async def _execute(self, asked: Asked) -> Json:
        for (method, pattern), shape in _CHECKED.items():
            if asked.method == method and re.fullmatch(pattern, asked.path):
                unknown = set(asked.params) - set(shape.__annotations__)
                if unknown:
                    raise Problem(400, is_kept=False, code="parameter_unknown", message=f"Unknown: {unknown}")
                missing = shape.__required_keys__ - set(asked.params)
                if missing:
                    raise Problem(400, is_kept=False, code="parameter_missing", message=f"Missing: {missing}")
        for method, route, handler in self._routes:
            found = route.fullmatch(asked.path)
            if asked.method == method and found:
                return await handler(asked.params, *found.groups())
        raise Problem(404, is_kept=False, message=f"Unrecognized request URL ({asked.method}: {asked.path}).")

    async def inner(self, method: str, path: str, data: Json | None = None) -> Json:
        """Ask localstripe. Its errors get the form of Stripe's."""
        assert self._session is not None
        options: dict[str, Any] = {"json": data or {}} if method == "POST" else {}
        async with self._session.request(method, self.inner_url + path, **options) as response:
            answer: Json = await response.json()
        if response.status == 404:
            raise Problem(404, is_kept=False, code="resource_missing", message=f"No such object: {path}")
        if response.status >= 400:
            raise Problem(response.status, **answer["error"])
        return answer

    # --- customers and methods ---

    async def _create_customer(self, params: Json) -> Json:
        made = await self.inner("POST", "/v1/customers", params)
        self.customers.add(made["id"])
        self.tell("customer.created", made)
        return made

    async def _update_customer(self, params: Json, ref: str) -> Json:
        before = await self.inner("GET", f"/v1/customers/{ref}")
        settings = params.get("invoice_settings") or {}
        # localstripe takes fewer parts of an address, and would forget the default when others are set.
        sent = {name: value for name, value in params.items() if name in ("name", "email", "metadata")}
        if settings:
            sent["invoice_settings"] = before["invoice_settings"] | settings
        made = await self.inner("POST", f"/v1/customers/{ref}", sent or {"description": ""})
        changed = {name: before[name] for name in sent if before.get(name) != made.get(name)}
        self.tell("customer.updated", made, changed)
        return made

    async def _create_setup_intent(self, params: Json) -> Json:
        await self.inner("GET", f"/v1/customers/{params['customer']}")
        types = params.pop("allowed_payment_method_types", ["card"])
        return await self.inner("POST", "/v1/setup_intents", params | {"payment_method_types": types})

    async def _method(self, params: Json, ref: str) -> Json:
        return (await self.inner("GET", f"/v1/payment_methods/{ref}")) | self.shown.get(ref, {})

    async def _attach(self, params: Json, ref: str) -> Json:
        found = await self._method({}, ref)
        if found["customer"] not in (None, params["customer"]):
            raise Problem(400, message="The payment method is attached to another customer.")
        try:
            made = await self.inner("POST", f"/v1/payment_methods/{ref}/attach", params)
        except Problem as problem:
            if problem.status == 402:
                error = card_error("card_declined", "generic_decline", "Your card was declined.", found)
                raise Problem(402, **error) from None
            raise
        self.tell("payment_method.attached", made)
        return made

    async def new_card(self, number: str = "4242424242424242", year: int = 2031) -> str:
        """A card typed into the form in a browser, not anybody's yet."""
        card = {"number": number, "exp_month": 12, "exp_year": year, "cvc": "123"}
        return str((await self.inner("POST", "/v1/payment_methods", {"type": "card", "card": card}))["id"])

    async def new_account(self, iban: str = "DE89370400440532013000") -> str:
        """A bank account for SEPA debits, not anybody's yet."""
        data = {"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": {"name": "A"}}
        return str((await self.inner("POST", "/v1/payment_methods", data))["id"])

    async def finish_setup(self, client_secret: str, method: str) -> None:
        """What the browser does with a client secret: the method becomes the customer's."""
        ref = client_secret.split("_secret_")[0]
        intent = await self.inner("GET", f"/v1/setup_intents/{ref}")
        assert intent["client_secret"] == client_secret
        done = await self.inner("POST", f"/v1/setup_intents/{ref}/confirm", {"payment_method": method})
        await self._attach({"customer": intent["customer"]}, method)
        self.tell("setup_intent.succeeded", done | {"payment_method": method, "status": "succeeded"})

    async def detach(self, method: str) -> None:
        """The customer takes a method away, on the portal."""
        before = await self._method({}, method)
        made = await self.inner("POST", f"/v1/payment_methods/{method}/detach")
        self.tell("payment_method.detached", made, {"customer": before["customer"]})

    async def renew_card(self, method: str, last4: str, year: int) -> None:
        """The bank sent a new card, and the network told."""
        found = await self._method({}, method)
        self.shown[method] = {"card": found["card"] | {"last4": last4, "exp_year": year}}
        self.tell("payment_method.automatically_updated", await self._method({}, method), {"card": found["card"]})

    # --- payment intents ---

    async def _create_intent(self, params: Json) -> Json:
        if flag(params, "off_session") and not flag(params, "confirm"):
            raise Problem(400, is_kept=False, message="off_session needs confirm.")
        if int(params["amount"]) < 50:
            raise Problem(400, is_kept=False, code="amount_too_small", message="At least 50.")
        known = ("amount", "currency", "customer", "payment_method", "metadata")
        made = await self.inner("POST", "/v1/payment_intents", {name: params[name] for name in known if name in params})
        ref = made["id"]
        self.shown[ref] = {"description": params.get("description"), "created": int(self.clock().timestamp())}
        if flag(params, "confirm"):
            await self._confirm(ref, params["payment_method"], off_session=flag(params, "off_session"))
        return await self.intent(ref)

    async def intent(self, ref: str) -> Json:
        """As Stripe shows it now."""
        found = await self.inner("GET", f"/v1/payment_intents/{ref}")
        charge = found.pop("latest_charge")
        found.pop("charges", None)
        found["latest_charge"] = charge["id"] if charge else None
        return found | self.shown.get(ref, {})

    async def _confirm(self, ref: str, method: str, *, off_session: bool, return_url: str | None = None) -> None:
        """Confirm an intent: it is charged, refused, waits for the bank or for its customer."""
        found, intent = await self._method({}, method), await self.intent(ref)
        if found["customer"] != intent["customer"]:
            raise Problem(400, message="The payment method does not belong to this customer.")
        if found["type"] == "sepa_debit":
            if intent["currency"] != "eur":
                raise Problem(400, code="payment_method_invalid_parameter", message="SEPA debits are in euro.")
            await self._show(ref, "payment_intent.processing", status="processing", payment_method=method)
            return
        if found["card"]["last4"] in AUTHENTICATED_ENDINGS:
            if off_session:
                await self._fail(ref, "authentication_required", "authentication_required", found)
            page = {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": f"{self.url}/3ds/{ref}", "return_url": return_url},
            }
            await self._show(
                ref,
                "payment_intent.requires_action",
                status="requires_action",
                next_action=page,
                payment_method=method,
                last_payment_error=None,
            )
            return
        if method in self.declines:
            await self._fail(ref, "card_declined", self.declines[method], found)
        try:
            await self.inner("POST", f"/v1/payment_intents/{ref}/confirm")
        except Problem as problem:
            if problem.status != 402:
                raise
            await self._fail(ref, "card_declined", "generic_decline", found)
        await self._show(ref, "payment_intent.succeeded", status="succeeded", payment_method=method)

    async def _fail(self, ref: str, code: str, decline_code: str | None, method: Json, *, raises: bool = True) -> None:
        error = card_error(code, decline_code, "Your card was declined.", method)
        await self._show(
            ref,
            "payment_intent.payment_failed",
            status="requires_payment_method",
            last_payment_error=error,
            payment_method=None,
            next_action=None,
        )
        if raises:
            raise Problem(402, **error, payment_intent=await self.intent(ref))

    async def _show(self, ref: str, event: str, **shown: Any) -> None:
        self.shown.setdefault(ref, {}).update(shown)
        self.tell(event, await self.intent(ref))

    async def _confirm_intent(self, params: Json, ref: str) -> Json:
        intent = await self.intent(ref)
        if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
            raise Problem(400, code="payment_intent_unexpected_state", message=f"It is {intent['status']}.")
        await self._confirm(
            ref,
            params["payment_method"],
            off_session=flag(params, "off_session"),
            return_url=params.get("return_url"),
        )
        return await self.intent(ref)

    async def _cancel_intent(self, params: Json, ref: str) -> Json:
        intent = await self.intent(ref)
        if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
            raise Problem(400, code="payment_intent_unexpected_state", message=f"It is {intent['status']}.")
        await self._show(ref, "payment_intent.canceled", status="canceled", next_action=None)
        return await self.intent(ref)

    async def _retrieve_intent(self, params: Json, ref: str) -> Json:
        intent = await self.intent(ref)
        if "latest_charge" in params.get("expand", []) and intent["latest_charge"]:
            intent["latest_charge"] = await self.charge(intent["latest_charge"])
        return intent

    async def _search(self, params: Json) -> Json:
        name, value = re.fullmatch(r"metadata\['(\w+)'\]:'([^']+)'", params["query"]).groups()  # type: ignore[union-attr]
        mine = [await self.intent(ref) for ref in list(self.shown) if ref.startswith("pi_")]
        found = [one for one in mine if one["metadata"].get(name) == value and not self.search_lags]
        return listing("/v1/payment_intents/search", found) | {"object": "search_result"}

    async def authenticate(self, ref: str, *, agrees: bool = True) -> None:
        """What the customer does on the bank's page."""
        intent = await self.intent(ref)
        assert intent["status"] == "requires_action", intent["status"]
        method = await self._method({}, intent["payment_method"])
        if not agrees or method["id"] in self.declines:
            code = "card_declined" if agrees else "payment_intent_authentication_failure"
            await self._fail(ref, code, self.declines.get(method["id"]) if agrees else None, method, raises=False)
            return
        await self._charge_at_last(ref)
        await self._show(ref, "payment_intent.succeeded", status="succeeded", next_action=None)

    async def settle(self, ref: str, code: str | None = None) -> None:
        """Days later: a bank debit arrives, or with a `code` does not."""
        intent = await self.intent(ref)
        assert intent["status"] == "processing", intent["status"]
        if code is not None:
            method = await self._method({}, intent["payment_method"])
            await self._fail(ref, code, None, method, raises=False)
            return
        await self._charge_at_last(ref)
        await self._show(ref, "payment_intent.succeeded", status="succeeded")

    async def _charge_at_last(self, ref: str) -> None:
        confirmed = await self.inner("POST", f"/v1/payment_intents/{ref}/confirm")
        if confirmed["status"] == "requires_action":
            agreed = {"client_secret": confirmed["client_secret"], "success": True}
            await self.inner("POST", f"/v1/payment_intents/{ref}/_authenticate", agreed)

    # --- charges, refunds, disputes ---

    async def books(self) -> Books:
        """What localstripe says was charged to customers of this test, less bank debits that are on their way."""
        refs = {ref for ref, shown in self.shown.items() if shown.get("status") == "succeeded"}
        charges = (await self.inner("GET", "/v1/charges?limit=100000"))["data"]
        taken = [one for one in charges if one["customer"] in self.customers and one["status"] == "succeeded"]
        assert {one["payment_intent"] for one in taken} == refs
        return Books(taken, [one for one in self.refunds.values() if one["status"] != "failed"])

    async def charge(self, ref: str) -> Json:
        found = await self.inner("GET", f"/v1/charges/{ref}")
        mine = [one for one in self.refunds.values() if one["charge"] == ref and one["status"] != "failed"]
        refunded = sum(one["amount"] for one in mine)
        disputed = any(one["charge"] == ref for one in self.disputes.values())
        return found | {"amount_refunded": refunded, "refunded": refunded == found["amount"], "disputed": disputed}

    async def _create_refund(self, params: Json) -> Json:
        intent = await self.intent(params["payment_intent"])
        if intent["status"] != "succeeded":
            raise Problem(400, message="This payment has not succeeded.")
        charge = await self.charge(intent["latest_charge"])
        if charge["refunded"]:
            raise Problem(400, code="charge_already_refunded", message="It was refunded.")
        amount = int(params.get("amount", charge["amount"]))
        if amount > charge["amount"] - charge["amount_refunded"]:
            raise Problem(400, message="More than is left.")
        ref = f"re_{next(_IDS)}"
        self.refunds[ref] = {
            "id": ref,
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "payment_intent": intent["id"],
            "currency": intent["currency"],
            "metadata": params.get("metadata", {}),
            "status": "succeeded",
        }
        self.tell("refund.created", self.refunds[ref])
        self.tell("charge.refunded", await self.charge(charge["id"]))
        return self.refunds[ref]

    async def fail_refund(self, ref: str) -> None:
        """The bank sends the money back: the account is closed."""
        self.refunds[ref] |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}
        self.tell("refund.failed", self.refunds[ref])

    async def _list_refunds(self, params: Json) -> Json:
        mine = [one for one in self.refunds.values() if one["payment_intent"] == params["payment_intent"]]
        return listing("/v1/refunds", mine)

    async def dispute(self, intent_ref: str, amount: int | None = None) -> str:
        """The customer's bank takes the money back."""
        intent = await self.intent(intent_ref)
        ref = f"dp_{next(_IDS)}"
        self.disputes[ref] = {
            "id": ref,
            "object": "dispute",
            "amount": amount or int(intent["amount"]),
            "charge": intent["latest_charge"],
            "payment_intent": intent_ref,
            "status": "needs_response",
        }
        self.tell("charge.dispute.created", self.disputes[ref])
        return ref

    async def close_dispute(self, ref: str, *, won: bool) -> None:
        self.disputes[ref]["status"] = "won" if won else "lost"
        self.tell("charge.dispute.closed", self.disputes[ref])

    async def _list_disputes(self, params: Json) -> Json:
        mine = [one for one in self.disputes.values() if one["payment_intent"] == params["payment_intent"]]
        return listing("/v1/disputes", mine)

    # --- pages ---

    async def _create_session(self, params: Json) -> Json:
        ref = f"cs_test_{next(_IDS)}"
        line = params["line_items"][0]
        self.sessions[ref] = {
            "id": ref,
            "object": "checkout.session",
            "mode": params["mode"],
            "customer": params["customer"],
            "metadata": params.get("metadata", {}),
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "url": f"{self.url}/pay/{ref}",
            "amount_total": None,
            "_lines": params["line_items"],
            "_intent": params.get("payment_intent_data", {}),
        }
        assert line["price_data"]["unit_amount_decimal"]
        return self._session_shown(ref)

    def _session_shown(self, ref: str) -> Json:
        return {name: value for name, value in self.sessions[ref].items() if not name.startswith("_")}

    async def _list_sessions(self, params: Json) -> Json:
        wanted = {name: params[name] for name in ("customer", "status")}
        mine = [one for one in self.sessions.values() if wanted.items() <= one.items()]
        return listing("/v1/checkout/sessions", [self._session_shown(one["id"]) for one in mine])

    async def _retrieve_session(self, params: Json, ref: str) -> Json:
        if ref not in self.sessions:
            raise Problem(404, is_kept=False, code="resource_missing", message="No such session.")
        shown = self._session_shown(ref)
        if "line_items" in params.get("expand", []):
            lines = [{"object": "item", "quantity": int(one["quantity"])} for one in self.sessions[ref]["_lines"]]
            shown["line_items"] = listing(f"/v1/checkout/sessions/{ref}/line_items", lines)
        return shown

    async def pay(self, url: str, method: str, *, quantity: int | None = None) -> str | None:
        """What a customer does on the page of a checkout; the payment's id, None where the card was declined."""
        session = self.sessions[url.rsplit("/", 1)[1]]
        total = 0
        for place, line in enumerate(session["_lines"]):
            if quantity is not None and place == 0:
                assert line["adjustable_quantity"]["enabled"] == "true"
                line["quantity"] = str(quantity)
            total += int(line["quantity"]) * int(line["price_data"]["unit_amount_decimal"])
        currency = session["_lines"][0]["price_data"]["currency"]
        if (await self._method({}, method))["customer"] is None:
            await self._attach({"customer": session["customer"]}, method)
        intent = await self._create_intent(
            {"amount": total, "currency": currency, "customer": session["customer"], "payment_method": method}
            | session["_intent"]
        )
        with suppress(Problem):
            await self._confirm(intent["id"], method, off_session=False)
        status = (await self.intent(intent["id"]))["status"]
        if status not in ("succeeded", "processing"):
            return None
        paid = "paid" if status == "succeeded" else "unpaid"
        session |= {"payment_intent": intent["id"], "status": "complete", "payment_status": paid, "amount_total": total}
        self.tell("checkout.session.completed", self._session_shown(session["id"]))
        return str(intent["id"])

    async def settle_checkout(self, url: str, code: str | None = None) -> None:
        """Days later: the bank debit of a checkout arrives, or does not."""
        session = self.sessions[url.rsplit("/", 1)[1]]
        await self.settle(session["payment_intent"], code)
        if code is None:
            session["payment_status"] = "paid"
        end = "async_payment_failed" if code else "async_payment_succeeded"
        self.tell(f"checkout.session.{end}", self._session_shown(session["id"]))

    async def expire(self, url: str) -> None:
        """Nobody bought within a day."""
        session = self.sessions[url.rsplit("/", 1)[1]]
        session["status"] = "expired"
        self.tell("checkout.session.expired", self._session_shown(session["id"]))

    async def _create_portal(self, params: Json) -> Json:
        await self.inner("GET", f"/v1/customers/{params['customer']}")
        return {"object": "billing_portal.session", "url": f"{self.url}/portal/{next(_IDS)}?{urlencode(params)}"}

    # --- webhooks ---

    def tell(self, kind: str, about: Json, before: Json | None = None) -> Json:
        """Something happened: an event with the picture of this moment, to be delivered when the test says so."""
        event = {
            "id": f"evt_{next(_IDS)}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(self.clock().timestamp()),
            "type": kind,
            "livemode": False,
            "data": {"object": copy.deepcopy(about)} | ({"previous_attributes": before} if before is not None else {}),
        }
        self.events.append(event)
        self.untold.append(event)
        return event

    async def _list_events(self, params: Json) -> Json:
        """Those that were lost, the newest first."""
        assert params["delivery_success"] == "false"
        since = int(params["created"]["gte"])
        found = [one for one in reversed(self.events) if one["created"] >= since and one["id"] not in self.delivered]
        if "starting_after" in params:
            found = found[[one["id"] for one in found].index(params["starting_after"]) + 1 :]
        limit = min(int(params["limit"]), self.page)
        return listing("/v1/events", found[:limit]) | {"has_more": len(found) > limit}

    def take(self, *kinds: str) -> list[Json]:
        """Events that were not delivered yet, all or of these kinds; whoever takes them delivers or loses them."""
        taken = [event for event in self.untold if not kinds or event["type"] in kinds]
        self.untold = [event for event in self.untold if event not in taken]
        return taken

    def signed(self, event: Json, *, secret: str | None = None, at: dt.datetime | None = None) -> tuple[bytes, str]:
        """Body and `Stripe-Signature` of a webhook."""
        body = json.dumps(event, indent=2)
        stamp = int((at or self.clock()).timestamp())
        return body.encode(), WebhookSignature.generate_signature_header(body, secret or self.secret, stamp)
