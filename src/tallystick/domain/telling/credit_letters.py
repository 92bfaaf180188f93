"""Letters about credits and tool runs: thresholds, all used, expired (rules M16, M18, M19)."""

from typing import Final

from tallystick.domain.telling import figures
from tallystick.domain.telling.facts import Fact
from tallystick.domain.telling.letters import (
    Account,
    Circumstances,
    Draft,
    Figure,
    account_figures,
    account_of,
    name,
    nano,
    shown,
)
from tallystick.domain.telling.mails import CREDITS, threshold_of, unit_of

_GETTING_LOW: Final = 80


def threshold_crossed(fact: Fact, about: Circumstances) -> Draft:
    """50, 70, 80 or 90 % of an allocation is used."""
    unit, threshold = unit_of(fact.kind), threshold_of(fact.data)
    word, account = _word(unit), _account(fact, about)
    is_low = threshold >= _GETTING_LOW
    left = f"{figures.amount(max(account.posted, 0))} of {figures.amount(account.allocation)} {word} are left"
    draft = Draft(
        subject=f"{name(about.workspace)} has used {threshold}% of its {word}",
        headline=f"{threshold}% of your {word} {'are' if unit == CREDITS else 'were'} used",
        tone="warning" if is_low else "note",
        label="Getting low" if is_low else "For your information",
        preheader=f"{left}. {_when_they_end(unit)}",
        figures=[*account_figures(account, unit), *_used(fact)],
    )
    draft.paragraphs.append(
        f"{name(about.workspace)} passed {threshold}% of its current {word} on {figures.moment(fact.at, about.zone)}: "
        f"{left}." + (" The balance is getting low." if is_low else "")
    )
    draft.paragraphs.append(_when_they_end(unit))
    if unit == CREDITS:
        draft.paragraphs.append(_fine_tuning(account.posted, about))
    draft.steps += _add(unit, about, before=True)
    return draft


def exhausted(fact: Fact, about: Circumstances) -> Draft:
    """100 %: nothing is left."""
    unit = unit_of(fact.kind)
    word, account = _word(unit), _account(fact, about)
    draft = Draft(
        subject=f"All {word} of {name(about.workspace)} are used",
        headline=f"All{f' {figures.amount(account.allocation)}' if account.allocation > 0 else ''} {word} are used",
        tone="alarm",
        label="100% used",
        figures=[*account_figures(account, unit), *_used(fact)],
    )
    draft.paragraphs.append(_stops(unit, f"Since {figures.moment(fact.at, about.zone)}"))
    if unit == CREDITS:
        draft.paragraphs.append(_deployments_go_on(about))
        draft.paragraphs.append(_fine_tuning(account.posted, about))
    draft.steps += _add(unit, about, before=False)
    return draft


def expired(fact: Fact, about: Circumstances) -> Draft:
    """A grant ended with something left."""
    unit = unit_of(fact.kind)
    word, account = _word(unit), _account(fact, about)
    gone = nano(fact.data, "amount")
    which = f"{'free ' if fact.data.get('free') is True else ''}{word}"
    nothing_left = account.posted <= 0
    draft = Draft(
        subject=f"{which[0].upper()}{which[1:]} of {name(about.workspace)} have expired",
        headline=f"{'Your ' if not gone else figures.amount(gone) + ' '}{which} expired unused",
        tone="alarm" if nothing_left else "warning",
        label="Expired",
        figures=[*account_figures(account, unit), *([shown("Expired unused", gone)] if gone else [])],
    )
    at = figures.moment(fact.at, about.zone)
    draft.paragraphs.append(f"They ended on {at} and can't be used any more.")
    if nothing_left:
        draft.paragraphs.append(_stops(unit, "Since then"))
    else:
        draft.paragraphs.append(f"{figures.amount(account.posted)} {word} are left. {_when_they_end(unit)}")
    if unit == CREDITS:
        draft.paragraphs.append(_fine_tuning(account.posted, about))
    draft.steps += _add(unit, about, before=not nothing_left)
    return draft


def _account(fact: Fact, about: Circumstances) -> Account:
    return account_of(fact.data, about.credits if unit_of(fact.kind) == CREDITS else about.tool_runs)


def _used(fact: Fact) -> list[Figure]:
    share = nano(fact.data, "usedPercent")
    return [] if share is None else [Figure("Used", figures.percent(share * 100 // 10**9))]


def _word(unit: str) -> str:
    return "credits" if unit == CREDITS else "tool runs"


def _when_they_end(unit: str) -> str:
    if unit == CREDITS:
        return "When none are left, new runs, model calls and deployments are refused until credits are added."
    return "When none are left, tool calls are refused until tool runs are added."


def _stops(unit: str, since: str) -> str:
    if unit == CREDITS:
        return f"{since} new runs, model calls and deployments are refused, until credits are added."
    return f"{since} tool calls are refused, until tool runs are added."


def _deployments_go_on(about: Circumstances) -> str:
    return (
        f"What is deployed goes on, and its credits are counted below zero. At {figures.amount(about.negative_limit)} "
        "credits all deployments are stopped."
    )


def _fine_tuning(posted: int, about: Circumstances) -> str:
    """The rule that a fine-tuning job needs more than so many credits (seed-systems 2.2)."""
    least = figures.amount(about.fine_tune_minimum)
    if posted <= about.fine_tune_minimum:
        return f"Fine-tuning is disabled: a job starts only while more than {least} credits remain."
    return f"Fine-tuning needs more than {least} credits: no job starts once {least} or fewer remain."


def _add(unit: str, about: Circumstances, *, before: bool) -> list[str]:
    """How to top up, and what to look at until then."""
    word = _word(unit)
    asked = f"Contact {about.support} to add {word}{' before they run out' if before else ''}."
    until = "See what uses them under Usage, by workflow, agent and model, and cap it with a budget."
    return [asked, until]
