"""Invoices, their lines and the usage behind them. Whoever writes has locked the workspace's balances or the row."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.billing.accounts import Address
from tallystick.domain.billing.invoices import Invoice, Line, Party, Tax, Used
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import Period
from tallystick.store.database import Connection, Row, together
from tallystick.store.named_sql import load

SQL = load(__file__)

_FIELDS: Final = tuple(
    field.name for field in fields(Invoice) if field.name not in ("taxes", "seller", "buyer", "number")
)
_USED: Final = tuple(field.name for field in fields(Used))
_NIL: Final = UUID(int=0)
_EVER: Final = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
# Decimals go as texts, so that they keep their digits.
_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


async def insert(conn: Connection, invoice: Invoice, lines: Sequence[Line] = (), used: Sequence[Used] = ()) -> None:
    """Add an invoice with its lines and the usage behind them."""
    await conn.execute(SQL["insert"], {"row": _row(invoice)})
    await add_lines(conn, invoice, lines, used)


async def add_lines(conn: Connection, invoice: Invoice, lines: Sequence[Line], used: Sequence[Used] = ()) -> None:
    """Add lines and the usage behind them; what is issued gets none anymore."""
    of_it = {"workspace_id": invoice.workspace_id, "invoice_id": invoice.id}
    if lines:
        await conn.execute(SQL["insert_lines"], of_it | {"rows": _encode(lines).decode()})
    if used:
        await conn.execute(SQL["insert_usage"], of_it | {"rows": _encode(used).decode()})


async def replace_lines(conn: Connection, invoice: Invoice, lines: Sequence[Line], used: Sequence[Used]) -> None:
    """Put these in place of a draft's lines."""
    await conn.execute(SQL["delete_lines"], {"workspace_id": invoice.workspace_id, "invoice_id": invoice.id})
    await add_lines(conn, invoice, lines, used)


async def save(conn: Connection, invoice: Invoice) -> None:
    """Write back what changes of an invoice."""
    given = {"workspace_id": invoice.workspace_id, "id": invoice.id, "row": _row(invoice)}
    await conn.execute(SQL["save"], given)


async def find(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> Invoice:
    """One invoice, not locked. Raises `invoiceNotFound`."""
    return await _one(conn, "by_id", workspace_id, invoice_id)


async def lock(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> Invoice:
    """One invoice, locked until the transaction ends. Raises `invoiceNotFound`."""
    return await _one(conn, "lock", workspace_id, invoice_id)


async def lock_open(conn: Connection, workspace_id: UUID) -> list[Invoice]:
    """What of a workspace is still to be paid, locked, the oldest first."""
    rows = await (await conn.execute(SQL["lock_open"], {"workspace_id": workspace_id})).fetchall()
    return [invoice_of(row) for row in rows]


async def due(
    conn: Connection, now: dt.datetime, most: int, *, workspace_id: UUID | None = None
) -> list[tuple[UUID, UUID]]:
    """(workspace, invoice) with something to be done, in order of time; of one workspace, or of all without a clock."""
    given = {"now": now, "limit": most, "workspace_id": workspace_id}
    return [(row["workspace_id"], row["id"]) for row in await (await conn.execute(SQL["due"], given)).fetchall()]


async def next_number(conn: Connection, series: str) -> int:
    """Take the next number of a series, from 1: no other transaction gets one before this one ends."""
    row = await (await conn.execute(SQL["next_number"], {"series": series})).fetchone()
    if row is None:
        raise AssertionError("a number that was just taken is there")
    return int(row["number"])


async def lines(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> list[Line]:
    """The lines of an invoice, in order."""
    given = {"workspace_id": workspace_id, "invoice_id": invoice_id}
    return [Line(**row) for row in await (await conn.execute(SQL["lines"], given)).fetchall()]


async def notes(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> list[Invoice]:
    """The credit notes of an invoice, in order."""
    given = {"workspace_id": workspace_id, "invoice_id": invoice_id}
    return [invoice_of(row) for row in await (await conn.execute(SQL["notes"], given)).fetchall()]


async def delete_draft(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> None:
    """Drop a draft with its lines; what has a number stays."""
    await conn.execute(SQL["delete_draft"], {"workspace_id": workspace_id, "id": invoice_id})


async def used(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> list[Used]:
    """The usage behind an invoice."""
    given = {"workspace_id": workspace_id, "invoice_id": invoice_id}
    return [Used(**row) for row in await (await conn.execute(SQL["usage"], given)).fetchall()]


@dataclass(frozen=True, slots=True)
class Listed:
    """Which charges the invoice of the period before lists: those used before `until` up to `through`.

    `through` is None while it is a draft: nobody knows yet.
    """

    until: dt.datetime
    through: UUID | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an invoice of a period lists: usage of the period itself and of earlier ones, and when those ended."""

    within: tuple[Used, ...]
    before: tuple[Used, ...]
    ends: Mapping[dt.datetime, dt.datetime]

    @property
    def all(self) -> tuple[Used, ...]:
        return (*self.before, *self.within)


async def listed_before(conn: Connection, workspace_id: UUID, period_start: dt.datetime) -> Listed | None:
    """What earlier invoices list; None where there is none."""
    given = {"workspace_id": workspace_id, "period_start": period_start}
    row = await (await conn.execute(SQL["previous"], given)).fetchone()
    return Listed(row["period_end"], row["charged_through"]) if row else None


@dataclass(frozen=True, slots=True)
class Before:
    """What a draft has on it, and what earlier invoices list."""

    lines: tuple[Line, ...]
    listed: Listed | None


async def before(conn: Connection, draft: Invoice, period_start: dt.datetime) -> Before:
    """Both in one round trip."""
    of_it = {"workspace_id": draft.workspace_id, "invoice_id": draft.id, "period_start": period_start}
    found, previous = await together(conn, (SQL["lines"], of_it), (SQL["previous"], of_it))
    listed = [Listed(row["period_end"], row["charged_through"]) for row in previous]
    return Before(tuple(Line(**row) for row in found), listed[0] if listed else None)


async def usage_of(conn: Connection, workspace_id: UUID, period: Period, through: UUID, listed: Listed | None) -> Usage:
    """The charges up to the watermark `through` that were used before the period's end and no earlier invoice lists."""
    days_start, days_end = _whole_days(period)
    of_it = {"workspace_id": workspace_id, "through": through, "period_start": period.start}
    within = of_it | {
        "period_end": period.end,
        "days_start": days_start,
        "days_end": days_end,
        "first_day": days_start.date(),
        "end_day": days_end.date(),
    }
    before = of_it | {
        "since": listed.until if listed else _EVER,
        "after": listed.through if listed and listed.through else _NIL,
    }
    own, others = await together(conn, (SQL["usage_within"], within), (SQL["usage_before"], before))
    ends = {row["period_start"]: row["period_end"] for row in others}
    return Usage(tuple(map(_used_of, own)), tuple(map(_used_of, others)), ends)


def _whole_days(period: Period) -> tuple[dt.datetime, dt.datetime]:
    """The UTC days that lie wholly within a period, half-open; none, at its end, where there is no such day."""
    day = dt.timedelta(days=1)
    first = period.start.replace(hour=0, minute=0, second=0, microsecond=0)
    first = first if first == period.start else first + day
    last = period.end.replace(hour=0, minute=0, second=0, microsecond=0)
    return (first, last) if first < last else (period.end, period.end)


def _used_of(row: Row) -> Used:
    return Used(**{name: row[name] for name in _USED})


async def _one(conn: Connection, query: str, workspace_id: UUID, invoice_id: UUID) -> Invoice:
    row = await (await conn.execute(SQL[query], {"workspace_id": workspace_id, "id": invoice_id})).fetchone()
    if row is None:
        raise TallystickError("invoiceNotFound", "There is no such invoice.", id=str(invoice_id))
    return invoice_of(row)


def invoice_of(row: Row) -> Invoice:
    """The invoice of a row of `invoice`."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Invoice(
        **values,
        number=row["number"],
        taxes=tuple(Tax(**tax) for tax in row["taxes"]),
        seller=_party_of(row["seller"]),
        buyer=_party_of(row["buyer"]),
    )


def _party_of(stored: dict[str, Any]) -> Party | None:
    return Party(**(stored | {"address": Address(**stored["address"])})) if stored else None


def _row(invoice: Invoice) -> str:
    return _encode(asdict(invoice)).decode()
