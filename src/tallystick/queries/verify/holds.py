"""Holds in themselves, and what ended grants keep for them (rules M8, M20)."""

from typing import Any, Final

from tallystick.domain.credits.holds import EXPIRED, HELD
from tallystick.domain.differences import Figure, figure
from tallystick.queries.verify.checking import Check
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_UNITS: Final = ("credits", "tool_runs")


async def check(conn: Connection, check: Check) -> None:
    """Every hold and kept grant of one workspace; that a balance holds what they set aside is the ledger's check."""
    check.checked.holds += (await _rows(conn, check, "hold_count"))[0]["holds"]
    for row in await _rows(conn, check, "holds"):
        check.found("holdDiffers", {"holdUuid": row["id"], "status": row["status"]}, _implausible(row))
    for row in await _rows(conn, check, "kept"):
        check.found("grantDiffers", {"unit": row["unit"]}, (figure("kept", row["held"], row["kept"]),))
    for row in await _rows(conn, check, "kept_grants"):
        ids = {"grantUuid": row["id"], "unit": row["unit"], "source": row["source"]}
        check.found("grantDiffers", ids, (figure("kept", row["remaining"], row["kept"]),))


def _implausible(row: Row) -> tuple[Figure, ...]:
    """What of a hold cannot be: what it sets aside, or when and by which request it ended."""
    found = []
    for unit in _UNITS:
        most = row[f"asked_{unit}"] - max(row[f"settled_{unit}"], 0) if row["status"] == HELD else 0
        if not 0 <= row[unit] <= max(most, 0):
            found.append(figure(unit, max(most, 0), row[unit]))
    ended = row["finished_at"]
    if row["status"] == HELD and ended is not None:
        found.append(figure("finished_at", None, ended))
    if row["status"] == EXPIRED and ended != row["expires_at"]:
        found.append(figure("finished_at", row["expires_at"], ended))
    if row["status"] not in (HELD, EXPIRED) and (ended is None or ended >= row["expires_at"]):
        found.append(figure("finished_at", "before its deadline", ended))
    is_asked = row["status"] not in (HELD, EXPIRED)
    if is_asked != (row["finish_key"] is not None):
        found.append(figure("finish_key", "a request's" if is_asked else None, row["finish_key"]))
    return tuple(found)


async def _rows(conn: Connection, check: Check, query: str) -> list[Any]:
    return list(await (await conn.execute(SQL[query], check.given)).fetchall())
