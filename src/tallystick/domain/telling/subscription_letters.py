"""Letters about a workspace's commercial life: trial, plan, stops and what ends them (rows D2, D3, D8; M23 to M25)."""

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
    moment,
    name,
    pay,
    text,
)

_KEPT = "Agents and workflows are kept, and resume at once"


def trial_started(fact: Fact, about: Circumstances) -> Draft:
    """The one trial of a workspace began."""
    plan, ends = _plan(fact), _trial_end(fact, about)
    draft = _draft(
        fact, about, f"{name(about.workspace)} tries {plan}", f"Your trial of {plan} has begun", "good", "Trial"
    )
    draft.paragraphs.append(f"{name(about.workspace)} has all of {plan} until {ends}, at no cost.")
    draft.paragraphs.append(
        f"With a payment method on file it then goes on at {_price(fact)}. Without one new runs are paused. {_KEPT} "
        "when you add one, or move to Free."
    )
    draft.steps.append("Add a payment method before the trial ends, so that nothing stops.")
    draft.way_on = pay(about, "Add payment method")
    return draft


def trial_ending(fact: Fact, about: Circumstances) -> Draft:
    """Days before the end, with nothing on file to pay with."""
    plan, ends = _plan(fact), _trial_end(fact, about)
    draft = _draft(
        fact, about, f"The trial of {name(about.workspace)} ends {ends}", "Your trial ends soon", "warning", "Trial"
    )
    draft.paragraphs.append(f"The trial of {plan} ends {ends}, and no payment method is on file.")
    draft.paragraphs.append(
        f"Then new runs are paused and schedules skip; nothing is changed or deleted. {_KEPT} when you add a payment "
        "method or move to Free."
    )
    draft.steps.append(f"Add a payment method to go on with {plan} at {_price(fact)}.")
    draft.steps.append("Or move to Free.")
    draft.way_on = pay(about, "Add payment method")
    return draft


def trial_ended(fact: Fact, about: Circumstances) -> Draft:
    """It ended unpaid: new runs are paused."""
    plan = _plan(fact)
    draft = _draft(
        fact, about, f"The trial of {name(about.workspace)} has ended", "Your trial has ended", "alarm", "Trial ended"
    )
    draft.paragraphs.append(
        f"The trial of {plan} ended {figures.moment(fact.at, about.zone)}. New runs are paused and schedules skip; "
        "what is deployed goes on within its limits."
    )
    draft.paragraphs.append(f"{_KEPT} when you add a payment method or move to Free.")
    draft.steps.append(f"Add a payment method to go on with {plan} at {_price(fact)}.")
    draft.steps.append("Or move to Free, which applies at once.")
    draft.way_on = pay(about, "Add payment method")
    return draft


def plan_changed(fact: Fact, about: Circumstances) -> Draft:
    """Another plan is in force."""
    plan, before = _plan(fact), _plan(fact, "previousPlan")
    renews = date(fact.data, "periodEnd", about.zone)
    draft = _draft(fact, about, f"{name(about.workspace)} is on {plan}", f"You are on {plan}", "good", "Plan changed")
    was = f", before on {before}" if before != _NO_PLAN and before != plan else ""
    draft.paragraphs.append(
        f"{name(about.workspace)} is on {plan} since {figures.date(fact.at, about.zone)}{was}: {_price(fact)}"
        f"{f', next on {renews}' if renews else ''}."
    )
    draft.steps.append("See what the plan includes, and what was charged for the change, under Billing.")
    return draft


def change_pending(fact: Fact, about: Circumstances) -> Draft:
    """A downgrade or the end was asked for; until then it can be taken back."""
    when = date(fact.data, "effectiveAt", about.zone) or date(fact.data, "periodEnd", about.zone) or "the period's end"
    coming = _plan(fact, "nextPlan")
    ends = fact.data.get("change") == "cancel" or coming == _NO_PLAN
    what = "ends" if ends else f"changes to {coming}"
    draft = _draft(
        fact, about, f"The plan of {name(about.workspace)} {what} on {when}", f"Your plan {what} on {when}", "note",
        "Change to come",
    )  # fmt: skip
    draft.paragraphs.append(
        f"{_plan(fact)} goes on as it is until {when}; then {name(about.workspace)} is on "
        f"{'Free' if ends else coming}. Nothing is charged or given back before."
    )
    draft.steps.append(f"To stay on {_plan(fact)}, take the change back before {when}: tally billing subscription keep")
    return draft


def change_revoked(fact: Fact, about: Circumstances) -> Draft:
    """It was taken back."""
    plan = _plan(fact)
    draft = _draft(fact, about, f"{name(about.workspace)} stays on {plan}", f"You stay on {plan}", "good", "Plan")
    draft.paragraphs.append(f"The change that was to come was taken back: {plan} goes on at {_price(fact)}.")
    draft.steps.append("There is nothing to do.")
    return draft


def past_due(fact: Fact, about: Circumstances) -> Draft:
    """Unpaid too long: new runs are refused."""
    draft = _draft(
        fact, about, f"New runs of {name(about.workspace)} are paused", "New runs are paused", "alarm", "Past due"
    )
    draft.paragraphs.append(
        f"An invoice of {name(about.workspace)} stayed unpaid, so new runs are refused since "
        f"{figures.moment(fact.at, about.zone)}. What was set aside may still be settled."
    )
    draft.paragraphs.append(f"{_KEPT} when it is paid.")
    draft.steps.append("Pay what is open, or put another card or bank account on file: it is collected at once.")
    draft.way_on = pay(about, "Update payment")
    return draft


def resumed(fact: Fact, about: Circumstances) -> Draft:
    """All goes on."""
    draft = _draft(
        fact, about, f"{name(about.workspace)} is active again", "Everything goes on", "good", "Active again"
    )
    draft.paragraphs.append(f"{name(about.workspace)} is active on {_plan(fact)} again: new runs start.")
    draft.steps.append("Start what was refused meanwhile once more: it was not kept waiting.")
    return draft


def paused(fact: Fact, about: Circumstances) -> Draft:
    """Somebody paused it."""
    draft = _draft(
        fact, about, f"New runs of {name(about.workspace)} are paused", "New runs are paused", "warning", "Paused"
    )
    draft.paragraphs.append(
        f"{name(about.workspace)} was paused {figures.moment(fact.at, about.zone)}: new runs are refused."
    )
    draft.paragraphs.append("Agents and workflows are kept.")
    draft.steps.append(f"Contact {about.support} to go on.")
    return draft


def canceled(fact: Fact, about: Circumstances) -> Draft:
    """A subscription ended."""
    before, now_on = _plan(fact, "previousPlan"), _plan(fact)
    what = before if before != _NO_PLAN else "plan"
    draft = _draft(
        fact, about, f"The {what} of {name(about.workspace)} has ended", f"Your {what} has ended", "note", "Ended"
    )
    on = "" if now_on in (_NO_PLAN, before) else f" It is on {now_on} now."
    draft.paragraphs.append(
        f"The subscription of {name(about.workspace)} ended {figures.date(fact.at, about.zone)}.{on} "
        "Bought credits stay."
    )
    draft.steps.append("Choose a plan under Billing whenever you want to go on; what you made is kept.")
    return draft


def closed(fact: Fact, about: Circumstances) -> Draft:
    """The workspace was closed."""
    draft = _draft(
        fact, about, f"{name(about.workspace)} was closed", f"{name(about.workspace)} was closed", "alarm", "Closed"
    )
    draft.paragraphs.append(
        "New work is refused and deployments are stopped; a last invoice covers what was used. Ledger and invoices are "
        "kept as the law asks, personal data is blanked."
    )
    draft.steps.append(f"Contact {about.support} if this was not meant.")
    return draft


_NO_PLAN = "your plan"


def _draft(fact: Fact, about: Circumstances, subject: str, headline: str, tone: Tone, label: str) -> Draft:
    draft = Draft(subject, headline, tone, label, may_top_up=False)
    plan = fact.data.get("plan")
    if isinstance(plan, Mapping) and minor(plan, "price") is not None:
        draft.figures.append(Figure(_plan(fact), _price(fact)))
    draft.details.append(Detail("Workspace", name(about.workspace)))
    return draft


def _plan(fact: Fact, key: str = "plan") -> str:
    data: Any = fact.data.get(key)
    return name(text(data, "name") or _NO_PLAN) if isinstance(data, Mapping) else _NO_PLAN


def _price(fact: Fact) -> str:
    """What the plan costs by its cadence: `$99.00 a month`."""
    data: Any = fact.data.get("plan")
    amount = minor(data, "price") if isinstance(data, Mapping) else None
    if amount is None:
        return "its price"
    money = figures.money(amount, name(text(data, "currency") or "usd"))
    by = {"monthly": "a month", "quarterly": "a quarter", "semi_annual": "half a year", "annual": "a year"}
    return f"{money} {by.get(text(data, 'cadence') or '', '')}".rstrip()


def _trial_end(fact: Fact, about: Circumstances) -> str:
    for key in ("trialEndsAt", "endsAt"):
        if (at := moment(fact.data, key, about.zone)) is not None:
            return at
    return "the end of its days"
