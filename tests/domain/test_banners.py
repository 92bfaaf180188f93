"""Which banners a workspace has, case by case, word by word (row B4)."""

import datetime as dt
from typing import Any

import pytest

from tallystick.domain.credits.balances import used_hundredths
from tallystick.domain.credits.thresholds import reached
from tallystick.domain.deployments.deployment import OUT_OF_CREDITS
from tallystick.domain.telling.banners import (
    Banner,
    Debt,
    Gauge,
    Payment,
    Scene,
    Support,
    banners,
    paused,
    still_shown,
)
from tallystick.kernel.credits import NANO

NOW = dt.datetime(2026, 3, 14, 9, 41, tzinfo=dt.UTC)
END = dt.datetime(2026, 3, 24, tzinfo=dt.UTC)
NOBODY = Support()


def gauge(left: str | int, total: int, unit: str = "credits", *, number: int = 1, **terms: Any) -> Gauge:
    posted, allocation = int(float(left) * NANO), total * NANO
    share = used_hundredths(max(posted, 0), allocation)
    return Gauge(unit, posted, allocation, number, reached(posted, allocation), share, **terms)


def scene(
    *gauges: Gauge, status: str = "active", running: int = 0, stopped: int = 0, zone: str = "UTC", **terms: Any
) -> Scene:
    return Scene(gauges, status, END, running, stopped, -10 * NANO, zone, **terms)


def owing(**terms: Any) -> Payment:
    base: dict[str, Any] = {"due_at": dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)}
    return Payment(debt=Debt("INV-0042", 9_900, "usd", **(base | terms)))


RETRY = dt.datetime(2026, 3, 15, 23, 30, tzinfo=dt.UTC)
STOP = dt.datetime(2026, 3, 16, 9, tzinfo=dt.UTC)
ENDING = Payment(True, "Visa card ending in 4242", dt.datetime(2026, 3, 31, 22, tzinfo=dt.UTC))


def seen(shown: Scene, support: Support = NOBODY, now: dt.datetime = NOW) -> list[str]:
    return [f"{one.kind}: {one.message}" for one in banners(shown, support, now)]


EXPIRED: dict[str, Any] = {"expired": 12_500_000_000, "expired_at": dt.datetime(2026, 3, 1, 23, 30, tzinfo=dt.UTC)}

TRIAL_ENDED = (
    "trialEnded: Your trial ended. New runs are paused; agents and workflows are kept and resume when you add a "
    "payment method or move to Free."
)

OWED = "pastDue: Invoice INV-0042 ($99.00) was due 2 Mar 2026."
EXPIRES = (
    "methodExpiring: The Visa card ending in 4242 is good until 31 Mar 2026. Put another one on file, so that nothing "
    "stops."
)

CASES: list[tuple[str, Scene, list[str]]] = [
    ("nothing used", scene(gauge(300, 300), gauge(10_000, 10_000, "toolRuns")), []),
    ("19.99 %", scene(gauge("240.03", 300)), []),
    ("20 %", scene(gauge(240, 300)), ["threshold: 20% of credits used: 240 of 300 left."]),
    ("half", scene(gauge("149.999", 300)), ["threshold: 50% of credits used: 150.00 of 300 left."]),
    ("70 %", scene(gauge(90, 300)), ["threshold: 70% of credits used: 90 of 300 left."]),
    ("80 %", scene(gauge(60, 300)), ["threshold: 80% of credits used: 60 of 300 left."]),
    ("90 %", scene(gauge(30, 300)), ["threshold: 90% of credits used: 30 of 300 left."]),
    (
        "the higher threshold first, whichever the balance",
        scene(gauge(240, 300), gauge(1_000, 10_000, "toolRuns")),
        [
            "threshold: 90% of tool runs used: 1,000 of 10,000 left.",
            "threshold: 20% of credits used: 240 of 300 left.",
        ],
    ),
    ("all credits", scene(gauge(0, 75)), ["exhausted: All 75 credits are used; model work is refused."]),
    (
        "all tool runs",
        scene(gauge(0, 10_000, "toolRuns")),
        ["exhausted: All 10,000 tool runs are used; tool calls are refused."],
    ),
    ("nothing granted", scene(gauge(0, 0)), ["exhausted: No credits are left; model work is refused."]),
    (
        "below zero, nothing deployed",
        scene(gauge("-3.2", 75)),
        ["exhausted: All 75 credits are used; model work is refused."],
    ),
    (
        "below zero while something runs",
        scene(gauge("-3.2", 75), running=2),
        [
            "negative: Balance −3.20 credits. Running deployments go on until −10; new ones are refused.",
            "exhausted: All 75 credits are used; model work is refused.",
        ],
    ),
    (
        "at the negative limit",
        scene(gauge(-10, 75), stopped=1),
        [f"negativeLimit: {OUT_OF_CREDITS}", "exhausted: All 75 credits are used; model work is refused."],
    ),
    (
        "topped up after the stop",
        scene(gauge(90, 100), stopped=1),
        [],
    ),
    (
        "free credits expired, in place of 100 %",
        scene(gauge(0, 0, **EXPIRED)),
        ["freeExpired: Your free credits expired 1 Mar 2026 (12.50 unused)."],
    ),
    (
        "its day is one of the workspace's zone",
        scene(gauge(0, 0, **EXPIRED), zone="Europe/Berlin"),
        ["freeExpired: Your free credits expired 2 Mar 2026 (12.50 unused)."],
    ),
    (
        "free credits expired beside bought ones",
        scene(gauge(20, 100, **EXPIRED)),
        [
            "freeExpired: Your free credits expired 1 Mar 2026 (12.50 unused).",
            "threshold: 80% of credits used: 20 of 100 left.",
        ],
    ),
    (
        "trial",
        scene(gauge(75, 75), status="trialing"),
        ["trial: Trial: 10 days left, until 24 Mar 2026, 00:00 UTC."],
    ),
    (
        "trial over",
        scene(gauge(75, 75), status="paused"),
        [TRIAL_ENDED],
    ),
    (
        "an unpaid invoice, which is tried again",
        scene(payment=owing(next_attempt_at=RETRY, stops_at=STOP)),
        ["pastDue: Invoice INV-0042 ($99.00) was due 2 Mar 2026. We try again 15 Mar 2026."],
    ),
    (
        "its days are those of the workspace's zone",
        scene(payment=owing(next_attempt_at=RETRY), zone="Asia/Tokyo"),
        ["pastDue: Invoice INV-0042 ($99.00) was due 2 Mar 2026. We try again 16 Mar 2026."],
    ),
    (
        "a card that failed before its due date",
        scene(payment=owing(next_attempt_at=RETRY, due_at=END)),
        ["pastDue: Invoice INV-0042 ($99.00) could not be collected. We try again 15 Mar 2026."],
    ),
    (
        "an unpaid transfer, and one more",
        scene(payment=owing(stops_at=STOP, others=1)),
        [
            f"{OWED} 1 more is past due. New runs are paused from 16 Mar 2026 on.",
        ],
    ),
    (
        "unpaid for too long",
        scene(status="past_due", payment=owing(stops_at=NOW - dt.timedelta(days=1))),
        [f"{OWED} New runs are paused and resume once all is paid."],
    ),
    (
        "an unpaid invoice after a trial",
        scene(status="paused", payment=owing()),
        ["pastDue: Invoice INV-0042 ($99.00) was due 2 Mar 2026.", TRIAL_ENDED],
    ),
    (
        "paused by its operator",
        scene(status="paused", was_paused=True),
        ["paused: This workspace is paused. New runs are refused; agents and workflows are kept."],
    ),
    (
        "a trial ends when it does, whatever the period",
        scene(status="trialing", trial_ends_at=END + dt.timedelta(hours=9), payment=Payment(has_method=True)),
        ["trial: Trial: 10 days left, until 24 Mar 2026, 09:00 UTC."],
    ),
    (
        "automatic top-up failed",
        scene(gauge(60, 300), payment=Payment(top_up_stopped=True)),
        [
            "topUpStopped: Automatic top-up has stopped: a payment failed, and no credits were added.",
            "threshold: 80% of credits used: 60 of 300 left.",
        ],
    ),
    (
        "a card that ends soon",
        scene(payment=ENDING, zone="Europe/Berlin"),
        [
            EXPIRES,
        ],
    ),
    (
        "past due stands before everything",
        scene(gauge(0, 75), status="past_due"),
        [
            "pastDue: A payment is past due. New runs are paused and resume once it is paid.",
            "exhausted: All 75 credits are used; model work is refused.",
        ],
    ),
]


@pytest.mark.parametrize(("shown", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_workspace_has_the_banners_that_are_true(shown: Scene, expected: list[str]) -> None:
    assert seen(shown) == expected


@pytest.mark.parametrize(
    ("shown", "kind", "removable", "label"),
    [
        (scene(gauge(60, 300)), "threshold", True, "Top up or upgrade"),
        (scene(gauge(0, 300)), "exhausted", False, "Upgrade or top up"),
        (scene(gauge(0, 0, **EXPIRED)), "freeExpired", False, "Upgrade"),
        (scene(gauge(9, 9), status="past_due"), "pastDue", False, "Update payment"),
        (scene(gauge(9, 9), status="paused"), "trialEnded", False, "Add payment method"),
        (scene(status="trialing", payment=Payment(has_method=True)), "trial", False, "Choose a plan"),
        (scene(status="paused", was_paused=True), "paused", False, "Contact Support"),
        (scene(payment=owing()), "pastDue", False, "Update payment"),
        (scene(payment=Payment(top_up_stopped=True)), "topUpStopped", False, "Update payment"),
        (scene(payment=ENDING), "methodExpiring", True, "Update payment"),
        (scene(gauge(9, 9), status="trialing"), "trial", False, "Add payment method"),
        (scene(gauge(-1, 9), running=1), "negative", False, "Top up or upgrade"),
    ],
)
def test_each_banner_names_its_action_and_only_those_below_100_percent_can_be_put_away(
    shown: Scene, kind: str, removable: bool, label: str
) -> None:
    banner = banners(shown, NOBODY, NOW)[0]
    assert (banner.kind, banner.is_removable) == (kind, removable)
    assert banner.action is not None
    assert (banner.action.label, banner.action.url) == (label, None)


def test_where_the_operator_sells_by_hand_every_action_is_support() -> None:
    for support, url in [
        (Support("help@example.com"), "mailto:help@example.com"),
        (Support("help@example.com", "https://example.com/help"), "https://example.com/help"),
    ]:
        found = banners(scene(gauge(0, 300), gauge(10, 100, "toolRuns"), status="past_due"), support, NOW)
        assert {(one.action.way, one.action.label, one.action.url) for one in found if one.action} == {
            ("support", "Contact Support", url)
        }


def test_paying_is_for_people_themselves_wherever_there_is_a_page_for_it() -> None:
    support = Support("help@example.com", payment_url="https://tally.example/pay")
    shown = scene(gauge(0, 300), status="trialing", payment=owing())
    assert [(one.kind, one.action.url) for one in banners(shown, support, NOW) if one.action] == [
        ("pastDue", "https://tally.example/pay"),
        ("exhausted", "mailto:help@example.com"),
        ("trial", "https://tally.example/pay"),
    ]


def test_a_card_that_ends_is_put_away_until_there_is_another() -> None:
    [banner] = banners(scene(gauge(300, 300), payment=ENDING), NOBODY, NOW)
    assert banner.id == "methodExpiring-4242-2026-03-31"
    assert still_shown([banner], [banner.id, "credits.50.4"]) == []
    assert still_shown([banner], ["methodExpiring-4444-2026-03-31", "credits.50.4"]) == [banner]


def test_a_card_that_has_ended_is_told_as_such() -> None:
    at = dt.datetime(2026, 3, 31, 22, tzinfo=dt.UTC)
    for now, word in ((at - dt.timedelta(seconds=1), "is"), (at, "was")):
        [message] = seen(scene(payment=ENDING, zone="Europe/Berlin"), now=now)
        assert f"4242 {word} good until 31 Mar 2026." in message


def test_the_last_day_of_a_trial_is_one_day() -> None:
    trial = scene(gauge(75, 75), status="trialing")
    assert [seen(trial, now=at)[0].split(",")[0] for at in (END - dt.timedelta(hours=1), END)] == [
        "trial: Trial: 1 day left",
        "trial: Trial: 0 days left",
    ]


def test_a_banner_put_away_is_gone_until_the_next_threshold_or_allocation() -> None:
    def left(away: list[str], *gauges: Gauge) -> list[str]:
        return [one.id for one in still_shown(banners(scene(*gauges), NOBODY, NOW), away)]

    half = gauge(150, 300, number=4)
    assert left([], half) == ["credits.50.4"]
    assert left(["credits.50.4"], half) == []
    assert left(["credits.50.4"], gauge(90, 300, number=4)) == ["credits.70.4"]
    assert left(["credits.50.4"], gauge(150, 300, number=5)) == ["credits.50.5"]
    assert left(["credits.50.4"], gauge(150, 300, "toolRuns", number=4)) == ["toolRuns.50.4"]
    # A return brings the share down again; who was told of 70 % need not hear of 50 %.
    assert left(["credits.70.4"], half) == []
    assert left(["credits.90.4"], gauge(0, 300, number=4)) == ["credits.exhausted.4"]


def test_without_billing_rights_there_is_one_banner_and_no_figure() -> None:
    assert paused() == Banner(
        "runsPaused", "runsPaused", None, None, None, "New runs are paused. Ask an owner or admin.", False, None
    )
