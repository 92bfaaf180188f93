"""The page on which credits are bought: how many, what they cost with tax, and how they are paid (row D4; rule M26).

Whoever holds its signed link may buy for the workspace until the link expires. Without script: the price is told by
loading the page with a number of credits; what is bought then is what was told, once, however often the form is sent.
"""

from hashlib import sha256
from typing import Final

import msgspec

from tallystick.domain.billing.purchases import PAID, PENDING, price_of
from tallystick.domain.billing.references import creditor_reference, shown
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.texts import as_uuid
from tallystick.flows import buying, links
from tallystick.flows.budgets import Author
from tallystick.flows.buying import Quote
from tallystick.flows.links import Link
from tallystick.kernel.credits import NANO, format_credits, parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.queries import identity
from tallystick.queries import payments as overviews
from tallystick.queries import purchases as queries
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import ANYONE
from tallystick.surfaces.api.parsing import decode_query
from tallystick.surfaces.pages.frame import FORM, page, problem, see
from tallystick.surfaces.pages.payment import method_text

ROUTES = Routes("Pages")

_FORM_PURPOSE: Final = "checkout-form"
_LARGEST_FORM: Final = 4_000
_SUGGESTED: Final = 10
"""Times the least that may be bought: what the page begins with."""


class CheckoutPage(msgspec.Struct, kw_only=True):
    """`credits`: say what so many cost; `purchase`: show that one."""

    credits: str | None = None
    purchase: str | None = None


class CheckoutForm(msgspec.Struct, kw_only=True):
    """What the page's form sends: its own signature, and the number of credits whose price was shown."""

    token: str = ""
    credits: str = ""


@ROUTES.get(
    f"{buying.PAGE_PATH}/{{token}}",
    ANYONE,
    produces="text/html",
    answers={200: str, 400: str, 404: str, 410: str, 503: str},
    errors=("invalidAmount", "invalidLink", "linkExpired", "paymentProviderUnavailable", "purchaseNotFound"),
)
async def get_checkout_page(call: Call, token: str, query: CheckoutPage) -> Reply:
    """Our own page for buying credits, for whoever has its signed link."""
    try:
        link = await links.check(call.runtime.database, token, buying.PAGE_PURPOSE, now=call.received_at)
        if query.purchase is not None:
            return await _purchase_page(call, token, link, query.purchase)
        return await _choice_page(call, token, link, query.credits)
    except TallystickError as error:
        return problem(call, error)


@ROUTES.post(
    f"{buying.PAGE_PATH}/{{token}}",
    ANYONE,
    produces="text/html",
    answers={303: str, 400: str, 404: str, 410: str, 503: str},
    consumes={FORM: CheckoutForm},
    largest_body=_LARGEST_FORM,
    errors=("idempotencyConflict", "invalidAmount", "invalidLink", "linkExpired", "paymentProviderUnavailable"),
)
async def post_checkout_page(call: Call, token: str, body: bytes) -> Reply:
    """Buy what the page's form says. It carries a signature of its own, so that sending it twice buys once."""
    runtime = call.runtime
    try:
        link = await links.check(runtime.database, token, buying.PAGE_PURPOSE, now=call.received_at)
        form = decode_query(body, CheckoutForm)
        said = await links.check(runtime.database, form.token, _FORM_PURPOSE, now=call.received_at)
        if said.workspace_id != link.workspace_id:
            raise TallystickError("invalidLink", "This form belongs to another page. Open the page again.")
        now = await identity.clock_of(runtime.database, link.workspace_id) or call.received_at
        request = RequestKey(
            link.workspace_id, "checkout", said.subject, sha256(form.credits.encode()).digest(), call.received_at
        )
        author = Author(link.workspace_id, f"link:{buying.PAGE_PURPOSE}", request, now, call.ids)
        credits_ = parse_credits(form.credits, field="credits")
        purchase = await buying.buy(runtime.database, runtime.billing, credits_, author, on_page=True)
    except TallystickError as error:
        return problem(call, error)
    return see(f"{buying.PAGE_PATH}/{token}?purchase={purchase.id}")


async def _choice_page(call: Call, token: str, link: Link, asked: str | None) -> Reply:
    """How many: with a number its price, and the button that buys it."""
    billing, database = call.runtime.billing, call.runtime.database
    terms = billing.purchases
    overview = await overviews.overview(database, link.workspace_id, provider=billing.settings.payment_provider)
    now = await identity.clock_of(database, link.workspace_id) or call.received_at
    quote: Quote | None = None
    error: TallystickError | None = None
    if asked is not None:
        try:
            wanted = parse_credits(asked.strip(), field="credits")
            quote = await buying.quote(database, billing, link.workspace_id, wanted, now=now)
        except TallystickError as refused:
            if refused.code != "invalidAmount":
                raise
            error = refused
    form_link = Link(_FORM_PURPOSE, link.workspace_id, link.expires_at, str(call.ids.new(call.received_at)))
    return page(
        "checkout.html",
        status=200 if error is None else 400,
        seller=billing.seller.name,
        workspace=overview.workspace.name,
        credits=asked if asked is not None else format_credits(min(terms.least * _SUGGESTED, terms.most)),
        least=format_credits(terms.least),
        most=format_credits(terms.most),
        pack=_whole(terms.least),
        pack_price=(price_of(terms.least, terms.unit_price), terms.currency),
        quote=quote,
        quoted=None if quote is None else _whole(quote.credits),
        days=terms.days,
        by_transfer=overview.account.provider == "offline",
        method=method_text(overview.account.method),
        form_token=await links.sign(database, form_link, now=call.received_at, ids=call.ids),
        action=f"{buying.PAGE_PATH}/{token}",
        expires_at=link.expires_at,
        error=error,
    )


async def _purchase_page(call: Call, token: str, link: Link, asked: str) -> Reply:
    """What was bought, its invoice, and what is to be done so that it is paid."""
    billing, database = call.runtime.billing, call.runtime.database
    purchase_id = as_uuid(asked)
    if purchase_id is None:
        raise TallystickError("purchaseNotFound", "There is no such purchase.", id=asked[:64])
    found = await queries.one(database, link.workspace_id, purchase_id)
    overview = await overviews.overview(database, link.workspace_id, provider=billing.settings.payment_provider)
    here = f"{buying.PAGE_PATH}/{token}"
    pay_url = found.action_url
    by_transfer = found.provider == "offline"
    waits = found.purchase.status == PENDING and found.is_open
    if waits and not by_transfer and overview.account.method is None and pay_url is None:
        now = await identity.clock_of(database, link.workspace_id) or call.received_at
        pay_url = await buying.checkout(
            database,
            billing,
            link.workspace_id,
            purchase_id,
            return_url=f"{billing.public_url}{here}?purchase={purchase_id}",
            now=now,
            ids=call.ids,
        )
    return page(
        "bought.html",
        seller=billing.seller.name,
        contact=billing.seller.email,
        workspace=overview.workspace.name,
        zone=overview.workspace.zone,
        found=found,
        purchase=found.purchase,
        count=_whole(found.purchase.credits),
        is_paid=found.purchase.status == PAID,
        waits=waits,
        by_transfer=by_transfer,
        bank=billing.bank,
        reference=shown(creditor_reference(found.invoice_number or "")),
        pay_url=pay_url if waits else None,
        again=here,
        expires_at=link.expires_at,
    )


def _whole(nano: int) -> str:
    """`10,000` credits."""
    return f"{nano // NANO:,}"
