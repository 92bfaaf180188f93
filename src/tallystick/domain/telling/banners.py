"""Banners: what people should see on top of every page now, as a platform shows it in its own app (rows B4, D2, D10).

They are made from how a workspace stands, never from what was told: a banner is gone as soon as it is no longer true.
Those at 20, 50, 70, 80 and 90 % can be put away until the next threshold or the next allocation, that of a card which
ends soon until there is another card; the others stay.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

from tallystick.domain.telling import figures

Kind = Literal[
    "pastDue",
    "trialEnded",
    "paused",
    "negative",
    "negativeLimit",
    "exhausted",
    "freeExpired",
    "topUpStopped",
    "trial",
    "methodExpiring",
    "threshold",
    "runsPaused",
]
Way = Literal[
    "topUpOrUpgrade", "upgradeOrTopUp", "upgrade", "choosePlan", "updatePayment", "addPaymentMethod", "support"
]

ALL_USED: Final = 100

ABOUT_PAYING: Final[frozenset[Kind]] = frozenset({"pastDue", "trialEnded", "topUpStopped", "trial", "methodExpiring"})
"""The banners whose way on is our payment page."""

_OUT_OF_CREDITS: Final = "You've used all your available credits. Please add more credits to your account to continue."
_LABELS: Final[Mapping[Way, str]] = MappingProxyType(
    {
        "topUpOrUpgrade": "Top up or upgrade",
        "upgradeOrTopUp": "Upgrade or top up",
        "upgrade": "Upgrade",
        "choosePlan": "Choose a plan",
        "updatePayment": "Update payment",
        "addPaymentMethod": "Add payment method",
        "support": "Contact Support",
    }
)
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Gauge:
    """One balance in nano-units. `unit` as on the wire, credits or toolRuns; `reached` is the threshold reached.

    `expired` is what was left of free grants that ended at `expired_at`, where nothing was granted since; else None.
    """

    unit: str
    posted: int
    allocation: int
    allocation_no: int
    reached: int
    used_hundredths: int
    expired: int | None = None
    expired_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Debt:
    """The oldest invoice that is past due: its number, what is open of it in minor units, and what follows.

    `next_attempt_at` is when it is tried again by itself, `stops_at` when new runs stop; None where neither is to come.
    `others` is how many more are past due.
    """

    number: str
    open_minor: int
    currency: str
    due_at: dt.datetime
    next_attempt_at: dt.datetime | None = None
    stops_at: dt.datetime | None = None
    others: int = 0


@dataclass(frozen=True, slots=True)
class Payment:
    """How a workspace pays. `ending` is the card on file that ends soon, as part of a sentence, `ends_at` when."""

    has_method: bool = False
    ending: str | None = None
    ends_at: dt.datetime | None = None
    top_up_stopped: bool = False
    debt: Debt | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """How a workspace stands. `status` is its subscription's, `running` how many deployments run; the limit is in
    nano-credits (rule M16). `was_paused`: by its operator, not by a trial's end."""

    gauges: Sequence[Gauge]
    status: str
    period_end: dt.datetime | None
    running: int
    stopped: int
    negative_limit: int
    zone: str = "UTC"
    trial_ends_at: dt.datetime | None = None
    was_paused: bool = False
    payment: Payment = field(default_factory=Payment)


@dataclass(frozen=True, slots=True)
class Support:
    """Where the operator sells by hand: whom to ask in place of buying. Both None: people buy by themselves.

    `payment_url` is the page where people pay and change their method, in either case.
    """

    email: str | None = None
    url: str | None = None
    payment_url: str | None = None

    @property
    def link(self) -> str | None:
        return self.url or (f"mailto:{self.email}" if self.email else None)


@dataclass(frozen=True, slots=True)
class Action:
    """What to do about it. `url` leads there, None where only the platform knows its page."""

    way: Way
    label: str
    url: str | None


@dataclass(frozen=True, slots=True)
class Banner:
    """`percent` is the threshold, None where the banner is about none; `id` is the same until it changes what it says
    of: with the next threshold, allocation or state."""

    id: str
    kind: Kind
    unit: str | None
    percent: int | None
    used_hundredths: int | None
    message: str
    is_removable: bool
    action: Action | None


def banners(scene: Scene, support: Support, now: dt.datetime) -> list[Banner]:
    """All that is true now, the most pressing first."""
    found = [*_standing(scene, support, now)]
    for gauge in scene.gauges:
        found += _negative(gauge, scene, support) if gauge.unit == "credits" else []
    found += [_exhausted(g, support) for g in scene.gauges if g.reached == ALL_USED and g.expired is None]
    found += [_expired(g, scene.zone, support) for g in scene.gauges if g.expired is not None]
    if scene.payment.top_up_stopped:
        message = "Automatic top-up has stopped: a payment failed, and no credits were added."
        found.append(_fixed("topUpStopped", message, _action("updatePayment", support)))
    trial_ends_at = scene.trial_ends_at or scene.period_end
    if scene.status == "trialing" and trial_ends_at is not None:
        found.append(_trial(trial_ends_at, scene, support, now))
    found += _ending(scene, support, now)
    crossed = [gauge for gauge in scene.gauges if 0 < gauge.reached < ALL_USED]
    return found + [_threshold(gauge, support) for gauge in sorted(crossed, key=lambda g: g.reached, reverse=True)]


def paused() -> Banner:
    """All that people without billing rights see, and only while new runs are refused (rule "Shown figures")."""
    return Banner(
        id="runsPaused",
        kind="runsPaused",
        unit=None,
        percent=None,
        used_hundredths=None,
        message="New runs are paused. Ask an owner or admin.",
        is_removable=False,
        action=None,
    )


def still_shown(found: Sequence[Banner], dismissed: Collection[str]) -> list[Banner]:
    """Those that a person did not put away. Who put 80 % away need not see 70 % after a return either."""
    away: dict[tuple[str, str], int] = {}
    for one in dismissed:
        if (parts := _threshold_of(one)) is not None:
            unit, threshold, number = parts
            away[unit, number] = max(away.get((unit, number), 0), threshold)

    def is_away(banner: Banner) -> bool:
        if not banner.is_removable:
            return False
        parts = _threshold_of(banner.id)
        if parts is None:
            return banner.id in dismissed
        unit, threshold, number = parts
        return threshold <= away.get((unit, number), 0)

    return [banner for banner in found if not is_away(banner)]


def _threshold_of(banner_id: str) -> tuple[str, int, str] | None:
    """(unit, threshold, allocation) of a banner about one; None of the others."""
    parts = banner_id.split(".")
    return (parts[0], int(parts[1]), parts[2]) if len(parts) == 3 and parts[1].isdecimal() else None


def _standing(scene: Scene, support: Support, now: dt.datetime) -> list[Banner]:
    pay = _action("updatePayment", support)
    if scene.payment.debt is not None:
        return [_fixed("pastDue", _debt(scene.payment.debt, scene, now), pay), *_paused(scene, support)]
    if scene.status == "past_due":
        return [_fixed("pastDue", "A payment is past due. New runs are paused and resume once it is paid.", pay)]
    return _paused(scene, support)


def _debt(debt: Debt, scene: Scene, now: dt.datetime) -> str:
    """What is past due, and what follows: the next attempt, the stop, or how it ends."""
    what = f"Invoice {debt.number} ({figures.money(debt.open_minor, debt.currency)})"
    was = f"was due {figures.date(debt.due_at, scene.zone)}." if debt.due_at <= now else "could not be collected."
    more = f" {debt.others} more {'is' if debt.others == 1 else 'are'} past due." if debt.others else ""
    if scene.status == "past_due":
        return f"{what} {was}{more} New runs are paused and resume once all is paid."
    if debt.next_attempt_at is not None:
        return f"{what} {was}{more} We try again {figures.date(debt.next_attempt_at, scene.zone)}."
    if debt.stops_at is not None and debt.stops_at > now:
        return f"{what} {was}{more} New runs are paused from {figures.date(debt.stops_at, scene.zone)} on."
    return f"{what} {was}{more}"


def _paused(scene: Scene, support: Support) -> list[Banner]:
    if scene.status != "paused":
        return []
    if scene.was_paused:
        message = "This workspace is paused. New runs are refused; agents and workflows are kept."
        return [_fixed("paused", message, Action("support", _LABELS["support"], support.link))]
    message = (
        "Your trial ended. New runs are paused; agents and workflows are kept and resume when you add a payment "
        "method or move to Free."
    )
    return [_fixed("trialEnded", message, _action("addPaymentMethod", support))]


def _negative(gauge: Gauge, scene: Scene, support: Support) -> list[Banner]:
    """Deployments that run on credit, or no longer (rule M16)."""
    action = _action("topUpOrUpgrade", support)
    if gauge.posted <= scene.negative_limit and (scene.running or scene.stopped):
        return [_fixed("negativeLimit", _OUT_OF_CREDITS, action, gauge)]
    if gauge.posted < 0 and scene.running:
        message = (
            f"Balance {figures.amount(gauge.posted)} credits. Running deployments go on until "
            f"{figures.amount(scene.negative_limit)}; new ones are refused."
        )
        return [_fixed("negative", message, action, gauge)]
    return []


def _exhausted(gauge: Gauge, support: Support) -> Banner:
    what = "model work is refused" if gauge.unit == "credits" else "tool calls are refused"
    word = _word(gauge)
    all_of_them = (
        f"All {figures.amount(gauge.allocation)} {word} are used" if gauge.allocation else f"No {word} are left"
    )
    return _fixed("exhausted", f"{all_of_them}; {what}.", _action("upgradeOrTopUp", support), gauge, ALL_USED)


def _expired(gauge: Gauge, zone: str, support: Support) -> Banner:
    when = f" {figures.date(gauge.expired_at, zone)}" if gauge.expired_at else ""
    left = f"{figures.amount(gauge.expired or 0)} unused"
    message = f"Your free {_word(gauge)} expired{when} ({left})."
    return _fixed("freeExpired", message, _action("upgrade", support), gauge)


def _trial(end: dt.datetime, scene: Scene, support: Support, now: dt.datetime) -> Banner:
    days = max(-((now - end) // _DAY), 0)
    message = f"Trial: {days} {'day' if days == 1 else 'days'} left, until {figures.moment(end, scene.zone)}."
    # With something on file it goes on by itself: what is left to choose is the plan.
    way: Way = "choosePlan" if scene.payment.has_method else "addPaymentMethod"
    return _fixed("trial", message, _action(way, support))


def _ending(scene: Scene, support: Support, now: dt.datetime) -> list[Banner]:
    """A card that ends soon, or has ended."""
    card, ends_at = scene.payment.ending, scene.payment.ends_at
    if card is None or ends_at is None:
        return []
    # It is good to the last day of its month, which a day is named by that ends then.
    until = figures.date(ends_at - _DAY, scene.zone)
    good = f"is good until {until}" if now < ends_at else f"was good until {until}"
    message = f"The {card} {good}. Put another one on file, so that nothing stops."
    banner = _fixed("methodExpiring", message, _action("updatePayment", support))
    own = f"methodExpiring-{card.rpartition(' ')[2]}-{figures.day(ends_at, scene.zone)}"
    return [replace(banner, id=own, is_removable=True)]


def _threshold(gauge: Gauge, support: Support) -> Banner:
    left = f"{figures.amount(max(gauge.posted, 0))} of {figures.amount(gauge.allocation)}"
    return Banner(
        id=f"{gauge.unit}.{gauge.reached}.{gauge.allocation_no}",
        kind="threshold",
        unit=gauge.unit,
        percent=gauge.reached,
        used_hundredths=gauge.used_hundredths,
        message=f"{gauge.reached}% of {_word(gauge)} used: {left} left.",
        is_removable=True,
        action=_action("topUpOrUpgrade", support),
    )


def _fixed(kind: Kind, message: str, action: Action, gauge: Gauge | None = None, percent: int | None = None) -> Banner:
    return Banner(
        id=f"{gauge.unit}.{kind}.{gauge.allocation_no}" if gauge else kind,
        kind=kind,
        unit=gauge.unit if gauge else None,
        percent=percent,
        used_hundredths=gauge.used_hundredths if gauge else None,
        message=message,
        is_removable=False,
        action=action,
    )


def _action(way: Way, support: Support) -> Action:
    if support.payment_url is not None and way in ("updatePayment", "addPaymentMethod"):
        return Action(way, _LABELS[way], support.payment_url)
    if support.link is not None:
        return Action("support", _LABELS["support"], support.link)
    return Action(way, _LABELS[way], None)


def _word(gauge: Gauge) -> str:
    return "credits" if gauge.unit == "credits" else "tool runs"
