"""Prices and meters on the wire."""

import datetime as dt
from typing import Any
from uuid import UUID

from tallystick.wire.identity import Page, Wire


class PriceList(Page):
    """`target`: versions whose target begins with it; `at`: only those in force then, one a target."""

    target: str = ""
    at: dt.datetime | None = None


class AddPrice(Wire):
    """`rates` as the model wants them (docs/concepts/rating.md); `validFrom` null or left out: from the beginning."""

    target: str
    model: str
    rates: dict[str, Any]
    valid_from: dt.datetime | None = None
    reason: str = ""


class Price(Wire):
    """`validFrom` null: from the beginning. `sourceText` and the `cost` in `rates` are for operators alone."""

    uuid: UUID
    target: str
    valid_from: dt.datetime | None
    model: str
    rates: dict[str, Any]
    origin: str
    source: str
    source_text: str | None
    created_at: dt.datetime


class PriceAnswer(Wire):
    price: Price


class PricesAnswer(Wire):
    prices: list[Price]


class AddMeter(Wire):
    """`slug` may hold `{provider}`, `{integration}` and `{action}`."""

    type: str
    category: str
    slug: str
    unit: str
    reason: str = ""


class Meter(Wire):
    type: str
    category: str
    slug: str
    unit: str
    builtin: bool


class MeterAnswer(Wire):
    meter: Meter


class MetersAnswer(Wire):
    meters: list[Meter]
