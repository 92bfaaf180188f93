"""How amounts, numbers and days are written in a locale, and the words of a document in its language."""

import copy
import datetime as dt
import tomllib
import unicodedata
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval
from babel.numbers import NumberPattern, format_decimal, format_percent

from tallystick.kernel.credits import NANO
from tallystick.kernel.currencies import exponent

FALLBACK: Final = "en"
_LEFT_TO_RIGHT: Final = "\u200e"
_RIGHT_TO_LEFT: Final = "\u200f"
_PRICE_DECIMALS: Final = 9
_SHORT_DECIMALS: Final = 4


@cache
def labels(language: str) -> dict[str, str]:
    """The words of a document by key; English ones for a language that there are none in."""
    folder = files(__package__).joinpath("labels")
    file = folder.joinpath(f"{language}.toml")
    if not file.is_file():
        file = folder.joinpath(f"{FALLBACK}.toml")
    return {name: str(text) for name, text in tomllib.loads(file.read_text("utf-8")).items()}


@cache
def locale_of(name: str) -> Locale:
    """The locale of a name such as `de`, `pt-BR` or `zh_Hant_TW`, or the nearest one known; English where none is."""
    parts = name.replace("-", "_").split("_")
    while parts:
        try:
            return Locale.parse("_".join(parts))
        except (UnknownLocaleError, ValueError, TypeError):
            parts.pop()
    return Locale.parse(FALLBACK)


class Form:
    """One locale's ways of writing, for documents in one currency.

    Numbers are in Latin digits in every language, as they are on a bank statement.
    """

    def __init__(self, locale: str, currency: str) -> None:
        self.locale = locale_of(locale)
        self.currency = currency.upper()
        self._places = exponent(currency)
        self._money = _pattern(self.locale, self._places, self._places)
        self.words = labels(self.locale.language)
        self._way = "R" if self.locale.text_direction == "rtl" else "L"

    def say(self, key: str, **parts: str) -> str:
        """The words of a key, with parts put in."""
        words = self.words[key]
        for name, value in parts.items():
            words = words.replace("{" + name + "}", value)
        return words

    def isolate(self, text: str) -> str:
        """A name or a number as it is, whichever way the line around it runs: marks say which way its own ends go."""
        way = _way(text)
        if way == self._way:
            return text
        mark = _LEFT_TO_RIGHT if way == "L" else _RIGHT_TO_LEFT
        return f"{mark}{text}{mark}"

    def money(self, minor: int) -> str:
        """An amount with its currency, such as `$99.00` or `99,00 €`."""
        written = self._write(self._money, Decimal(minor).scaleb(-self._places))
        # The full-width sign has no place among the figures of our fonts.
        return written.replace("\uffe5", "¥")

    def amount(self, minor: int) -> str:
        """An amount without its currency, for columns."""
        return self._decimal(Decimal(minor).scaleb(-self._places), self._places, self._places)

    def price(self, minor: Decimal) -> str:
        """A price in minor units, with all decimals that it has."""
        return self._decimal(minor.scaleb(-self._places), self._places, self._places + _PRICE_DECIMALS)

    def number(self, value: Decimal | int) -> str:
        """A number with all its decimals."""
        return str(format_decimal(value, locale=self.locale, decimal_quantization=False))

    def credits(self, nano: int) -> str:
        """Credits with all their decimals."""
        return self.number(Decimal(nano) / NANO)

    def short(self, value: Decimal) -> str:
        """A number to a few decimals, half to even, for reading beside others."""
        return self._decimal(value, 0, _SHORT_DECIMALS)

    def short_nano(self, nano: int) -> str:
        """Credits, likewise."""
        return self.short(Decimal(nano) / NANO)

    def percent(self, ppm: int) -> str:
        """A rate such as `19%` or `5,5 %`."""
        return str(format_percent(Decimal(ppm) / 1_000_000, locale=self.locale, decimal_quantization=False))

    def day(self, day: dt.date) -> str:
        """A day, with the month's name where the language writes it."""
        return str(format_date(day, "long", locale=self.locale))

    def days(self, first: dt.date, last: dt.date) -> str:
        """From one day to another, both meant."""
        if first == last:
            return self.day(first)
        return str(format_interval(first, last, "yMMMd", locale=self.locale))

    def _decimal(self, value: Decimal, least: int, most: int) -> str:
        return self._write(_plain_pattern(self.locale, least, most), value)

    def _write(self, pattern: NumberPattern, value: Decimal) -> str:
        return str(pattern.apply(value, self.locale, currency=self.currency, currency_digits=False))


@cache
def _pattern(locale: Locale, least: int, most: int) -> NumberPattern:
    return _with_decimals(locale.currency_formats["standard"], least, most)


@cache
def _plain_pattern(locale: Locale, least: int, most: int) -> NumberPattern:
    return _with_decimals(locale.decimal_formats[None], least, most)


def _way(text: str) -> str:
    """R where the first letter is of a script that runs from right to left, else L."""
    if text.isascii():
        return "L"
    ways = (unicodedata.bidirectional(character) for character in text)
    return next(("L" if way == "L" else "R" for way in ways if way in ("L", "R", "AL")), "L")


def _with_decimals(pattern: NumberPattern, least: int, most: int) -> NumberPattern:
    """A pattern that writes at least and at most so many decimals. How many a currency has is ours to say."""
    changed = copy.copy(pattern)
    changed.frac_prec = (least, most)
    return changed
