"""The table of tax rates that ships with the package, or the operator's own file in its place."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Final

from tallystick.domain.billing.taxes import Rate, RateTable, read_rates
from tallystick.kernel.errors import TallystickError

_SHIPPED: Final = "rates.toml"


def shipped_rates() -> dict[str, tuple[Rate, ...]]:
    """The standard rates of VAT that ship, by country."""
    return read_rates(tomllib.loads(resources.files(__package__).joinpath(_SHIPPED).read_text(encoding="utf-8")))


def load(path: Path | None, registered: str = "") -> RateTable:
    """The shipped tax service, with the rates of a TOML file in place of the shipped ones where one is named.

    `registered` lists countries by commas in which the seller charges beside its own. Raises `invalidSetting`.
    """
    try:
        rates = shipped_rates() if path is None else read_rates(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise TallystickError(
            "invalidSetting",
            f"The tax rates can't be read: {error}.",
            setting="TALLY_TAX_RATES",
            value=str(path)[:200],
        ) from error
    countries = frozenset(part.strip().upper() for part in registered.split(",") if part.strip())
    unknown = sorted(countries - rates.keys())
    if unknown:
        raise TallystickError(
            "invalidSetting",
            f"TALLY_TAX_COUNTRIES names countries that no tax rate is known of: {', '.join(unknown)}.",
            setting="TALLY_TAX_COUNTRIES",
            value=registered[:200],
        )
    return RateTable(rates, countries)
