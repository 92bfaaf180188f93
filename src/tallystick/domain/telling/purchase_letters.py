"""Letters about bought credits, automatic top-up, and what is on file to pay with (rows D4, D7; rules M24, M26)."""

from tallystick.domain.telling import figures
from tallystick.domain.telling.billing_letters import draft_of, method_text, money, read
from tallystick.domain.telling.facts import Fact
from tallystick.domain.telling.letters import Circumstances, Draft, date, name, nano, pay, shown, text


def purchased(fact: Fact, about: Circumstances) -> Draft:
    """Bought credits are there; their receipt."""
    return _bought(fact, about, "bought", "Thank you for buying credits.")


def top_up_succeeded(fact: Fact, about: Circumstances) -> Draft:
    """Automatic top-up bought credits; their receipt."""
    why = "Your balance fell below what you set, so automatic top-up bought more."
    return _bought(fact, about, "added by automatic top-up", why)


def top_up_stopped(fact: Fact, about: Circumstances) -> Draft:
    """It failed, and does not try again by itself."""
    draft = draft_of(
        fact,
        about,
        f"Automatic top-up of {name(about.workspace)} has stopped",
        "Automatic top-up has stopped",
        "warning",
        "Stopped",
        amount_key="amount",
    )
    why = (text(fact.data, "error") or "").rstrip(".")
    draft.paragraphs.append(
        f"A payment failed{f': {why}' if why else ''}. Nothing was charged, and no credits were added."
    )
    draft.paragraphs.append(
        f"{figures.amount(about.credits.posted)} credits are left. When none are, new runs, model calls and "
        "deployments are refused."
    )
    draft.figures.append(shown("Credits remaining", about.credits.posted))
    draft.steps.append("Put another card or bank account on file: top-up then goes on by itself.")
    draft.steps.append("Or buy credits, and switch top-up on again.")
    draft.way_on = pay(about, "Update payment")
    return draft


def method_updated(fact: Fact, about: Circumstances) -> Draft:
    """Another card or bank account, or none."""
    is_there = fact.data.get("method") is not None
    what = method_text(fact.data.get("method"))
    draft = draft_of(
        fact,
        about,
        f"Payment method of {name(about.workspace)} {'changed' if is_there else 'removed'}",
        f"{what[0].upper()}{what[1:]} is on file" if is_there else "No payment method is on file",
        "note",
        "Payment method",
        amount_key=None,
    )
    if is_there:
        draft.paragraphs.append(
            f"New charges are collected from {what} from the next billing cycle on. What is past due, and automatic "
            "top-up, use it at once."
        )
    else:
        draft.paragraphs.append("Invoices are not collected by themselves any more. Pay them by their due date.")
    draft.steps.append(f"If this was not you or a colleague, contact {about.support}.")
    draft.way_on = pay(about, "Payment method")
    return draft


def method_expiring(fact: Fact, about: Circumstances) -> Draft:
    """The card on file ends soon."""
    what, ends = method_text(fact.data.get("method")), date(fact.data, "endsAt", about.zone)
    draft = draft_of(
        fact,
        about,
        f"The card of {name(about.workspace)} ends soon",
        f"{what[0].upper()}{what[1:]} ends soon",
        "warning",
        "Payment method",
        amount_key=None,
    )
    until = f" until {ends}" if ends else " to the end of its month"
    draft.paragraphs.append(f"It is good{until}. After that the next invoice can't be collected, and nor can top-up.")
    draft.steps.append("Put a new card or a bank account on file before then.")
    draft.way_on = pay(about, "Update payment")
    return draft


def _bought(fact: Fact, about: Circumstances, how: str, why: str) -> Draft:
    credits_bought = nano(fact.data, "credits") or 0
    amount, many = money(fact, "amount"), figures.amount(credits_bought)
    ends, number = date(fact.data, "expiresAt", about.zone), text(fact.data, "invoiceNumber")
    draft = draft_of(
        fact,
        about,
        f"{many} credits for {name(about.workspace)}: {amount}",
        f"{many} credits {how}",
        "good",
        "Paid",
        amount_key="amount",
    )
    draft.figures.append(shown("Credits remaining", about.credits.posted))
    draft.paragraphs.append(
        f"{why} {many} credits for {amount}{f', invoice {number},' if number else ''} are in {name(about.workspace)}."
    )
    if ends:
        draft.paragraphs.append(f"They are used after what your plan includes, and can be used until {ends}.")
    draft.steps.append("Keep this mail as the receipt; the invoice stands among your invoices.")
    draft.way_on = read(fact, about)
    return draft
