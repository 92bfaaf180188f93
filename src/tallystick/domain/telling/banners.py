"""Banners: what people should see on top of every page now, as a platform shows it in its own app (rows B4, D2, D10).

They are made from how a workspace stands, never from what was told: a banner is gone as soon as it is no longer true.
Those at 20, 50, 70, 80 and 90 % can be put away until the next threshold or the next allocation; the others stay.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from tallystick.domain.telling import figures

Kind = Literal[
    "pastDue", "trialEnded", "negative", "negativeLimit", "exhausted", "freeExpired", "trial", "threshold", "runsPaused"
]
Way = Literal["topUpOrUpgrade", "upgradeOrTopUp", "upgrade", "updatePayment", "addPaymentMethod", "support"]

ALL_USED: Final = 100

_OUT_OF_CREDITS: Final = "You've used all your available credits. Please add more credits to your account to continue."
_LABELS: Final[Mapping[Way, str]] = MappingProxyType(
    {
        "topUpOrUpgrade": "Top up or upgrade",
        "upgradeOrTopUp": "Upgrade or top up",
        "upgrade": "Upgrade",
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
class Scene:
    """How a workspace stands. `status` is its subscription's, `running` how many deployments run; the limit is in
    nano-credits (rule M16)."""

    gauges: Sequence[Gauge]
    status: str
    period_end: dt.datetime | None
    running: int
    stopped: int
    negative_limit: int
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Support:
    """Where the operator sells by hand: whom to ask in place of buying. Both None: people buy by themselves."""

    email: str | None = None
    url: str | None = None

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
    if scene.status == "trialing" and scene.period_end is not None:
        found.append(_trial(scene.period_end, scene.zone, support, now))
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
        unit, threshold, number = one.split(".")
        away[unit, number] = max(away.get((unit, number), 0), int(threshold))

    def is_away(banner: Banner) -> bool:
        if not banner.is_removable:
            return False
        unit, threshold, number = banner.id.split(".")
        return int(threshold) <= away.get((unit, number), 0)

    return [banner for banner in found if not is_away(banner)]


def _standing(scene: Scene, support: Support, now: dt.datetime) -> list[Banner]:
    if scene.status == "past_due":
        message = "A payment is past due. New runs are paused and resume once it is paid."
        return [_fixed("pastDue", message, _action("updatePayment", support))]
    if scene.status == "paused":
        message = (
            "Your trial ended. New runs are paused; agents and workflows are kept and resume when you add a payment "
            "method or move to Free."
        )
        return [_fixed("trialEnded", message, _action("addPaymentMethod", support))]
    return []


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
    when = f" {_day(gauge.expired_at, zone)}" if gauge.expired_at else ""
    left = f"{figures.amount(gauge.expired or 0)} unused"
    message = f"Your free {_word(gauge)} expired{when} ({left})."
    return _fixed("freeExpired", message, _action("upgrade", support), gauge)


def _trial(end: dt.datetime, zone: str, support: Support, now: dt.datetime) -> Banner:
    days = max(-((now - end) // _DAY), 0)
    message = f"Trial: {days} {'day' if days == 1 else 'days'} left, until {figures.moment(end, zone)}."
    return _fixed("trial", message, _action("addPaymentMethod", support))


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
    if support.link is not None:
        return Action("support", _LABELS["support"], support.link)
    return Action(way, _LABELS[way], None)


def _word(gauge: Gauge) -> str:
    return "credits" if gauge.unit == "credits" else "tool runs"


def _day(at: dt.datetime, zone: str) -> str:
    day = figures.day(at, zone)
    return f"{day.day} {day:%b %Y}"
