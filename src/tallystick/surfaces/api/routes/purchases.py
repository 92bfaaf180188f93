"""Bought credits: asked for, listed, given back; automatic top-up; what was earned by them (row D4; rule M26)."""

import datetime as dt
from decimal import Decimal
from typing import Final
from uuid import UUID

from tallystick.domain.billing import references, top_up
from tallystick.domain.billing.money import PPM
from tallystick.domain.billing.purchases import PENDING
from tallystick.domain.identity.rights import BILLING_READ, BILLING_WRITE
from tallystick.domain.metering.metrics import parse_range
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows import buying, due, revenue, topping_up
from tallystick.flows.budgets import Author
from tallystick.flows.buying import Quote
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import purchases as queries
from tallystick.queries import revenue as reports
from tallystick.queries import subscriptions
from tallystick.queries.purchases import ShownPurchase
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import OPERATOR, requires
from tallystick.surfaces.api.routes.billing import on_wire as subscription_on_wire
from tallystick.surfaces.api.routes.payments import base_url
from tallystick.wire import billing
from tallystick.wire import purchases as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Bought credits")

_READ: Final = requires(BILLING_READ)
_WRITE: Final = requires(BILLING_WRITE)
_DAYS_MOST: Final = 3_660


@ROUTES.post(
    "/v1/purchases",
    _WRITE,
    idempotent=True,
    answers={201: wire.PurchaseAnswer, 200: wire.QuoteAnswer},
    errors=(
        "currencyMismatch",
        "invalidAmount",
        "paymentMethodNotFound",
        "paymentProviderUnavailable",
        "subscriptionNotFound",
    ),
)
async def buy_credits(call: Call, query: wire.BuyQuery, body: wire.BuyCredits) -> Reply:
    """Buy credits with the method on file; with `preview=true` only say what they would cost, tax included.

    They are granted when the payment has succeeded: at once with a card, after days by bank debit or transfer. A
    payment that fails buys nothing, and its invoice is void.
    """
    runtime = call.runtime
    if query.preview:
        quote = await buying.quote(
            runtime.database, runtime.billing, call.workspace_id, body.credits.nano, now=call.now
        )
        return Reply(wire.QuoteAnswer(preview=quote_on_wire(quote)))
    bought = await buying.buy(runtime.database, runtime.billing, body.credits.nano, author(call, body))
    return Reply(await _answer(call, call.workspace_id, bought.id), status=201)


@ROUTES.post("/v1/billing/subscriptions/creditsCheckoutSessions", _WRITE, errors=("subscriptionNotFound",))
async def create_credits_checkout_session(call: Call) -> wire.CheckoutSessionAnswer:
    """The address of a page on which the quantity is chosen and bought, signed and good for `TALLY_PORTAL_SECONDS`.

    It shows price and tax before, then the invoice: it is charged to the method on file, or paid on the provider's
    page, or by bank transfer with the reference that stands there.
    """
    url = await buying.page_link(
        call.runtime.database,
        call.runtime.billing,
        call.workspace_id,
        base_url=base_url(call),
        real_now=call.received_at,
        ids=call.ids,
    )
    return wire.CheckoutSessionAnswer(checkout_session=wire.CheckoutSession(url=url))


@ROUTES.get("/v1/purchases", _READ)
async def list_purchases(call: Call, query: wire.PurchaseList) -> wire.PurchasesAnswer:
    """A page of the workspace's purchases, the newest first, failed ones with the reason."""
    found = await queries.page(
        call.runtime.database, call.workspace_id, status=query.status, limit=query.limit, offset=query.offset
    )
    return wire.PurchasesAnswer(purchases=[on_wire(call, one) for one in found])


@ROUTES.get("/v1/purchases/{uuid}", _READ, errors=("purchaseNotFound",))
async def get_purchase(call: Call, uuid: UUID) -> wire.PurchaseAnswer:
    """One purchase as it stands."""
    return await _answer(call, call.workspace_id, uuid)


@ROUTES.post(
    "/v1/purchases/{uuid}/refund",
    OPERATOR,
    status=200,
    idempotent=True,
    errors=(
        "invalidAmount",
        "invalidText",
        "nothingToRefund",
        "paymentProviderUnavailable",
        "purchaseNotFound",
        "purchaseNotOpen",
        "refundTooLarge",
        "workspaceNotFound",
    ),
)
async def refund_purchase(call: Call, uuid: UUID, body: wire.RefundPurchase) -> wire.PurchaseAnswer:
    """Give back credits that were not used: their grant's rest goes, a credit note is issued, the money goes back."""
    reason = check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION)
    asked = Author(
        body.workspace_uuid, call.principal.actor, call.request_key(body.workspace_uuid, body), call.now, call.ids
    )
    credits_ = None if body.credits is None else body.credits.nano
    await buying.refund(call.runtime.database, call.runtime.billing, uuid, credits_, reason, asked)
    return await _answer(call, body.workspace_uuid, uuid)


@ROUTES.put(
    "/v1/billing/subscriptions/topup",
    _WRITE,
    errors=("currencyMismatch", "invalidAmount", "paymentMethodNotFound", "subscriptionNotFound"),
)
async def put_topup(call: Call, body: wire.PutTopUp) -> billing.SubscriptionAnswer:
    """Switch automatic top-up on, with new figures, or off. It buys at once when the balance is below already."""
    runtime = call.runtime
    if not body.enabled:
        await topping_up.switch_off(runtime.database, runtime.billing, author(call, body))
    else:
        if body.credits_count is None or body.threshold is None:
            raise TallystickError(
                "invalidAmount", "Automatic top-up needs creditsCount and threshold.", field="creditsCount"
            )
        await topping_up.switch_on(
            runtime.database,
            runtime.billing,
            credits_=body.credits_count.nano,
            threshold=body.threshold.nano,
            daily_cap=None if body.daily_cap is None else body.daily_cap.nano,
            author=author(call, body),
        )
    await due.bring_up(runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await subscriptions.subscription(runtime.database, call.workspace_id)
    return billing.SubscriptionAnswer(subscription=subscription_on_wire(found))


@ROUTES.get("/v1/billing/topup", _READ)
async def get_topup(call: Call) -> wire.TopUpAnswer:
    """Automatic top-up: its figures, what it bought today, and why it stopped where it did."""
    found = await queries.top_up(call.runtime.database, call.workspace_id, now=call.now)
    top = found.account.top_up
    return wire.TopUpAnswer(
        topup=wire.ShownTopUp(
            state=top.state,  # type: ignore[arg-type]
            credits_count=None if top.credits is None else Credits(top.credits),
            threshold=None if top.threshold is None else Credits(top.threshold),
            daily_cap=Credits(top_up.cap_of(top.daily_cap, call.runtime.billing.purchases)),
            bought_today=Credits(found.bought_today),
            error=top.error,
        )
    )


@ROUTES.get("/v1/revenue", OPERATOR, errors=("invalidDate", "invalidRange", "rangeTooLong"))
async def get_revenue(call: Call, query: wire.RevenueQuery) -> wire.RevenueAnswer:
    """What bought credits came to, by UTC month and currency: sold, earned by use, expired, refunded, still deferred.

    What was used until now is recognised first. Without a range: this month and the eleven before.
    """
    today = call.now.astimezone(dt.UTC).date()
    since = query.from_ or today.replace(year=today.year - 1, day=1).isoformat()
    if query.from_ is None and today.month < 12:
        since = today.replace(year=today.year - 1, month=today.month + 1, day=1).isoformat()
    days = parse_range(since, query.to or today.isoformat(), days_max=_DAYS_MOST)
    await revenue.recognise(call.runtime.database, now=call.received_at, ids=call.ids)
    found = await reports.report(call.runtime.database, since=days.first, until=days.last)
    return wire.RevenueAnswer(
        months=[
            wire.RevenueMonth(
                month=f"{one.month:%Y-%m}",
                currency=one.currency,
                sold=one.sold,
                recognised=one.recognised,
                breakage=one.breakage,
                refunded=one.refunded,
                charged_back=one.charged_back,
                deferred=one.deferred,
                tax=one.tax,
            )
            for one in found
        ]
    )


def author(call: Call, body: object) -> Author:
    """Who asks, in the workspace that the request is about."""
    return Author(
        call.workspace_id, call.principal.actor, call.request_key(call.workspace_id, body), call.now, call.ids
    )


def quote_on_wire(quote: Quote) -> wire.Quote:
    return wire.Quote(
        credits=Credits(quote.credits),
        unit_price=_decimal(quote.unit_price),
        price=quote.price_minor,
        tax=quote.tax_minor,
        total=quote.total_minor,
        currency=quote.currency,
        taxes=[
            wire.TaxRow(
                name=tax.name,
                country=tax.country,
                rate=Credits(tax.rate_ppm * (100 * NANO // PPM)),
                amount=tax.amount_minor,
                reason=tax.reason,
            )
            for tax in quote.taxes
        ],
        expires_in_days=quote.expires_days,
    )


def on_wire(call: Call, shown: ShownPurchase) -> wire.Purchase:
    one = shown.purchase
    waits = one.status == PENDING and shown.is_open and shown.provider == "offline"
    bank = call.runtime.billing.bank
    transfer = None
    if waits and shown.invoice_number is not None:
        transfer = wire.Transfer(
            reference=references.creditor_reference(shown.invoice_number),
            due_at=shown.due_at,
            account=None if bank is None else "; ".join(filter(None, (bank.holder, bank.number, bank.bic, bank.bank))),
        )
    return wire.Purchase(
        uuid=one.id,
        workspace_uuid=one.workspace_id,
        status=one.status,  # type: ignore[arg-type]
        automatic=one.is_automatic,
        credits=Credits(one.credits),
        unit_price=_decimal(one.unit_price),
        price=one.price_minor,
        tax=one.tax_minor,
        total=one.total_minor,
        currency=one.currency,
        invoice_uuid=one.invoice_id,
        invoice_number=shown.invoice_number,
        grant_uuid=one.grant_id,
        expires_at=shown.expires_at,
        refunded_credits=Credits(one.taken),
        refunded=one.refunded_minor + one.refunded_tax_minor,
        action_url=shown.action_url if one.status == PENDING else None,
        transfer=transfer,
        error=one.error,
        created_at=one.created_at,
        finished_at=one.finished_at,
    )


def _decimal(value: Decimal) -> Credits:
    """A price with at most nine decimals, which the wire writes as a number with all its digits."""
    return Credits(int(value * NANO))


async def _answer(call: Call, workspace_id: UUID, purchase_id: UUID) -> wire.PurchaseAnswer:
    found = await queries.one(call.runtime.database, workspace_id, purchase_id)
    return wire.PurchaseAnswer(purchase=on_wire(call, found))
