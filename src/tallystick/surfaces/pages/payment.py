"""The payment page: what is owed and how to pay it, what was paid, and who pays (rows A10, D7).

Whoever holds its signed link may read it and change billing details until the link expires; nobody pays on it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from tallystick.domain.billing.accounts import Account, Address, Details, Method
from tallystick.domain.billing.invoices import PAST_DUE
from tallystick.domain.billing.payments import CANCELED, FAILED, SUCCEEDED
from tallystick.domain.billing.references import creditor_reference, shown
from tallystick.domain.telling import figures
from tallystick.flows import accounts, links, portal
from tallystick.flows.links import Link
from tallystick.kernel.errors import TallystickError
from tallystick.queries import identity
from tallystick.queries import payments as queries
from tallystick.queries.payments import Overview, ShownPayment
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import ANYONE
from tallystick.surfaces.api.parsing import decode_query
from tallystick.surfaces.pages.frame import FORM, day, page, problem, see

ROUTES = Routes("Pages")

_FORM_PURPOSE: Final = "payment-form"
_LARGEST_FORM: Final = 20_000
_STATES: Final[Mapping[str, tuple[str, str]]] = {
    SUCCEEDED: ("Paid", "ok"),
    FAILED: ("Failed", "low"),
    CANCELED: ("Canceled", "neutral"),
    "action_required": ("To be confirmed", "warn"),
}
_FIELDS: Final = {"address.line1": "line1", "address.line2": "line2", "address.city": "city"} | {
    "address.postalCode": "postalCode",
    "address.region": "region",
}


class BillingForm(msgspec.Struct, kw_only=True, rename="camel"):
    """The form as a browser sends it; what is empty is left out."""

    token: str = ""
    legal_name: str = ""
    email: str = ""
    line1: str = ""
    line2: str = ""
    postal_code: str = ""
    city: str = ""
    region: str = ""
    country: str = ""
    tax_id: str = ""
    purchase_order: str = ""


class PaymentPage(msgspec.Struct, kw_only=True):
    """`saved`: the form was sent and is stored."""

    saved: str | None = None


@ROUTES.get(
    f"{portal.PATH}/{{token}}",
    ANYONE,
    produces="text/html",
    answers={200: str, 404: str, 410: str},
    errors=("invalidLink", "linkExpired", "workspaceNotFound"),
)
async def get_payment_page(call: Call, token: str, query: PaymentPage) -> Reply:
    """Our own payment page, for whoever has its signed link."""
    try:
        link = await _check(call, token)
        return await _page(call, token, link, saved=query.saved is not None)
    except TallystickError as error:
        return problem(call, error)


@ROUTES.post(
    f"{portal.PATH}/{{token}}",
    ANYONE,
    produces="text/html",
    answers={303: str, 400: str, 404: str, 410: str},
    consumes={FORM: BillingForm},
    largest_body=_LARGEST_FORM,
    errors=("invalidBillingDetails", "invalidLink", "invalidTaxId", "linkExpired", "workspaceNotFound"),
)
async def put_payment_page(call: Call, token: str, body: bytes) -> Reply:
    """Store the billing details of the page's form. It carries a signature of its own, bound to the page's."""
    try:
        link = await _check(call, token)
        form = decode_query(body, BillingForm)
        said = await links.check(call.runtime.database, form.token, _FORM_PURPOSE, now=call.received_at)
        if said.workspace_id != link.workspace_id:
            raise TallystickError("invalidLink", "This form belongs to another page. Open the page again.")
        now = await identity.clock_of(call.runtime.database, link.workspace_id) or call.received_at
    except TallystickError as error:
        return problem(call, error)
    try:
        await accounts.update_details(
            call.runtime.database,
            call.runtime.billing,
            link.workspace_id,
            _details(form),
            actor=f"link:{portal.PURPOSE}",
            now=now,
            ids=call.ids,
        )
    except TallystickError as error:
        if error.code not in ("invalidBillingDetails", "invalidTaxId", "invalidText"):
            return problem(call, error)
        return await _page(call, token, link, form=form, error=error)
    return see(f"{portal.PATH}/{token}?saved=1")


async def _check(call: Call, token: str) -> Link:
    return await links.check(call.runtime.database, token, portal.PURPOSE, now=call.received_at)


async def _page(
    call: Call,
    token: str,
    link: Link,
    *,
    saved: bool = False,
    form: BillingForm | None = None,
    error: TallystickError | None = None,
) -> Reply:
    billing = call.runtime.billing
    overview = await queries.overview(
        call.runtime.database, link.workspace_id, provider=billing.settings.payment_provider
    )
    form_link = Link(_FORM_PURPOSE, link.workspace_id, link.expires_at)
    signed = await links.sign(call.runtime.database, form_link, now=call.received_at, ids=call.ids)
    wrong = "" if error is None else str(error.details.get("field", ""))
    owed = overview.owed
    return page(
        "payment.html",
        status=200 if error is None else 400,
        seller=billing.seller.name,
        contact=billing.seller.email,
        overview=overview,
        owed=owed,
        total=(sum(one.open_minor for one in owed), owed[0].currency) if owed else None,
        is_past_due=any(one.status == PAST_DUE for one in owed),
        by_transfer=overview.account.provider == "offline",
        references={one.id: shown(creditor_reference(one.number or "")) for one in owed},
        bank=billing.bank,
        method=method_text(overview.account.method),
        history=[_row(one, overview) for one in overview.payments],
        form=form or _form(overview.account),
        form_token=signed,
        action=f"{portal.PATH}/{token}",
        expires_at=link.expires_at,
        saved=saved,
        error=error,
        wrong=_FIELDS.get(wrong, wrong),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A payment as a line of the history."""

    day: str
    number: str | None
    how: str
    status: str
    tone: str
    why: str
    amount: str
    refunded: str


def _row(one: ShownPayment, overview: Overview) -> _Row:
    payment = one.payment
    status, tone = _STATES.get(payment.status, ("On its way", "open"))
    if payment.status == SUCCEEDED and payment.disputed_minor:
        status, tone = "Disputed", "warn"
    refunded = figures.money(payment.refunded_minor, payment.currency) if payment.refunded_minor else ""
    at: dt.datetime | dt.date = payment.received_on or payment.finished_at or payment.created_at
    return _Row(
        day=day(at, overview.workspace.zone),
        number=one.invoice_number,
        how=method_text(payment.method) or "Bank transfer",
        status=status,
        tone=tone,
        why=payment.error_message or "" if payment.status == FAILED else "",
        amount=figures.money(payment.amount_minor, payment.currency),
        refunded=refunded,
    )


def method_text(method: Method | None) -> str:
    """`Visa ending in 4242, 04/2027`."""
    if method is None:
        return ""
    kind = method.brand.title() if method.brand else "Card" if method.kind == "card" else "Bank account"
    ends = f", {method.exp_month:02d}/{method.exp_year}" if method.exp_month and method.exp_year else ""
    return f"{kind} ending in {method.last4}{ends}"


def _form(account: Account) -> BillingForm:
    address = account.address
    return BillingForm(
        legal_name=account.legal_name,
        email=account.email or "",
        line1=address.line1,
        line2=address.line2,
        postal_code=address.postal_code,
        city=address.city,
        region=address.region,
        country=account.country or "",
        tax_id=account.tax_id or "",
        purchase_order=account.purchase_order or "",
    )


def _details(form: BillingForm) -> Details:
    return Details(
        legal_name=form.legal_name,
        email=form.email,
        address=Address(form.line1, form.line2, form.city, form.postal_code, form.region),
        country=form.country,
        tax_id=form.tax_id,
        purchase_order=form.purchase_order,
    )
