"""Letters about money: invoices, payments, what follows when none comes, purchases (rows D6, D7, D11; rules M24, M26).

Each says the amount, what it is for, what happens next and when, and one way on. Money is as people read it, days are
those of the workspace's zone.
"""

from collections.abc import Mapping
from typing import Any

from tallystick.domain.telling import figures
from tallystick.domain.telling.facts import Fact
from tallystick.domain.telling.letters import (
    Circumstances,
    Detail,
    Draft,
    Figure,
    Tone,
    date,
    minor,
    name,
    pay,
    text,
)

_PAY_ON = "Update payment"


def invoice_issued(fact: Fact, about: Circumstances) -> Draft:
    """An invoice, by which way it is paid."""
    number, open_amount = _number(fact), money(fact, "openAmount")
    due = date(fact.data, "dueAt", about.zone)
    draft = draft_of(
        fact, about, f"Invoice {number} for {name(about.workspace)}", f"Invoice {number}", "note", "Invoice"
    )
    if about.method:
        draft.paragraphs.append(f"{open_amount} is collected from {about.method} on its own; there is nothing to do.")
        draft.steps.append("Read the invoice, and write to us where something in it is not right.")
        draft.way_on = read(fact, about)
    else:
        by = f" by {due}" if due else ""
        draft.paragraphs.append(f"Please transfer {open_amount}{by}, and give {number} as the reference.")
        draft.steps.append(f"Transfer {open_amount} to the account that stands on the invoice; reference {number}.")
        draft.steps.append("Or put a card or bank account on file, from which later invoices are collected.")
        draft.way_on = read(fact, about) or pay(about, "Pay")
    return draft


def invoice_paid(fact: Fact, about: Circumstances) -> Draft:
    """The receipt."""
    number = _number(fact)
    draft = draft_of(
        fact, about, f"Receipt: {money(fact, 'amount')} for {number}", f"{money(fact, 'amount')} paid", "good", "Paid"
    )
    paid = figures.date(fact.at, about.zone)
    draft.paragraphs.append(f"Invoice {number} of {name(about.workspace)} is paid since {paid}. Thank you.")
    draft.steps.append("Keep this mail as the receipt; the invoice itself stays among your invoices.")
    draft.way_on = read(fact, about)
    return draft


def past_due(fact: Fact, about: Circumstances) -> Draft:
    """Nothing came by the due date; of an attempt that failed `payment_failed` tells."""
    return _unpaid(fact, about, "is past due")


def reminder(fact: Fact, about: Circumstances) -> Draft:
    """The schedule's days go by."""
    return _unpaid(fact, about, "is still unpaid")


def uncollectible(fact: Fact, about: Circumstances) -> Draft:
    """It was written off."""
    number = _number(fact)
    draft = draft_of(
        fact,
        about,
        f"Invoice {number} of {name(about.workspace)} was written off",
        f"Invoice {number} was written off",
        "alarm",
        "Written off",
    )
    draft.paragraphs.append(
        f"{money(fact, 'amount')} was asked for many times and did not come. We ask no longer; new runs stay paused."
    )
    draft.steps.append(f"To go on, pay {number} or contact {about.support}.")
    draft.way_on = pay(about, "Pay invoice")
    return draft


def voided(fact: Fact, about: Circumstances) -> Draft:
    """Nothing is to be paid for it."""
    number = _number(fact)
    draft = draft_of(
        fact,
        about,
        f"Invoice {number} of {name(about.workspace)} was voided",
        f"Invoice {number} was voided",
        "note",
        "Void",
    )
    draft.paragraphs.append(f"Nothing is to be paid for invoice {number} of {money(fact, 'amount')}.{_why(fact)}")
    draft.steps.append("Keep the invoice and this mail together; there is nothing to do.")
    return draft


def credit_note(fact: Fact, about: Circumstances) -> Draft:
    """A credit note corrects an invoice."""
    number, amount = _number(fact), money(fact, "amount")
    corrected = text(fact.data, "invoiceNumber")
    draft = draft_of(
        fact,
        about,
        f"Credit note {number} for {name(about.workspace)}",
        f"Credit note {number}: {amount}",
        "note",
        "Credit note",
    )
    of_it = f" invoice {corrected}" if corrected else " an invoice"
    draft.paragraphs.append(
        f"It takes {amount} off{of_it}.{_why(fact)} Where that was paid already, contact {about.support} about how you "
        "get it back."
    )
    draft.steps.append("Keep the credit note with its invoice.")
    draft.way_on = read(fact, about)
    return draft


def payment_failed(fact: Fact, about: Circumstances) -> Draft:
    """What the bank said, when it is tried again, what stops when."""
    amount, again = money(fact, "amount"), date(fact.data, "nextAttemptAt", about.zone)
    number, stops = text(fact.data, "invoiceNumber"), date(fact.data, "stopsAt", about.zone)
    method = method_text(fact.data.get("method"))
    draft = draft_of(
        fact,
        about,
        f"Payment of {amount} by {name(about.workspace)} failed",
        f"Your bank declined {amount}",
        "warning",
        "Payment failed",
        amount_key="amount",
    )
    why = text(fact.data, "errorMessage")
    said = f" The answer was: {why}" if why else ""
    draft.paragraphs.append(f"We could not collect {amount}{f' for {number}' if number else ''} from {method}.{said}")
    draft.paragraphs.append(f"We try again {again}." if again else "We do not try again by ourselves.")
    if stops:
        draft.paragraphs.append(_stops(stops))
    draft.steps.append("Put another card or bank account on file: what is past due is collected from it at once.")
    draft.steps.append("Or ask your bank why it declined, and let us try again.")
    draft.way_on = pay(about, _PAY_ON)
    return draft


def action_required(fact: Fact, about: Circumstances) -> Draft:
    """The bank wants its customer to confirm."""
    amount = money(fact, "amount")
    draft = draft_of(
        fact,
        about,
        f"Confirm a payment of {amount} by {name(about.workspace)}",
        f"Your bank wants you to confirm {amount}",
        "warning",
        "To confirm",
        amount_key="amount",
    )
    draft.paragraphs.append(f"{amount} is paid as soon as you confirm it to your bank.")
    draft.steps.append("Confirm the payment on your bank's page.")
    draft.steps.append("Or put another card or bank account on file: what is past due is collected from it at once.")
    address = text(fact.data, "actionUrl")
    draft.way_on = ("Confirm payment", address) if address and address.startswith("https://") else pay(about, _PAY_ON)
    return draft


def refunded(fact: Fact, about: Circumstances) -> Draft:
    """Money was given back."""
    amount = money(fact, "refundedAmount")
    draft = draft_of(
        fact,
        about,
        f"{amount} was refunded to {name(about.workspace)}",
        f"{amount} refunded",
        "note",
        "Refund",
        amount_key="refundedAmount",
    )
    draft.paragraphs.append(
        f"{amount} goes back to {method_text(fact.data.get('method'))}. Banks take up to ten days to show it."
    )
    draft.steps.append("Look for it on your statement; contact us if it is not there after ten days.")
    return draft


def disputed(fact: Fact, about: Circumstances) -> Draft:
    """A payment was taken back at the bank."""
    amount = money(fact, "disputedAmount")
    draft = draft_of(
        fact,
        about,
        f"A payment of {amount} by {name(about.workspace)} was disputed",
        f"{amount} was disputed at your bank",
        "alarm",
        "Disputed",
        amount_key="disputedAmount",
    )
    draft.paragraphs.append(
        f"Your bank took {amount} back. What it paid for counts as unpaid until this is cleared; credits bought with "
        "it were taken back."
    )
    draft.steps.append(f"Contact {about.support} if this was not meant, or pay again.")
    draft.way_on = pay(about, _PAY_ON)
    return draft


def method_text(shown_method: object) -> str:
    """A method as part of a sentence: `your Visa card ending in 4242`."""
    if not isinstance(shown_method, Mapping):
        return "your payment method"
    data: Mapping[str, Any] = shown_method
    brand, last4 = text(data, "brand") or "", text(data, "last4") or ""
    word = "bank account" if data.get("kind") == "bank" else "card"
    called = f"{name(brand).replace('_', ' ').title()} " if brand else ""
    return f"your {called}{word}{f' ending in {name(last4)}' if last4 else ''}"


def _unpaid(fact: Fact, about: Circumstances, how: str) -> Draft:
    number, amount = _number(fact), money(fact, "openAmount")
    due, stops = date(fact.data, "dueAt", about.zone), date(fact.data, "stopsAt", about.zone)
    draft = draft_of(
        fact,
        about,
        f"Invoice {number} of {name(about.workspace)} {how}",
        f"Invoice {number} {how}",
        "warning",
        "Past due",
        amount_key="openAmount",
    )
    draft.paragraphs.append(f"Invoice {number} ({amount}) was due{f' {due}' if due else ''}, and nothing has come yet.")
    if stops:
        draft.paragraphs.append(_stops(stops))
    draft.steps.append(f"Pay {amount}: by transfer with {number} as the reference, or from a card or bank account.")
    draft.steps.append(f"If you have paid already, contact {about.support}.")
    draft.way_on = pay(about, "Pay invoice")
    return draft


def _stops(when: str) -> str:
    return (
        f"Everything goes on until {when}. From then on new runs are paused until it is paid; agents and workflows are "
        "kept, and all resumes at once with the payment."
    )


def draft_of(
    fact: Fact,
    about: Circumstances,
    subject: str,
    headline: str,
    tone: Tone,
    label: str,
    *,
    amount_key: str | None = "amount",
) -> Draft:
    """What all of them have: the amount, the document, its period, and whose it is."""
    draft = Draft(subject, headline, tone, label, may_top_up=False)
    if amount_key is not None:
        draft.figures.append(Figure("Amount", money(fact, amount_key)))
    tax = minor(fact.data, "taxAmount")
    if tax:
        draft.figures.append(Figure("Of it tax", figures.money(tax, _currency(fact))))
    number = text(fact.data, "number") or text(fact.data, "invoiceNumber")
    start, end = (date(fact.data, key, about.zone) for key in ("periodStart", "periodEnd"))
    due = date(fact.data, "dueAt", about.zone)
    draft.details += [
        *([Detail("Number", number)] if number else []),
        *([Detail("Period", f"{start} to {end}")] if start and end else []),
        *([Detail("Due", due)] if due and minor(fact.data, "openAmount") else []),
        *([Detail("Payment method", method_text(fact.data["method"])[5:])] if fact.data.get("method") else []),
        Detail("Workspace", name(about.workspace)),
    ]
    return draft


def _number(fact: Fact) -> str:
    return name(text(fact.data, "number") or text(fact.data, "invoiceNumber") or "without a number")


def _currency(fact: Fact) -> str:
    return text(fact.data, "currency") or "usd"


def money(fact: Fact, key: str) -> str:
    """Money of a fact as part of a sentence."""
    amount = minor(fact.data, key)
    return "what is open" if amount is None else figures.money(amount, name(_currency(fact)))


def _why(fact: Fact) -> str:
    why = text(fact.data, "reason")
    return f" The reason: {name(why)}." if why else ""


def read(fact: Fact, about: Circumstances) -> tuple[str, str] | None:
    """Where the invoice is read; its address comes with the fact's circumstances."""
    address = about.invoice_urls.get(text(fact.data, "invoiceUuid") or "")
    return ("Read the invoice", address) if address else None
