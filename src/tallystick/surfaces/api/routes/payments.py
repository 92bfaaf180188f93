"""Payment: the method on file, the page where it is changed, what was paid, and who pays."""

from typing import Final

from msgspec import UNSET, UnsetType

from tallystick.domain.billing.accounts import Account, Address, Details, Method
from tallystick.domain.identity.rights import BILLING_READ, BILLING_WRITE
from tallystick.domain.texts import check_key
from tallystick.flows import accounts, collecting, portal
from tallystick.queries import payments as queries
from tallystick.queries.payments import ShownPayment
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import payments as wire

ROUTES = Routes("Payments")

_SUBSCRIPTIONS: Final = "/v1/billing/subscriptions"


@ROUTES.get(f"{_SUBSCRIPTIONS}/creditCard", requires(BILLING_READ))
async def get_credit_card(call: Call) -> wire.CreditCardAnswer:
    """The card on file; `creditCard` is absent without one."""
    method = (await _account(call)).method
    if method is None or method.kind != "card":
        return wire.CreditCardAnswer()
    return wire.CreditCardAnswer(
        credit_card=wire.CreditCard(
            brand=method.brand, last4=method.last4, exp_month=method.exp_month, exp_year=method.exp_year
        )
    )


@ROUTES.post(
    f"{_SUBSCRIPTIONS}/portalSessions",
    requires(BILLING_WRITE),
    errors=("paymentProviderMisconfigured", "paymentProviderUnavailable", "subscriptionNotFound"),
)
async def create_portal_session(call: Call) -> wire.PortalSessionAnswer:
    """The address of a page where payment is seen and changed: the provider's, or our own, signed and good for
    `TALLY_PORTAL_SECONDS`."""
    url = await portal.portal_link(
        call.runtime.database,
        call.runtime.billing,
        call.workspace_id,
        base_url=base_url(call),
        now=call.now,
        real_now=call.received_at,
        ids=call.ids,
    )
    return wire.PortalSessionAnswer(portal_session=wire.PortalSession(url=url))


@ROUTES.post(
    f"{_SUBSCRIPTIONS}/setupIntent",
    requires(BILLING_WRITE),
    errors=(
        "failedToCreateSetupIntent",
        "paymentProviderMisconfigured",
        "paymentProviderUnavailable",
        "subscriptionNotFound",
    ),
)
async def create_setup_intent(call: Call) -> wire.SetupIntentAnswer:
    """A client secret with which a browser puts a card or bank account on file with the payment provider."""
    secret = await accounts.setup_intent(
        call.runtime.database, call.runtime.billing, call.workspace_id, now=call.now, ids=call.ids
    )
    key = call.runtime.settings.stripe_publishable_key
    return wire.SetupIntentAnswer(setup_intent=wire.SetupIntent(client_secret=secret, publishable_key=key))


@ROUTES.put(
    f"{_SUBSCRIPTIONS}/paymentMethod",
    requires(BILLING_WRITE),
    errors=(
        "invalidKey",
        "paymentMethodNotFound",
        "paymentMethodRefused",
        "paymentProviderMisconfigured",
        "paymentProviderUnavailable",
        "subscriptionNotFound",
    ),
)
async def put_payment_method(call: Call, body: wire.PutPaymentMethod) -> wire.PaymentMethodAnswer:
    """Make a method that the provider knows the one on file. New charges use it; what is past due is tried at once."""
    account = await accounts.attach_method(
        call.runtime.database,
        call.runtime.billing,
        call.workspace_id,
        check_key(body.payment_method_id, field="paymentMethodId"),
        actor=call.principal.actor,
        now=call.now,
        ids=call.ids,
    )
    await collecting.at_once(call.runtime.database, call.runtime.billing, call.workspace_id, now=call.now, ids=call.ids)
    return wire.PaymentMethodAnswer(payment_method=_method_on_wire(account.method))


@ROUTES.get("/v1/payments", requires(BILLING_READ))
async def list_payments(call: Call, query: wire.PaymentList) -> wire.PaymentsAnswer:
    """A page of the workspace's payments, the newest first; those of one invoice with `invoiceUuid`."""
    found = await queries.payments(
        call.runtime.database,
        call.workspace_id,
        invoice_id=query.invoice_uuid,
        limit=query.limit,
        offset=query.offset,
    )
    return wire.PaymentsAnswer(payments=[payment_on_wire(one) for one in found])


@ROUTES.get("/v1/billing/account", requires(BILLING_READ))
async def get_billing_account(call: Call) -> wire.BillingAccountAnswer:
    """Who pays: what invoices say of the buyer, and what is on file to pay with."""
    return wire.BillingAccountAnswer(account=_account_on_wire(await _account(call)))


@ROUTES.put(
    "/v1/billing/account",
    requires(BILLING_WRITE),
    errors=("invalidBillingDetails", "invalidTaxId"),
)
async def put_billing_account(call: Call, body: wire.PutBillingAccount) -> wire.BillingAccountAnswer:
    """Change what invoices from now on say of the buyer; those that are issued stay as they are."""
    account = await accounts.update_details(
        call.runtime.database,
        call.runtime.billing,
        call.workspace_id,
        _details(body),
        actor=call.principal.actor,
        now=call.now,
        ids=call.ids,
    )
    return wire.BillingAccountAnswer(account=_account_on_wire(account))


def base_url(call: Call) -> str:
    """The address that a link to our own pages begins with: as set, else as the caller reached us."""
    return call.runtime.settings.public_url or str(call.request.base_url).rstrip("/")


async def _account(call: Call) -> Account:
    provider = call.runtime.settings.payment_provider
    return await queries.account(call.runtime.database, call.workspace_id, provider=provider)


def _details(body: wire.PutBillingAccount) -> Details:
    address: Address | None = None
    if body.address is not UNSET:
        given = body.address or wire.BillingAddress()
        address = Address(given.line1, given.line2, given.city, given.postal_code, given.region)
    return Details(
        legal_name=_text(body.legal_name),
        email=_text(body.email),
        address=address,
        country=_text(body.country),
        tax_id=_text(body.tax_id),
        purchase_order=_text(body.purchase_order),
        locale=_text(body.locale),
    )


def _text(given: str | UnsetType | None) -> str | None:
    """None for what is left out; what is null is emptied."""
    return None if isinstance(given, UnsetType) else given or ""


def _account_on_wire(account: Account) -> wire.BillingAccount:
    address = account.address
    return wire.BillingAccount(
        workspace_uuid=account.workspace_id,
        legal_name=account.legal_name,
        email=account.email,
        address=wire.BillingAddress(
            line1=address.line1,
            line2=address.line2,
            city=address.city,
            postal_code=address.postal_code,
            region=address.region,
        ),
        country=account.country,
        tax_id=account.tax_id,
        purchase_order=account.purchase_order,
        locale=account.locale,
        currency=account.currency,
        provider=account.provider,
        payment_method=_method_on_wire(account.method),
    )


def _method_on_wire(method: Method | None) -> wire.PaymentMethod | None:
    if method is None:
        return None
    return wire.PaymentMethod(
        kind=method.kind,
        brand=method.brand,
        last4=method.last4,
        exp_month=method.exp_month,
        exp_year=method.exp_year,
    )


def payment_on_wire(shown: ShownPayment) -> wire.Payment:
    payment = shown.payment
    return wire.Payment(
        uuid=payment.id,
        invoice_uuid=payment.invoice_id,
        invoice_number=shown.invoice_number,
        provider=payment.provider,
        purpose=payment.purpose,
        status=payment.status,  # type: ignore[arg-type]
        amount=payment.amount_minor,
        refunded_amount=payment.refunded_minor,
        disputed_amount=payment.disputed_minor,
        currency=payment.currency,
        method=_method_on_wire(payment.method),
        error_code=payment.error_code,
        error_message=payment.error_message,
        action_url=payment.action_url,
        reference=payment.ref if payment.provider == "offline" else None,
        received_on=payment.received_on,
        created_at=payment.created_at,
        finished_at=payment.finished_at,
    )
