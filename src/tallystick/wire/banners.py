"""Banners and the credit-usage widget on the wire."""

import datetime as dt
from typing import Literal
from uuid import UUID

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import UnitName, Wire


class BannerAction(Wire):
    """What to do about it; `url` is null where only the platform knows the page for it."""

    way: Literal[
        "topUpOrUpgrade", "upgradeOrTopUp", "upgrade", "choosePlan", "updatePayment", "addPaymentMethod", "support"
    ]
    label: str
    url: str | None


class Banner(Wire):
    """`percent` is the threshold, `usedPercent` the share with two decimals; both null where it is about neither.

    `id` is the same until the banner speaks of the next threshold, allocation or state.
    """

    id: str
    kind: Literal[
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
    unit: UnitName | None
    percent: int | None
    used_percent: Credits | None
    message: str
    removable: bool
    action: BannerAction | None


class BannersAnswer(Wire):
    """The most pressing first."""

    banners: list[Banner]


class WidgetBalance(Wire):
    """`remaining` is never below zero, `posted` may be; `expiresAt` is the first end of a grant with something left."""

    total: Credits
    remaining: Credits
    used: Credits
    used_percent: Credits
    posted: Credits
    held: Credits
    state: Literal["healthy", "moderate", "low", "exhausted"]
    expires_at: dt.datetime | None


class WidgetUsage(Wire):
    """Credits used since the billing period began, by whole UTC days."""

    models: Credits
    guardrails: Credits
    scripts: Credits
    others: Credits


class Widget(Wire):
    """`state` and `icon` are the worse balance's: green above 75 % left, yellow from 25 to 75, red below 25, warning at
    0 (a triangle)."""

    account_id: UUID
    state: Literal["healthy", "moderate", "low", "exhausted"]
    icon: Literal["green", "yellow", "red", "warning"]
    credits: WidgetBalance
    tool_runs: WidgetBalance
    used: WidgetUsage
    as_of: dt.datetime


class WidgetAnswer(Wire):
    widget: Widget
