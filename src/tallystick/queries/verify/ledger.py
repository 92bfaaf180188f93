"""The ledger in itself, and the balances and grants that it gives."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.grants import CREDITS, UNITS
from tallystick.domain.credits.refolding import Movement, allocation_after
from tallystick.domain.credits.thresholds import reached
from tallystick.domain.differences import figure, figures
from tallystick.queries.verify.checking import Check
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_BALANCE: Final = ("posted", "overdraft", "issued", "used", "expired", "allocation", "allocation_no", "seq")


@dataclass(slots=True)
class _Account:
    amount: int = 0
    covering: int = 0
    seq: int = 0


Accounts = Mapping[tuple[str, str, UUID | None], _Account]
"""What each account holds by its entries: unit, account, grant."""


async def check(conn: Connection, check: Check) -> None:
    """Every transaction, entry, balance and grant of one workspace."""
    first = await _check_entries(conn, check)
    movements = await _check_transactions(conn, check)
    accounts: dict[tuple[str, str, UUID | None], _Account] = {}
    for row in await _rows(conn, check, "accounts"):
        check.checked.entries += row["entries"]
        accounts[row["unit"], row["account"], row["grant_id"]] = _Account(row["amount"], row["covering"], row["seq"])
    grants = await _rows(conn, check, "grants")
    await _check_balances(conn, check, accounts, movements, grants)
    await _check_grants(conn, check, accounts, first, grants)


async def _check_entries(conn: Connection, check: Check) -> dict[UUID, int]:
    """The running balances; what was first booked on each grant."""
    first: dict[UUID, int] = {}
    async with conn.cursor("verify_entries") as cursor:
        await conn.execute("SET LOCAL cursor_tuple_fraction = 1")
        await cursor.execute(SQL["entries"], check.given)
        async for row in cursor:
            if row["account"] == "grant" and row["before"] is None:
                first[row["grant_id"]] = row["amount"]
            expected = (row["before"] or 0) + row["amount"]
            if expected != row["balance_after"]:
                code = "entryDoubled" if row["again"] else "runningBalanceDiffers"
                ids = {name: row[name] for name in ("unit", "seq", "position", "account")}
                if row["grant_id"] is not None:
                    ids["grantUuid"] = row["grant_id"]
                entry = (figure("amount", 0 if row["again"] else None, row["amount"]),)
                balance = (figure("balance_after", expected, row["balance_after"]),)
                check.found(code, ids, entry if row["again"] else balance)
    return first


async def _check_transactions(conn: Connection, check: Check) -> dict[str, tuple[int, int]]:
    """Balance and sequence of every transaction; the allocation of each unit and its number, as they must be now."""
    allocations = dict.fromkeys(UNITS, (0, 0))
    async with conn.cursor("verify_transactions") as cursor:
        await conn.execute("SET LOCAL cursor_tuple_fraction = 1")
        await cursor.execute(SQL["transactions"], check.given)
        async for row in cursor:
            if row["id"] is None:
                check.found("transactionMissing", _named(row), (figure("used", None, row["used"]),))
                continue
            if row["seq"] != (row["previous"] or 0) + 1:
                check.found("sequenceGap", _named(row), (figure("seq", (row["previous"] or 0) + 1, row["seq"]),))
            if row["total"] is None:
                check.found("transactionEmpty", _named(row), (figure("entries", None, 0),))
                continue
            if row["total"]:
                check.found("transactionUnbalanced", _named(row), (figure("total", 0, row["total"]),))
            movement = Movement(
                row["kind"],
                row["key"].startswith("history:"),
                row["posted"],
                row["issued"],
                row["expired"],
                row["used"],
                row["given"],
            )
            allocations[row["unit"]] = allocation_after(allocations[row["unit"]], movement)
    counted = await (await conn.execute(SQL["transaction_count"], check.given)).fetchone()
    check.checked.transactions += counted["transactions"] if counted else 0
    return allocations


async def _check_balances(
    conn: Connection,
    check: Check,
    accounts: Accounts,
    allocations: Mapping[str, tuple[int, int]],
    grants: Iterable[Row],
) -> None:
    stored = {row["unit"]: row for row in await _rows(conn, check, "balances")}
    for unit in UNITS:
        row = stored.get(unit)
        if row is None:
            check.found("balanceDiffers", {"unit": unit}, (figure("balances", 1, 0),))
            continue
        check.checked.balances += 1
        held = {name: _held(accounts, unit, name) for name in ("issued", "overdraft", "usage", "expired", "grant")}
        expected = (
            held["grant"] + held["overdraft"],
            -held["overdraft"],
            -held["issued"],
            held["usage"],
            held["expired"],
            *allocations[unit],
            row["last_seq"] or 0,
        )
        differing = figures(_BALANCE, expected, tuple(row[name] for name in _BALANCE))
        if differing:
            check.found("balanceDiffers", {"unit": unit}, differing)
        # More than is reached may have been told: a return re-arms nothing (rule M19).
        least = reached(row["posted"], row["allocation"])
        if row["told"] < least:
            check.found("balanceDiffers", {"unit": unit}, (figure("told", least, row["told"]),))
        if row["held"] != row["set_aside"]:
            check.found("balanceDiffers", {"unit": unit}, (figure("held", row["set_aside"], row["held"]),))
        due = _due(unit, grants, row["period_end"], row["hold_end"] if unit == CREDITS else None)
        if due is not None and (row["due_at"] is None or row["due_at"] > due):
            check.found("balanceDiffers", {"unit": unit}, (figure("due_at", due, row["due_at"]),))


def _held(accounts: Accounts, unit: str, name: str) -> int:
    return sum(account.amount for (u, n, _), account in accounts.items() if u == unit and n == name)


def _due(
    unit: str, grants: Iterable[Row], period_end: dt.datetime | None, hold_end: dt.datetime | None
) -> dt.datetime | None:
    """The earliest instant at which something ends. Earlier in the balance does no harm, later would be missed."""
    instants = [
        g["expires_at"]
        for g in grants
        if g["unit"] == unit and g["remaining"] > 0 and g["expires_at"] and not g["kept"]
    ]
    return min([*instants, *(instant for instant in (period_end, hold_end) if instant)], default=None)


async def _check_grants(
    conn: Connection, check: Check, accounts: Accounts, first: Mapping[UUID, int], grants: Iterable[Row]
) -> None:
    expired = {row["grant_id"]: row["amount"] for row in await _rows(conn, check, "expiries")}
    booked = {grant: (unit, account) for (unit, name, grant), account in accounts.items() if name == "grant"}
    rows: dict[Any, Row] = {row["id"]: row for row in grants}
    for grant_id, (unit, account) in booked.items():
        if grant_id not in rows:
            ids = {"grantUuid": grant_id, "unit": unit}
            check.found("grantMissing", ids, (figure("remaining", account.amount, None),))
    for grant_id, row in rows.items():
        check.checked.grants += 1
        ids = {"grantUuid": grant_id, "unit": row["unit"], "source": row["source"]}
        if grant_id not in booked:
            check.found("grantMissing", ids, (figure("amount", None, row["amount"]),))
            continue
        account = booked[grant_id][1]
        history = row["source"] == "history"
        expected = (
            account.covering if history else first.get(grant_id),
            account.amount,
            expired.get(grant_id, 0),
        )
        names = ("amount", "remaining", "expired")
        differing = figures(names, expected, tuple(row[name] for name in names))
        if differing:
            check.found("grantDiffers", ids, differing)


async def _rows(conn: Connection, check: Check, query: str) -> list[Any]:
    return list(await (await conn.execute(SQL[query], check.given)).fetchall())


def _named(row: Row) -> dict[str, object]:
    ids = {"unit": row["unit"], "seq": row["seq"]}
    return ids if row["id"] is None else {**ids, "transactionUuid": row["id"], "kind": row["kind"], "key": row["key"]}
