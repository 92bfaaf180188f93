"""References of bank transfers: an invoice's number with check digits, after ISO 11649, and how one is found in a text.

`RF18INV000042` says whose money it is even where the sender's bank cut, spaced or capitalised what was typed; a digit
that was mistyped does not fit the check digits, so a transfer is never taken for another invoice's.
"""

import re
from collections.abc import Iterator
from typing import Final

from tallystick.domain.billing.accounts import mod_97

_LONGEST: Final = 21
_PIECES_MOST: Final = 12
_TEXT_MOST: Final = 1_000
_STRANGE: Final = re.compile(r"[^A-Z0-9]")
_PIECE: Final = re.compile(r"[A-Z0-9]+")


def body_of(number: str) -> str:
    """What of an invoice's number goes into its reference: capitals and digits, the last 21 of them."""
    return _STRANGE.sub("", number.upper())[-_LONGEST:]


def creditor_reference(number: str) -> str:
    """The reference of the invoice with this number, such as `RF45INV000042`."""
    body = body_of(number) or "0"
    return f"RF{98 - mod_97(body + 'RF00'):02d}{body}"


def shown(reference: str) -> str:
    """In groups of four, as ISO 11649 has it on paper."""
    return " ".join(reference[place : place + 4] for place in range(0, len(reference), 4))


def is_reference(text: str) -> bool:
    """Whether `text`, capitals and digits alone, is a creditor reference whose check digits fit."""
    is_shaped = len(text) in range(5, _LONGEST + 5) and text.startswith("RF") and text[2:4].isdigit()
    return is_shaped and text.isascii() and mod_97(text[4:] + text[:4]) == 1


def named_in(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The bodies of invoice numbers that a text may name: those with right check digits, and those without any.

    Spaces, dashes and capitals do not matter. What has no check digits is only a guess.
    """
    sure: set[str] = set()
    perhaps: set[str] = set()
    for joined in _runs(text[:_TEXT_MOST].upper()):
        if is_reference(joined):
            sure.add(joined[4:])
        elif len(joined) <= _LONGEST:
            perhaps.add(joined)
    return frozenset(sure), frozenset(perhaps)


def _runs(text: str) -> Iterator[str]:
    """Every run of neighbouring pieces of a text, joined: senders and banks put spaces anywhere."""
    pieces = _PIECE.findall(text)
    for first in range(len(pieces)):
        joined = ""
        for piece in pieces[first : first + _PIECES_MOST]:
            joined += piece
            if len(joined) > _LONGEST + 4:
                break
            yield joined
