"""The electronic form of an invoice: a CII document of Factur-X, profile EN 16931, for programs to read (row E13).

It says what was issued and never changes: what was paid later is not in it.
"""

import datetime as dt
import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from tallystick.domain.billing.accounts import BankAccount
from tallystick.domain.billing.documents import Document, iban_of
from tallystick.domain.billing.invoices import Line, Party, Tax
from tallystick.domain.billing.references import creditor_reference
from tallystick.kernel.credits import format_credits
from tallystick.kernel.currencies import decimal_text, exponent

FILE_NAME: Final = "factur-x.xml"
PROFILE: Final = "urn:cen.eu:en16931:2017"

_RSM: Final = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
_RAM: Final = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
_UDT: Final = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100"
_QDT: Final = "urn:un:unece:uncefact:data:standard:QualifiedDataType:100"
for _prefix, _name in (("rsm", _RSM), ("ram", _RAM), ("udt", _UDT), ("qdt", _QDT)):
    register_namespace(_prefix, _name)

INVOICE: Final = "380"
CREDIT_NOTE: Final = "381"
_ONE: Final = "C62"
_UNIT_CODES: Final = {
    "second": "SEC",
    "minute": "MIN",
    "hour": "HUR",
    "day": "DAY",
    "month": "MON",
    "year": "ANN",
    "byte": "AD",
}
"""Codes of UN/ECE Recommendation 20, by unit in the singular; all else is counted in `C62`, "one"."""

_CREDIT_TRANSFER: Final = "30"
_SEPA_TRANSFER: Final = "58"
_SETTLED_BETWEEN_PARTNERS: Final = "97"
_EXEMPTIONS: Final = {
    "AE": ("VATEX-EU-AE", "Reverse charge"),
    "O": ("VATEX-EU-O", "Not subject to VAT"),
    "E": (None, "Exempt from VAT"),
}
"""Of a tax category: the code of why nothing is charged, and the words where the invoice has none of its own."""

_VAT_ID: Final = re.compile(r"[A-Z]{2}[A-Z0-9+*.\-]{2,}")
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")
_SPACE: Final = re.compile(r"\s+")
_LONGEST: Final = 2_000


def obstacles(document: Document) -> list[str]:
    """What keeps a document from being an invoice by EN 16931, in words; nothing where it can be one.

    A document that can't be one has no electronic form, rather than one that claims what is not so.
    """
    invoice, seller, buyer = document.invoice, document.invoice.seller, document.invoice.buyer
    if seller is None or buyer is None:
        return ["seller and buyer are not known"]
    categories = {tax.category for tax in invoice.taxes}
    is_taxed = bool(categories - {"O"})
    net = document.sign * sum(line.amount_minor for line in document.lines)
    checks = (
        (exponent(invoice.currency) > 2, f"{invoice.currency.upper()} has three decimals, the standard two"),
        (not document.lines, "it has no lines"),
        (net != invoice.net_minor, "its lines do not sum to its net amount"),
        (not _text(seller.name), "the seller has no name"),
        (not _is_country(seller.country), "the seller has no country"),
        (not _text(buyer.name), "the buyer has no name"),
        (not _is_country(buyer.country), "the buyer has no country"),
        ("O" in categories and is_taxed, "it mixes what is subject to tax with what is not"),
        (is_taxed and not _is_vat_id(seller.tax_id), "the seller has no tax id"),
        ("AE" in categories and not buyer.tax_id, "the buyer, who is to pay the tax, has no tax id"),
        (not is_taxed and not (seller.tax_id or seller.email), "the seller has neither a tax id nor an e-mail address"),
    )
    return [text for is_so, text in checks if is_so]


def write(document: Document, bank: BankAccount | None = None) -> bytes:
    """The document as UTF-8 bytes of XML; see first that it has no `obstacles`."""
    root = Element(f"{{{_RSM}}}CrossIndustryInvoice")
    context = SubElement(root, f"{{{_RSM}}}ExchangedDocumentContext")
    _add(_in(context, "GuidelineSpecifiedDocumentContextParameter"), "ID", PROFILE)
    head = SubElement(root, f"{{{_RSM}}}ExchangedDocument")
    _add(head, "ID", document.number)
    _add(head, "TypeCode", CREDIT_NOTE if document.is_credit_note else INVOICE)
    _add_day(head, "IssueDateTime", document.day(document.issued_at).strftime("%Y%m%d"))
    if document.invoice.reason:
        _add(_in(head, "IncludedNote"), "Content", document.invoice.reason)
    trade = SubElement(root, f"{{{_RSM}}}SupplyChainTradeTransaction")
    for line in document.lines:
        _add_line(trade, document, line)
    _add_parties(trade, document)
    _add_delivery(trade, document)
    _add_settlement(trade, document, bank)
    return bytes(tostring(root, encoding="UTF-8", xml_declaration=True))


def _add_line(trade: Element, document: Document, line: Line) -> None:
    currency = document.invoice.currency
    quantity, price = _factors(document.sign, line, currency)
    item = _in(trade, "IncludedSupplyChainTradeLineItem")
    _add(_in(item, "AssociatedDocumentLineDocument"), "LineID", str(line.position))
    product = _in(item, "SpecifiedTradeProduct")
    _add(product, "Name", _text(line.description) or line.kind)
    for name, value in (("category", line.details.get("category")), ("credits", _credits(line))):
        if value:
            told = _in(product, "ApplicableProductCharacteristic")
            _add(told, "Description", name)
            _add(told, "Value", str(value))
    agreed = _in(item, "SpecifiedLineTradeAgreement")
    _add(_in(agreed, "NetPriceProductTradePrice"), "ChargeAmount", f"{price:f}")
    delivered = _in(item, "SpecifiedLineTradeDelivery")
    unit = _UNIT_CODES.get(line.unit.lower().removesuffix("s"), _ONE)
    _add(delivered, "BilledQuantity", f"{quantity:f}", unitCode=unit)
    settled = _in(item, "SpecifiedLineTradeSettlement")
    _add_tax_kind(settled, line.tax_category, line.tax_rate_ppm)
    if line.period_start and line.period_end:
        _add_period(settled, document, line.period_start, line.period_end)
    total = _in(settled, "SpecifiedTradeSettlementLineMonetarySummation")
    _add(total, "LineTotalAmount", decimal_text(document.sign * line.amount_minor, currency))


def _factors(sign: int, line: Line, currency: str) -> tuple[Decimal, Decimal]:
    """Quantity and price in whole units of the currency. A price is never negative, and its product is the amount:
    where that is not so, the line is one piece at its amount."""
    amount = sign * line.amount_minor
    quantity, price = line.quantity, line.unit_price
    if price < 0 or sign < 0:
        quantity, price = (-quantity if (price < 0) != (sign < 0) else quantity), abs(price)
    product = (quantity * price).quantize(Decimal(1), ROUND_HALF_EVEN)
    if product != amount or (amount and not quantity):
        quantity, price = Decimal(-1 if amount < 0 else 1), Decimal(abs(amount))
    return _plain(quantity), _plain(price.scaleb(-exponent(currency)))


def _add_parties(trade: Element, document: Document) -> None:
    invoice = document.invoice
    agreed = _in(trade, "ApplicableHeaderTradeAgreement")
    if invoice.seller is None or invoice.buyer is None:
        raise AssertionError("an issued invoice has a seller and a buyer")
    # Outside the scope of the tax nobody's tax id may be named as such.
    is_taxed = any(tax.category != "O" for tax in invoice.taxes)
    _add_party(agreed, "SellerTradeParty", invoice.seller, is_taxed=is_taxed)
    _add_party(agreed, "BuyerTradeParty", invoice.buyer, is_taxed=is_taxed)
    if invoice.buyer.reference:
        _add(_in(agreed, "BuyerOrderReferencedDocument"), "IssuerAssignedID", invoice.buyer.reference)


def _add_party(agreed: Element, role: str, party: Party, *, is_taxed: bool) -> None:
    node = _in(agreed, role)
    as_vat = is_taxed and _is_vat_id(party.tax_id)
    if not party.tax_id and party.email and role == "SellerTradeParty":
        _add(node, "ID", party.email)
    _add(node, "Name", party.name)
    if party.tax_id and not as_vat:
        _add(_in(node, "SpecifiedLegalOrganization"), "ID", party.tax_id)
    place, address = _in(node, "PostalTradeAddress"), party.address
    _add(place, "PostcodeCode", address.postal_code)
    _add(place, "LineOne", address.line1)
    _add(place, "LineTwo", address.line2)
    _add(place, "CityName", address.city)
    _add(place, "CountryID", party.country.upper())
    _add(place, "CountrySubDivisionName", address.region)
    if party.email:
        _add(_in(node, "URIUniversalCommunication"), "URIID", party.email, schemeID="EM")
    if party.tax_id and as_vat:
        _add(_in(node, "SpecifiedTaxRegistration"), "ID", _tight(party.tax_id), schemeID="VA")


def _add_delivery(trade: Element, document: Document) -> None:
    """When it was supplied: by the end of the period, or when it was invoiced."""
    end = document.invoice.period_end
    day = document.last_day(end) if end else document.day(document.issued_at)
    event = _in(_in(trade, "ApplicableHeaderTradeDelivery"), "ActualDeliverySupplyChainEvent")
    _add_day(event, "OccurrenceDateTime", day.strftime("%Y%m%d"))


def _add_settlement(trade: Element, document: Document, bank: BankAccount | None) -> None:
    invoice = document.invoice
    settled = _in(trade, "ApplicableHeaderTradeSettlement")
    _add(settled, "PaymentReference", creditor_reference(document.number))
    _add(settled, "InvoiceCurrencyCode", invoice.currency.upper())
    # What is due at once is taken from a method on file: a program must not transfer it, too.
    is_collected = invoice.due_at is not None and invoice.due_at <= document.issued_at
    _add_means(settled, None if document.is_credit_note or is_collected else bank)
    for tax in invoice.taxes:
        _add_tax(settled, tax, invoice.currency)
    if invoice.period_start and invoice.period_end:
        _add_period(settled, document, invoice.period_start, invoice.period_end)
    terms = _in(settled, "SpecifiedTradePaymentTerms")
    if document.is_credit_note:
        _add(terms, "Description", "Credited")
    else:
        _add_day(terms, "DueDateDateTime", document.day(invoice.due_at or document.issued_at).strftime("%Y%m%d"))
    _add_sums(settled, document)
    if document.corrected is not None:
        earlier = _in(settled, "InvoiceReferencedDocument")
        _add(earlier, "IssuerAssignedID", document.corrected.number)
        day = document.day(document.corrected.issued_at).strftime("%Y%m%d")
        _add_day(earlier, "FormattedIssueDateTime", day, _QDT)


def _add_means(settled: Element, bank: BankAccount | None) -> None:
    means = _in(settled, "SpecifiedTradeSettlementPaymentMeans")
    if bank is None:
        _add(means, "TypeCode", _SETTLED_BETWEEN_PARTNERS)
        return
    iban = iban_of(bank)
    _add(means, "TypeCode", _SEPA_TRANSFER if iban else _CREDIT_TRANSFER)
    account = _in(means, "PayeePartyCreditorFinancialAccount")
    _add(account, "IBANID", iban or "")
    _add(account, "AccountName", bank.holder)
    _add(account, "ProprietaryID", "" if iban else bank.number)
    if bank.bic:
        _add(_in(means, "PayeeSpecifiedCreditorFinancialInstitution"), "BICID", "".join(bank.bic.split()).upper())


def _add_tax(settled: Element, tax: Tax, currency: str) -> None:
    node = _in(settled, "ApplicableTradeTax")
    code, words = _EXEMPTIONS.get(tax.category, (None, ""))
    _add(node, "CalculatedAmount", decimal_text(tax.amount_minor, currency))
    _add(node, "TypeCode", "VAT")
    if words:
        _add(node, "ExemptionReason", tax.reason or words)
    _add(node, "BasisAmount", decimal_text(tax.base_minor, currency))
    _add(node, "CategoryCode", tax.category)
    if code:
        _add(node, "ExemptionReasonCode", code)
    if tax.category != "O":
        _add(node, "RateApplicablePercent", _percent(tax.rate_ppm))


def _add_tax_kind(settled: Element, category: str, rate_ppm: int) -> None:
    node = _in(settled, "ApplicableTradeTax")
    _add(node, "TypeCode", "VAT")
    _add(node, "CategoryCode", category)
    if category != "O":
        _add(node, "RateApplicablePercent", _percent(rate_ppm))


def _add_sums(settled: Element, document: Document) -> None:
    invoice = document.invoice
    currency = invoice.currency
    # Only what was paid before it was issued was paid "in advance"; what comes later does not change the invoice.
    is_prepaid = invoice.paid_at is not None and invoice.paid_at <= document.issued_at
    prepaid = invoice.total_minor if is_prepaid and invoice.total_minor > 0 else 0
    sums = _in(settled, "SpecifiedTradeSettlementHeaderMonetarySummation")
    _add(sums, "LineTotalAmount", decimal_text(invoice.net_minor, currency))
    _add(sums, "TaxBasisTotalAmount", decimal_text(invoice.net_minor, currency))
    _add(sums, "TaxTotalAmount", decimal_text(invoice.tax_minor, currency), currencyID=currency.upper())
    _add(sums, "GrandTotalAmount", decimal_text(invoice.total_minor, currency))
    if prepaid:
        _add(sums, "TotalPrepaidAmount", decimal_text(prepaid, currency))
    _add(sums, "DuePayableAmount", decimal_text(invoice.total_minor - prepaid, currency))


def _add_period(parent: Element, document: Document, start: dt.datetime, end: dt.datetime) -> None:
    period = _in(parent, "BillingSpecifiedPeriod")
    first = document.day(start)
    _add_day(period, "StartDateTime", first.strftime("%Y%m%d"))
    _add_day(period, "EndDateTime", max(first, document.last_day(end)).strftime("%Y%m%d"))


def _add_day(parent: Element, name: str, day: str, space: str = _UDT) -> None:
    SubElement(_in(parent, name), f"{{{space}}}DateTimeString", format="102").text = day


def _in(parent: Element, name: str) -> Element:
    return SubElement(parent, f"{{{_RAM}}}{name}")


def _add(parent: Element, name: str, text: str, **attributes: str) -> None:
    """A child with a text; none where the text is empty, since the standard has no empty elements."""
    cleaned = _text(text)
    if cleaned:
        SubElement(parent, f"{{{_RAM}}}{name}", attributes).text = cleaned


def _text(text: str) -> str:
    """A text as XML may hold it, on one line; characters that XML has no way to write are left out."""
    return _SPACE.sub(" ", _NOT_XML.sub("", text)).strip()[:_LONGEST]


def _credits(line: Line) -> str | None:
    return None if line.credits is None else format_credits(line.credits)


def _percent(ppm: int) -> str:
    return f"{_plain(Decimal(ppm).scaleb(-4)):f}"


def _plain(value: Decimal) -> Decimal:
    """Without zeros at the end of its decimals, and without an exponent."""
    shortened = value.normalize()
    return shortened if shortened else Decimal(0)


def _tight(text: str) -> str:
    return "".join(text.split()).upper()


def _is_country(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isalpha()


def _is_vat_id(tax_id: str | None) -> bool:
    return tax_id is not None and _VAT_ID.fullmatch(_tight(tax_id)) is not None
