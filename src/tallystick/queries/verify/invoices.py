"""Invoices in themselves, their numbers, and the usage that they list (rule M28)."""

from collections.abc import Callable
from typing import Any, Final

from tallystick.domain.billing.money import PPM, round_half_up
from tallystick.domain.differences import Difference, Figure, figure, figures
from tallystick.queries.verify.checking import Check
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_USAGE: Final = ("events", "quantity", "credits", "tool_runs")


async def check(conn: Connection, check: Check) -> None:
    """Every invoice and credit note of one workspace: sums, taxes, and that every charge is on at most one of them."""
    every = await _rows(conn, check, "sums")
    check.checked.invoices += len(every)
    for row in every:
        differing = _sums(row)
        if differing:
            check.found("invoiceDiffers", {"invoiceUuid": row["id"], "number": row["number"]}, differing)
    for row in await _rows(conn, check, "watermarks"):
        differing = figures(
            ("charged_through", "period_start"),
            (max(row["through"], row["before"]), max(row["period_start"], row["previous_end"])),
            (row["through"], row["period_start"]),
        )
        check.found("invoiceDiffers", {"invoiceUuid": row["id"], "number": row["number"]}, differing)
    if not every:
        return
    for row in await _rows(conn, check, "usage"):
        ids = {"invoiceUuid": row["id"], "periodStart": row["period_start"], "category": row["category"]}
        differing = figures(
            _USAGE, tuple(row[f"expected_{name}"] for name in _USAGE), tuple(row[name] for name in _USAGE)
        )
        check.found("invoiceUsageDiffers", ids | {"agentUuid": row["agent_id"]}, differing)
    for row in await _rows(conn, check, "listed"):
        ids = {"invoiceUuid": row["id"], "category": row["category"]}
        check.found("invoiceUsageDiffers", ids, (figure("credits", row["expected"], row["found"]),))


async def check_numbers(conn: Connection, tell: Callable[[Difference], None]) -> None:
    """The series of all workspaces: from 1 to the last number taken every one stands, and once."""
    for row in await (await conn.execute(SQL["numbers"])).fetchall():
        differing = figures(
            ("numbers", "distinct numbers"),
            (row["taken"], row["taken"]),
            (row["standing"], row["distinct_numbers"]),
        )
        tell(Difference("numberGap", None, {"series": row["series"]}, differing))


def _sums(row: Row) -> tuple[Figure, ...]:
    bases = {(category, ppm): amount for category, ppm, amount in row["lines"]}
    taxes = row["taxes"]
    net = sum(bases.values())
    tax = sum(one["amount_minor"] for one in taxes)
    found = list(
        figures(
            ("net_minor", "tax_minor", "total_minor", "credited_minor"),
            (net, tax, net + tax, row["notes"]),
            (row["net_minor"], row["tax_minor"], row["total_minor"], row["credited_minor"]),
        )
    )
    for one in taxes:
        base = bases.pop((one["category"], one["rate_ppm"]), 0)
        if base != one["base_minor"]:
            found.append(figure("tax base", base, one["base_minor"]))
        due = round_half_up(one["base_minor"] * one["rate_ppm"], PPM)
        # The last of several credit notes takes the cent that rounding left.
        if abs(due - one["amount_minor"]) > (row["kind"] == "credit_note"):
            found.append(figure("tax", due, one["amount_minor"]))
    found += [figure("tax base", base, None) for base in bases.values() if base]
    return tuple(found)


async def _rows(conn: Connection, check: Check, query: str) -> list[Any]:
    return list(await (await conn.execute(SQL[query], check.given)).fetchall())
