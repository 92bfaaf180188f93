"""Letters about deployments: deployed and taken down, limits reached, interruptions (row B13; rules M16, M17)."""

from collections.abc import Mapping
from typing import Any, Final

from tallystick.domain.telling import figures
from tallystick.domain.telling.facts import Fact
from tallystick.domain.telling.letters import (
    Account,
    Circumstances,
    Detail,
    Draft,
    account_figures,
    account_of,
    moment,
    name,
    nano,
    shown,
)

SCRIPT_DEPLOYED: Final = "Custom script deployed successfully - API Endpoint Available"
SCRIPT_UNDEPLOYED: Final = "Your custom script has been undeployed successfully"
OUT_OF_CREDITS: Final = "You've used all your available credits. Please add more credits to your account to continue."
"""Why deployments are stopped at the negative limit, in the seed's words."""

_WORDS: Final[Mapping[str, str]] = {
    "script": "custom script",
    "guardrail": "guardrail",
    "model": "model",
    "tool": "tool",
}
_SETTLED: Final = "What is used below zero is settled by the credits that come next."


def deployed(fact: Fact, about: Circumstances) -> Draft:
    """Something runs; of a script, how its endpoint is called."""
    word, called = _what(fact), _called(fact)
    endpoint = _access(fact.data)
    draft = Draft(
        subject=SCRIPT_DEPLOYED if _kind(fact) == "script" else f"{_capital(word)} deployed: {called}",
        headline=f"{called} is deployed",
        tone="good",
        label="Deployed",
        figures=account_figures(_account(fact, about), "credits"),
        details=[*_about(fact, about), *endpoint],
    )
    on_hardware = fact.data.get("profile") is not None
    charged = " From now on its hardware is charged by time, until it is undeployed." if on_hardware else ""
    draft.paragraphs.append(f"Your {word} {called} was deployed on {figures.moment(fact.at, about.zone)}.{charged}")
    if endpoint:
        draft.paragraphs.append("Its API endpoint is available; how to reach it stands below.")
        draft.steps.append("Try the endpoint as it stands above, then point its callers to it.")
    draft.steps.append("Undeploy it when it is not needed: hardware costs accumulate as long as it is deployed.")
    draft.may_top_up = False
    return draft


def undeployed(fact: Fact, about: Circumstances) -> Draft:
    """Something was taken down; it is charged no longer."""
    word, called = _what(fact), _called(fact)
    draft = Draft(
        subject=SCRIPT_UNDEPLOYED if _kind(fact) == "script" else f"{_capital(word)} undeployed: {called}",
        headline=f"{called} is undeployed",
        tone="note",
        label="Undeployed",
        figures=account_figures(_account(fact, about), "credits"),
        details=_about(fact, about),
    )
    draft.paragraphs.append(
        f"Your {word} {called} was undeployed on {figures.moment(fact.at, about.zone)}. It is charged no longer, and "
        "its endpoint answers no more."
    )
    draft.steps.append("Deploy it again at any time: its name and settings are kept.")
    draft.may_top_up = False
    return draft


def low_reached(fact: Fact, about: Circumstances) -> Draft:
    """The low limit was reached while something is deployed; it goes on."""
    account = _account(fact, about)
    limit = _limit(fact, "lowLimit", "limit")
    at = f" of {figures.amount(limit)}" if limit is not None else ""
    negative = figures.amount(about.negative_limit)
    draft = Draft(
        subject=f"Low credit limit reached in {name(about.workspace)}: deployments go on",
        headline="The low credit limit is reached",
        tone="warning",
        label="Low limit",
        figures=[*account_figures(account, "credits"), shown("Deployments stop at", about.negative_limit)],
        details=_about(fact, about),
    )
    draft.paragraphs.append(
        f"The credits of {name(about.workspace)} fell to the low limit{at} while something is deployed. Nothing stops "
        "now: what is deployed goes on, also below zero, and new deployments are refused."
    )
    draft.paragraphs.append(f"At {negative} credits all deployments are stopped. {_SETTLED}")
    draft.steps += _keep_running(about)
    return draft


def negative_reached(fact: Fact, about: Circumstances) -> Draft:
    """The negative limit was breached: deployments are stopped."""
    told = _limit(fact, "negativeLimit", "limit")
    limit = about.negative_limit if told is None else told
    draft = Draft(
        subject=f"Negative credit limit reached in {name(about.workspace)}: deployments are stopped",
        headline="The negative credit limit is reached",
        tone="alarm",
        label="Negative limit reached",
        figures=[
            *account_figures(_account(fact, about), "credits"),
            shown("Negative limit", limit),
        ],
        details=_about(fact, about),
    )
    stopped_ones = fact.data.get("deploymentUuids")
    if isinstance(stopped_ones, list) and stopped_ones:
        draft.details.append(Detail("Deployments to stop", f"{len(stopped_ones):,}"))
    draft.paragraphs.append(OUT_OF_CREDITS)
    draft.paragraphs.append(
        f"The credits of {name(about.workspace)} fell to the negative limit of {figures.amount(limit)}. All "
        f"deployments are stopped{_by(fact, about)}; they are charged no longer, and new ones are refused. {_SETTLED}"
    )
    draft.steps += [f"Contact {about.support} to add credits.", "Deploy again once the balance is above zero."]
    return draft


def stop_requested(fact: Fact, about: Circumstances) -> Draft:
    """The platform was told to stop one deployment: an interruption is near."""
    word, called = _what(fact), _called(fact)
    draft = Draft(
        subject=f"Possible interruption: {called} is being stopped",
        headline=f"{called} is being stopped",
        tone="alarm",
        label="Interruption",
        figures=account_figures(_account(fact, about), "credits"),
        details=_about(fact, about),
    )
    draft.paragraphs.append(
        f"Your {word} {called} has to be stopped{_by(fact, about)}, because all available credits are used. It is "
        "charged no longer. Whatever calls it will fail once it has stopped."
    )
    draft.steps += [
        f"Contact {about.support} to add credits.",
        f"Deploy the {word} again afterwards: it does not come back by itself.",
    ]
    return draft


def stop_overdue(fact: Fact, about: Circumstances) -> Draft:
    """The platform did not stop a deployment in time."""
    word, called = _what(fact), _called(fact)
    draft = Draft(
        subject=f"{called} should have been stopped and may still run",
        headline=f"{called} was not stopped in time",
        tone="warning",
        label="Overdue",
        figures=account_figures(_account(fact, about), "credits"),
        details=_about(fact, about),
    )
    draft.paragraphs.append(
        f"Your {word} {called} had to be stopped{_by(fact, about)}, and the platform has not confirmed it. It is not "
        "charged for this time, but may be interrupted at any moment."
    )
    draft.steps += [f"Contact {about.support} to add credits.", f"Don't rely on the {word} until it is deployed again."]
    return draft


def stopped(fact: Fact, about: Circumstances) -> Draft:
    """A deployment was stopped for want of credits."""
    word, called = _what(fact), _called(fact)
    draft = Draft(
        subject=f"{_capital(word)} stopped: {called} is out of credits",
        headline=f"{called} has been stopped",
        tone="alarm",
        label="Stopped",
        figures=account_figures(_account(fact, about), "credits"),
        details=_about(fact, about),
    )
    reason = fact.data.get("reason")
    said = str(reason) if isinstance(reason, str) and reason else OUT_OF_CREDITS
    draft.paragraphs += [said, f"Your {word} {called} was stopped on {figures.moment(fact.at, about.zone)}."]
    draft.steps += [f"Contact {about.support} to add credits.", f"Deploy the {word} again afterwards."]
    return draft


def endpoint_failing(fact: Fact, about: Circumstances) -> Draft:
    """A webhook endpoint has taken nothing for days."""
    return _endpoint_draft(
        fact,
        about,
        "A webhook endpoint takes nothing",
        "It has taken nothing for days. Deliveries that are refused for too long are given up.",
        "Repair the receiver, then replay what it missed: tally webhook delivery replay",
    )


def endpoint_disabled(fact: Fact, about: Circumstances) -> Draft:
    """A webhook endpoint said that it is gone."""
    return _endpoint_draft(
        fact,
        about,
        "A webhook endpoint was turned off",
        "It answered 410 Gone, which says that it wants nothing more. Nothing is posted to it from now on.",
        "If that was a mistake, turn the endpoint on again.",
    )


def _endpoint_draft(fact: Fact, about: Circumstances, title: str, what: str, step: str) -> Draft:
    url, why = str(fact.data.get("url") or ""), _text(fact.data, "error")
    since = moment(fact.data, "failingSince", about.zone)
    rows = [("Workspace", name(about.workspace)), ("Failing since", since), ("Last error", why)]
    return Draft(
        subject=f"{title} in {name(about.workspace)}",
        headline=title,
        tone="warning",
        label="Webhook",
        paragraphs=[what],
        details=[
            *([Detail("Endpoint", url, is_code=True)] if url else []),
            *(Detail(label, value) for label, value in rows if value),
        ],
        steps=[step],
        may_top_up=False,
    )


def _account(fact: Fact, about: Circumstances) -> Account:
    return account_of(fact.data, about.credits)


def _limit(fact: Fact, *keys: str) -> int | None:
    return next((value for key in keys if (value := nano(fact.data, key)) is not None), None)


def _kind(fact: Fact) -> str:
    return str(fact.data.get("deploymentKind", ""))


def _what(fact: Fact) -> str:
    return _WORDS.get(_kind(fact), "deployment")


def _called(fact: Fact) -> str:
    named = fact.data.get("name")
    return f'"{name(named)}"' if named else f"your {_what(fact)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _by(fact: Fact, about: Circumstances) -> str:
    until = moment(fact.data, "complyBy", about.zone)
    return f" by {until}" if until else ""


def _about(fact: Fact, about: Circumstances) -> list[Detail]:
    """What is deployed, and on what."""
    data = fact.data
    language = " ".join(str(data[key]) for key in ("language", "languageVersion") if data.get(key))
    rows = [("Workspace", name(about.workspace)), (_capital(_what(fact)), _text(data, "name"))]
    rows += [("Version", _text(data, "version")), ("Language", language), ("Hardware", _text(data, "profile"))]
    rows.append(("Replicas", _text(data, "replicas") if data.get("profile") else ""))
    per_hour = nano(data, "creditsPerHour")
    rows.append(("Credits per hour", "" if per_hour is None else figures.amount(per_hour)))
    return [Detail(label, value) for label, value in rows if value]


def _access(data: Mapping[str, Any]) -> list[Detail]:
    """How a deployment is reached, as the platform said when it reported back: its address, and in words how to get in.

    Never cut: half an address is none.
    """
    found = [("API endpoint", data.get("endpoint"), True), ("Access", data.get("access"), False)]
    return [Detail(label, str(value), is_code) for label, value, is_code in found if value]


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return name(value) if value not in (None, "") and not isinstance(value, Mapping | list) else ""


def _keep_running(about: Circumstances) -> list[str]:
    return [
        f"Contact {about.support} to add credits, so that nothing is interrupted.",
        "Undeploy what is not needed: hardware is charged as long as it is deployed.",
    ]
