"""Entitlements at the gate: how many workspaces somebody may own, and how far a workspace goes beyond its credits.

(row D1; rules M12, M27)
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from tallystick.domain.billing.entitlements import OVERAGE, OVERAGE_CAP, check_allows, workspaces_allowed
from tallystick.domain.billing.told import instant
from tallystick.flows.budgets import Author
from tallystick.flows.lifecycle import changing
from tallystick.flows.subscription_site import Site
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.store import audit, subscriptions
from tallystick.store.database import Connection, Database

CREDITS_UNITS: Final = ("credits", "billing.credits")


async def check_may_own(conn: Connection, person_id: UUID, *, free_workspaces: int) -> None:
    """Whether a person may come to own one more workspace (rule M27). Raises `workspaceLimitReached`."""
    await subscriptions.lock_person(conn, person_id)
    plans = await subscriptions.plans_owned(conn, person_id)
    allowed = workspaces_allowed(plans, free_workspaces)
    if allowed is not None and len(plans) >= allowed:
        raise TallystickError(
            "workspaceLimitReached",
            f"This person owns {len(plans)} of at most {allowed} {'workspace' if allowed == 1 else 'workspaces'}.",
            needed=1,
            available=0,
            limit=allowed,
            owned=len(plans),
            wayOn="Upgrade one of them to Pro: then there is no limit.",
        )


async def set_overage_behaviors(database: Database, author: Author, wanted: Sequence[Mapping[str, str]]) -> None:
    """Whether a workspace on Enterprise goes on beyond its credits, `allow` without an end or `deny` (rule M12).

    Raises `subscriptionNotFound`, `subscriptionNotEnterprise`, and `invalidUnit` for what has no overage.
    """
    for one in wanted:
        if one["unit"] not in CREDITS_UNITS:
            raise TallystickError("invalidUnit", "Only credits go beyond the balance.", unit=one["unit"][:64])

    async def work(site: Site) -> None:
        check_allows(site.terms.plan, OVERAGE)
        for one in wanted:
            await site.change(overage_cap=None if one["action"] == "allow" else 0)
        await _record(site, author)

    await changing(database, author, work)


async def set_overage_cap(database: Database, author: Author, cap: int | None) -> None:
    """How far beyond its credits a workspace may go in one period, in nano-credits; that is invoiced in arrears (M12).

    What it went in this period counts. None is what the plan has by itself: nothing on Pro, no end on Enterprise.
    Raises `subscriptionNotFound` and `subscriptionNotElligible`.
    """

    async def work(site: Site) -> None:
        check_allows(site.terms.plan, OVERAGE_CAP)
        await site.change(overage_cap=cap)
        await _record(site, author)

    await changing(database, author, work)


def check_cap(nano: int) -> int:
    """The cap itself. Raises `invalidAmount` below zero."""
    if nano < 0:
        raise TallystickError("invalidAmount", "A cap must not be below zero.", field="credits")
    return nano


async def _record(site: Site, author: Author) -> None:
    cap = site.terms.overage_cap
    await audit.record(
        site.conn,
        "subscription.overageChanged",
        workspace_id=author.workspace_id,
        actor=author.actor,
        now=author.now,
        ids=author.ids,
        cap=None if cap is None else format_credits(cap),
        periodEnd=instant(site.terms.period.end),
    )
