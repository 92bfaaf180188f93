"""Tiered prices: each is filled over one counter per workspace, price and billing period (rule M5)."""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID

from tallystick.domain.metering.charging import Charge
from tallystick.store import subscriptions, usage
from tallystick.store.database import Connection
from tallystick.store.usage import CounterKey


async def apply(conn: Connection, charges: Iterable[Charge]) -> None:
    """Rate the tiered ones among these charges, in order; their workspaces' balances must be locked."""
    tiered = [charge for charge in charges if charge.tier is not None]
    if not tiered:
        return
    workspace_ids = {charge.attribution.workspace_id for charge in tiered}
    targets = {charge.tier.target for charge in tiered if charge.tier is not None}
    calendars = await subscriptions.calendars(conn, workspace_ids)
    stored = await usage.counters(conn, workspace_ids, targets)
    filled: dict[CounterKey, int | Decimal] = {}
    for charge in tiered:
        if charge.tier is None:
            continue
        workspace_id = charge.attribution.workspace_id
        start = subscriptions.period_start(calendars.get(workspace_id), charge.used_at)
        key: tuple[UUID, str, dt.datetime] = (workspace_id, charge.tier.target, start)
        before = filled[key] if key in filled else stored.get(key, 0)
        filled[key] = charge.apply_tier(before)
    await usage.save_counters(conn, filled)
