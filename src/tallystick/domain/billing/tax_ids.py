"""Tax ids: their syntax and check digits, offline, and which country's they are."""

from typing import Final

from stdnum.exceptions import ValidationError
from stdnum.util import get_cc_module

from tallystick.domain.texts import check_text
from tallystick.kernel.errors import TallystickError

EU: Final = frozenset(
    {
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU"),
        *("LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    }
)
"""Member states by ISO 3166-1 alpha-2."""

_PREFIXES: Final = {"EL": "GR"}
"""Prefixes of tax ids that are not their country's code."""

_PREFIX_OF: Final = {country: prefix for prefix, country in _PREFIXES.items()}
_CHECKED: Final = EU | {"CH", "GB", "NO"}
_LONGEST: Final = 32


def check_tax_id(text: str, country: str) -> str:
    """A tax id in its shortest form with its prefix, such as `DE136695976`. `country` is the buyer's, alpha-2.

    Those of the EU, Switzerland, the United Kingdom and Norway are checked to their last digit, others only for being
    a short text. Whether one was ever given out is not asked. Raises `invalidTaxId`.
    """
    shown = check_text(text, field="taxId").strip()
    owner = _owner(shown, country)
    if owner not in _CHECKED:
        if len(shown) > _LONGEST:
            raise _invalid(shown, owner)
        return shown
    # A module for each country's numbers; they take the prefix and leave it out.
    module = get_cc_module(owner.lower(), "vat")
    if module is None:
        raise AssertionError(f"{owner} is checked, and its numbers have a module")
    try:
        compact = str(module.validate(shown))
    except ValidationError as error:
        raise _invalid(shown, owner) from error
    # Swiss ones begin with CHE, which is a part of the number.
    return compact if owner == "CH" else _PREFIX_OF.get(owner, owner) + compact


def tax_id_country(text: str | None, country: str) -> str | None:
    """The country whose valid tax id it is; None for none, and for one that is wrong or of no country that we check."""
    if not text:
        return None
    try:
        check_tax_id(text, country)
    except TallystickError:
        return None
    owner = _owner(text.strip(), country)
    return owner if owner in _CHECKED else None


def _owner(text: str, country: str) -> str:
    """By its prefix, else the country that the buyer is in."""
    prefix = text[:2].upper()
    prefix = _PREFIXES.get(prefix, prefix)
    return prefix if prefix in _CHECKED else country.upper()


def _invalid(text: str, country: str) -> TallystickError:
    return TallystickError(
        "invalidTaxId", f"This is not a tax id of {country or 'any country'}.", field="taxId", value=text[:64]
    )
