"""Deployments: every second that one was Deployed on hardware is charged once, and its days are what was charged."""

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from tallystick.domain.deployments.coverage import Stretch, deployed, faults
from tallystick.domain.deployments.deployment import Change
from tallystick.domain.differences import figure, figures
from tallystick.queries.verify.checking import Check
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_TOTALS = ("microseconds", "credits")
_STANDS = ("state", "profile", "replicas")
_LONGEST_TICK = dt.timedelta(hours=1)


async def check(conn: Connection, check: Check) -> None:
    """Every deployment of one workspace, and what was charged in the name of one that is not there."""
    rows = await (await conn.execute(SQL["deployments"], check.given)).fetchall()
    known = {str(row["id"]): row for row in rows}
    for row in rows:
        check.checked.deployments += 1
        _check_state(check, row)
    seen: set[str] = set()
    async for named, pieces in _by_deployment(conn, check):
        seen.add(named)
        await _check_time(conn, check, named, known.get(named), pieces)
    for named, row in known.items():
        if named not in seen:
            await _check_time(conn, check, named, row, [])
    for row in await (await conn.execute(SQL["days"], check.given)).fetchall():
        ids = {"deploymentUuid": row["deployment_id"], "day": row["day"], "profile": row["profile"]}
        expected = tuple(row[name] for name in _TOTALS)
        found = tuple(row[f"stored_{name}"] for name in _TOTALS)
        check.found("deploymentTimeDiffers", ids, figures(_TOTALS, expected, found))


def _check_state(check: Check, row: Row) -> None:
    """As its last change left it; charged by time exactly while it is Deployed on hardware."""
    differing = figures(
        _STANDS, tuple(row[f"changed_{name}"] for name in _STANDS), tuple(row[name] for name in _STANDS)
    )
    is_running = row["state"] == "deployed" and row["profile"] is not None
    if is_running != (row["metered_until"] is not None):
        expected = "while it runs" if is_running else None
        differing = (*differing, figure("metered_until", expected, row["metered_until"]))
    due_by = None if row["metered_until"] is None else row["metered_until"] + _LONGEST_TICK
    if due_by is not None and (row["due_at"] is None or row["due_at"] > due_by):
        # Nobody would come to charge it.
        check.found("balanceDiffers", {"unit": "credits"}, (figure("due_at", due_by, row["due_at"]),))
    if differing:
        check.found("deploymentDiffers", {"deploymentUuid": row["id"], "change": row["number"]}, differing)


async def _by_deployment(conn: Connection, check: Check) -> AsyncIterator[tuple[str, list[Stretch]]]:
    """What was charged, deployment by deployment, each by start."""
    named, pieces = "", list[Stretch]()
    async with conn.cursor("verify_running") as cursor:
        await cursor.execute(SQL["pieces"], check.given)
        async for row in cursor:
            if row["deployment_id"] != named:
                if pieces:
                    yield named, pieces
                named, pieces = row["deployment_id"], []
            pieces.append(Stretch(row["used_at"], row["until"], row["profile"], row["replicas"]))
    if pieces:
        yield named, pieces


async def _check_time(conn: Connection, check: Check, named: str, row: Row | None, pieces: list[Stretch]) -> None:
    spans: list[Stretch] = []
    if row is not None:
        given = {**check.given, "deployment_id": UUID(named)}
        changes = [Change(**one) for one in await (await conn.execute(SQL["changes"], given)).fetchall()]
        spans = deployed(changes, row["metered_until"])
    for code, stretch in faults(spans, pieces):
        ids: dict[str, Any] = {"deploymentUuid": named, "from": stretch.start, "until": stretch.end}
        ids |= {"profile": stretch.profile, "replicas": stretch.replicas}
        time = stretch.microseconds
        expected, found = (time, 0) if code == "deploymentTimeMissing" else (0, time)
        check.found(code, ids, (figure("microseconds", expected, found),))
