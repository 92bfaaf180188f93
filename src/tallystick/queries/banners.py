"""The banners of a workspace as they are true now, and which of them somebody put away."""

import datetime as dt
from uuid import UUID

from tallystick.domain.billing import cards, dunning
from tallystick.domain.billing.accounts import Method
from tallystick.domain.billing.dunning import Case, Policy
from tallystick.domain.credits.balances import used_hundredths
from tallystick.domain.credits.thresholds import reached
from tallystick.domain.credits.told import UNIT_NAMES
from tallystick.domain.deployments.deployment import OUT_OF_CREDITS
from tallystick.domain.telling import banners as domain
from tallystick.domain.telling.banners import Banner, Debt, Gauge, Payment, Scene, Support
from tallystick.kernel.errors import TallystickError
from tallystick.store import invoices, limits, payments
from tallystick.store.database import Connection, Database, Row, together
from tallystick.store.named_sql import load

SQL = load(__file__)


async def banners(
    database: Database, workspace_id: UUID, person_id: UUID, *, support: Support, terms: Policy, now: dt.datetime
) -> list[Banner]:
    """Those that this person did not put away, as of the last booking: settle what is due first (flows/due.py).

    Raises `workspaceNotFound`.
    """
    async with database.read(workspace_id) as conn:
        found = await _current(conn, workspace_id, support=support, terms=terms, now=now)
        given = {"workspace_id": workspace_id, "person_id": person_id}
        away = await (await conn.execute(SQL["dismissals"], given)).fetchall()
    return domain.still_shown(found, [row["banner"] for row in away])


async def everything(
    database: Database, workspace_id: UUID, *, support: Support, terms: Policy, now: dt.datetime
) -> list[Banner]:
    """All of them, also those that were put away. Raises `workspaceNotFound`."""
    async with database.read(workspace_id) as conn:
        return await _current(conn, workspace_id, support=support, terms=terms, now=now)


async def _current(
    conn: Connection, workspace_id: UUID, *, support: Support, terms: Policy, now: dt.datetime
) -> list[Banner]:
    given = {"workspace_id": workspace_id}
    gauges, scenes, expired, past_due, bounds = await together(
        conn,
        (SQL["gauges"], given),
        (SQL["scene"], given | {"out_of_credits": OUT_OF_CREDITS}),
        (SQL["expired_free"], given),
        (SQL["past_due"], given),
        limits.question(workspace_id),
    )
    if not scenes:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    [row] = scenes
    ended = {one["unit"]: one for one in expired}
    scene = Scene(
        gauges=[_gauge(gauge, ended.get(gauge["unit"])) for gauge in gauges],
        status=row["status"] or "",
        period_end=row["period_end"],
        running=row["running"],
        stopped=row["stopped"],
        negative_limit=limits.limits_of(bounds).negative_limit,
        zone=row["zone"],
        trial_ends_at=row["trial_ends_at"],
        was_paused=row["resumes_to"] is not None,
        payment=_payment(row, await _debt(conn, row, past_due, terms, now), now),
    )
    return domain.banners(scene, support, now)


async def _debt(conn: Connection, row: Row, past_due: list[Row], terms: Policy, now: dt.datetime) -> Debt | None:
    """The oldest invoice that is past due, and what its schedule says."""
    if not past_due:
        return None
    invoice = invoices.invoice_of(past_due[0])
    attempts = await payments.of_invoice(conn, invoice.workspace_id, invoice.id)
    can_collect = dunning.can_collect(row["provider"], row["customer_ref"], row["method"])
    case = Case(invoice, attempts, row["zone"], can_collect, row["method_at"])
    return Debt(
        number=invoice.number or "",
        open_minor=invoice.open_minor,
        currency=invoice.currency,
        due_at=invoice.due_at or invoice.created_at,
        next_attempt_at=dunning.next_attempt_at(case, terms, now),
        stops_at=dunning.stops_at(case, terms),
        others=len(past_due) - 1,
    )


def _payment(row: Row, debt: Debt | None, now: dt.datetime) -> Payment:
    method = Method(**row["method"]) if row["method"] else None
    is_ending = cards.is_ending(method, row["zone"], now)
    return Payment(
        has_method=method is not None,
        ending=cards.named(method) if is_ending and method else None,
        ends_at=cards.ends_at(method, row["zone"]) if is_ending else None,
        top_up_stopped=row["topup_state"] == "stopped",
        debt=debt,
    )


def _gauge(row: Row, expired: Row | None) -> Gauge:
    posted, allocation = row["posted"], row["allocation"]
    return Gauge(
        unit=UNIT_NAMES[row["unit"]],
        posted=posted,
        allocation=allocation,
        allocation_no=row["allocation_no"],
        reached=reached(posted, allocation),
        used_hundredths=used_hundredths(max(posted, 0), allocation),
        expired=expired["expired"] if expired else None,
        expired_at=expired["expired_at"] if expired else None,
    )
