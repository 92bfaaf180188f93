"""What a mail says: one letter, from which its HTML and its plain text are both made (row E10).

A letter gives the figure, what stops, what goes on, and one way on. Names in it come from customers and are hostile:
whoever renders it escapes them, and `one_line` keeps them out of headers.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from tallystick.domain.telling import figures
from tallystick.kernel.credits import NANO

Tone = Literal["good", "note", "warning", "alarm"]
"""How a letter looks; its label says the same in words, since colour alone says nothing."""

_LONGEST_NAME: Final = 80
# They join letters of Persian and parts of emoji, and move nothing around.
_JOINERS: Final = "\u200c\u200d"
_LONGEST_SUBJECT: Final = 160
_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount as people read it; `exact` has all digits where `value` leaves some out."""

    label: str
    value: str
    exact: str | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """A line of a table; `is_code` is for what is copied, such as an address."""

    label: str
    value: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """`preheader` is what a list of mails shows beside the subject; `way_on` is the next step, with its address."""

    subject: str
    preheader: str
    tone: Tone
    label: str
    headline: str
    paragraphs: tuple[str, ...]
    figures: tuple[Figure, ...]
    details: tuple[Detail, ...]
    steps: tuple[str, ...]
    way_on: tuple[str, str] | None
    footer: str


@dataclass(frozen=True, slots=True)
class Account:
    """One balance of a workspace as letters show it, in nano-units; `allocation` is rule M18's."""

    posted: int
    allocation: int


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a letter says beside its fact. Limits are in nano-credits; support is the operator's, where it is named.

    `method` is what invoices are collected from by themselves, as part of a sentence; None where nothing is.
    `payment_url` is where to pay, `invoice_urls` where invoices are read, by their uuid.
    """

    workspace: str
    zone: str
    credits: Account
    tool_runs: Account
    fine_tune_minimum: int
    negative_limit: int
    support_email: str | None = None
    support_url: str | None = None
    method: str | None = None
    payment_url: str | None = None
    invoice_urls: Mapping[str, str] = field(default_factory=dict)

    @property
    def way_on(self) -> tuple[str, str] | None:
        """A label and an address under which credits are added."""
        if self.support_url:
            return ("Contact Support", self.support_url)
        return ("Write to Support", f"mailto:{self.support_email}") if self.support_email else None

    @property
    def support(self) -> str:
        """Support with all that is known about it, as part of a sentence."""
        known = [text for text in (self.support_email, self.support_url) if text]
        return f"Support ({', '.join(known)})" if known else "Support"


@dataclass(slots=True)
class Draft:
    """A letter in the making: what its kind says. The rest is the same in all of them."""

    subject: str
    headline: str
    tone: Tone
    label: str
    preheader: str = ""
    paragraphs: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    may_top_up: bool = True
    way_on: tuple[str, str] | None = None

    def finish(self, about: Circumstances, topic: str) -> Letter:
        """The letter, its texts on one line each."""
        return Letter(
            subject=subject_line(self.subject),
            preheader=one_line(self.preheader or self.paragraphs[0]),
            tone=self.tone,
            label=one_line(self.label),
            headline=one_line(self.headline),
            paragraphs=tuple(map(one_line, self.paragraphs)),
            figures=tuple(self.figures),
            details=tuple(Detail(one_line(d.label), one_line(d.value), d.is_code) for d in self.details),
            steps=tuple(map(one_line, self.steps)),
            way_on=self.way_on or (about.way_on if self.may_top_up else None),
            footer=one_line(
                f"You get this mail because you are an owner or admin of {name(about.workspace)}. To get none about "
                f"{topic}, run: tally notification set --no-{topic}"
            ),
        )


def one_line(text: str) -> str:
    """Without line breaks and control characters of any script's, so that nothing becomes a header or a line."""
    visible = "".join(one if one.isprintable() or one in _JOINERS else " " for one in text)
    return " ".join(visible.split())


def subject_line(text: str) -> str:
    """A subject: one line, not endless, and nothing that a mail program would take for an encoded word."""
    line = one_line(text).replace("=?", "= ?")
    return line if len(line) <= _LONGEST_SUBJECT else line[: _LONGEST_SUBJECT - 1].rstrip() + "…"


def name(text: object) -> str:
    """A customer's name as part of a sentence: one line, cut where it would drown the rest."""
    line = one_line(str(text))
    return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1].rstrip() + "…"


def nano(data: Mapping[str, Any], key: str) -> int | None:
    """An amount of a fact in nano-units; None where it has none that can be read."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        amount = Decimal(value)
        return int(amount * NANO) if amount.is_finite() and amount.adjusted() < _DIGITS_MAX else None
    except (ArithmeticError, ValueError):
        return None


def moment(data: Mapping[str, Any], key: str, zone: str) -> str | None:
    """An instant of a fact as people read it; None where it has none that can be read."""
    at = _instant(data, key)
    return None if at is None else figures.moment(at, zone)


def _instant(data: Mapping[str, Any], key: str) -> dt.datetime | None:
    try:
        at = dt.datetime.fromisoformat(str(data.get(key)))
    except ValueError:
        return None
    # No zone takes what is this close to the ends of the calendar any further.
    return at if at.tzinfo and 1 < at.year < dt.MAXYEAR else None


def date(data: Mapping[str, Any], key: str, zone: str) -> str | None:
    """The day of an instant of a fact; None where it has none that can be read."""
    at = _instant(data, key)
    return None if at is None else figures.date(at, zone)


def minor(data: Mapping[str, Any], key: str) -> int | None:
    """Money of a fact in minor units; None where it has none that can be read."""
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_DIGITS_MAX else None


def text(data: Mapping[str, Any], key: str) -> str | None:
    """A text of a fact on one line; None where there is none."""
    value = data.get(key)
    return (one_line(value) or None) if isinstance(value, str) else None


def pay(about: Circumstances, label: str) -> tuple[str, str] | None:
    """The way to paying; to support where there is no page for it."""
    return (label, about.payment_url) if about.payment_url else about.way_on


def shown(label: str, amount: int) -> Figure:
    """An amount as a figure."""
    return Figure(label, figures.amount(amount), figures.exact(amount))


def account_figures(account: Account, unit: str) -> list[Figure]:
    """What is left and what there was; every letter has them."""
    word = "Credits" if unit == "credits" else "Tool runs"
    return [shown(f"{word} remaining", account.posted), shown(f"Total {word.lower()}", account.allocation)]


def account_of(data: Mapping[str, Any], otherwise: Account) -> Account:
    """The balance as a fact has it, which is that of its instant; `otherwise` where it has none."""
    posted = _first(data, "posted", "creditsPosted", "creditsRemaining")
    allocation = _first(data, "granted", "creditsTotal")
    return otherwise if posted is None or allocation is None else Account(posted, allocation)


def _first(data: Mapping[str, Any], *keys: str) -> int | None:
    return next((value for key in keys if (value := nano(data, key)) is not None), None)
