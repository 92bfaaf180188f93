"""What was earned by bought credits: deferred, recognised and expired, by UTC month and currency (rule M26)."""

import datetime as dt
from dataclasses import dataclass, fields
from typing import Final

from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)

MONTHS_MOST: Final = 120


@dataclass(frozen=True, slots=True)
class Month:
    """A UTC month of one currency in minor units, net of tax but for `tax`, which was charged less what was credited.

    `deferred` is what is still owed in credits at its end.
    """

    month: dt.date
    currency: str
    sold: int
    recognised: int
    breakage: int
    refunded: int
    charged_back: int
    deferred: int
    tax: int


_FIELDS: Final = tuple(field.name for field in fields(Month))


async def report(database: Database, *, since: dt.date, until: dt.date) -> list[Month]:
    """Every month that a day from `since` to `until` lies in, of every currency that had anything until then.

    Recognise first (flows/revenue.py). Raises `invalidRange` and `rangeTooLong`.
    """
    if since > until:
        raise TallystickError("invalidRange", "`from` must not be after `to`.")
    months = (until.year - since.year) * 12 + until.month - since.month + 1
    if months > MONTHS_MOST:
        raise TallystickError("rangeTooLong", f"A report has at most {MONTHS_MOST} months.", limit=MONTHS_MOST)
    async with database.read() as conn:
        rows = await (await conn.execute(SQL["report"], {"since": since, "until": until})).fetchall()
    return [Month(**{name: row[name] for name in _FIELDS}) for row in rows]
