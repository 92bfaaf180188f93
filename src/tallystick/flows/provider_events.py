"""What payment providers tell us: each thing once, in whatever order and however often it comes (rows D7, D11).

It is written down by the provider's own id in the transaction that applies it, so that what comes twice is known. What
the order could change is asked of the provider anew before: a webhook's picture is of an earlier moment. What is lost
is found by `payment.next_at`, and ends the same.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from tallystick.domain.billing.accounts import Account
from tallystick.domain.billing.payments import Provider, Told
from tallystick.domain.texts import as_uuid
from tallystick.flows import accounts, payments, reversals
from tallystick.flows.billing import Billing
from tallystick.gateways.payments.stripe_objects import PAYMENT, WORKSPACE
from tallystick.kernel.ids import Ids
from tallystick.store import accounts as account_store
from tallystick.store import payments as store
from tallystick.store import workspaces
from tallystick.store.database import Connection, Database

Heard = Literal["applied", "duplicate", "ignored"]

APPLIED: Final = "applied"
DUPLICATE: Final = "duplicate"
IGNORED: Final = "ignored"
"""What becomes of something told. Ignored: of no interest, or of nobody here."""

ACTOR: Final = "billing"

LOOK_BACK: Final = dt.timedelta(days=3)
"""How far back what did not reach us is asked for."""

_ABOUT_PAYMENTS: Final = ("payment", "refund", "dispute", "dispute_won", "checkout")
_ABOUT_METHODS: Final = ("method", "method_removed")
_NAMELESS: Final = ("refund", "dispute", "dispute_won")
"""Of these only the payment says whose it is, which has to be asked for."""


@dataclass(frozen=True, slots=True)
class _Concerned:
    """Whom something told is about, and when it is for them; nobody of ours without a `workspace_id`."""

    workspace_id: UUID | None
    payment_id: UUID | None
    now: dt.datetime


async def hear(
    database: Database, billing: Billing, provider: Provider, told: Told, *, now: dt.datetime, ids: Ids
) -> Heard:
    """Apply what a provider told at `now`, once; what became of it: `applied`, `duplicate` or `ignored`.

    Of a workspace with a test clock it counts at the clock's time. Raises `paymentProviderUnavailable` where the
    provider has to be asked and does not answer: it tells it again.
    """
    async with database.read() as conn:
        if await store.heard(conn, provider.name, told.id):
            return DUPLICATE
    concerned = await _concerned(database, provider.name, told, now)
    fresh = told
    if concerned.workspace_id is not None or told.kind in _NAMELESS:
        fresh = await provider.refresh(told)
    if concerned.workspace_id is None:
        concerned = await _concerned(database, provider.name, fresh, now)

    async def work(conn: Connection) -> Heard:
        return await _hear_in(conn, billing, provider.name, fresh, concerned, now, ids)

    return await database.run(work)


async def catch_up(database: Database, billing: Billing, *, now: dt.datetime, ids: Ids) -> int:
    """Hear what every provider told within `LOOK_BACK` and did not reach us; how much of it was news.

    Most of what is lost is found when a payment is looked at; a dispute, or a refund that was made with the provider,
    only here. Raises `paymentProviderUnavailable`.
    """
    news = 0
    errors: list[Exception] = []
    for provider in billing.providers.values():
        for told in await provider.missed(now - LOOK_BACK):
            try:
                news += await hear(database, billing, provider, told, now=now, ids=ids) == APPLIED
            except Exception as error:  # noqa: BLE001 - one that can't be applied must not hold up the others
                errors.append(error)
    if errors:
        raise errors[0]
    return news


async def _hear_in(
    conn: Connection, billing: Billing, name: str, told: Told, concerned: _Concerned, now: dt.datetime, ids: Ids
) -> Heard:
    of_us = concerned.workspace_id is not None and told.kind in (*_ABOUT_PAYMENTS, *_ABOUT_METHODS)
    outcome: Heard = APPLIED if of_us else IGNORED
    if not await store.hear(conn, name, told.id, told.type or told.kind, concerned.workspace_id, outcome, now):
        return DUPLICATE
    if of_us and concerned.workspace_id is not None:
        await payments.lock_workspace(conn, concerned.workspace_id, concerned.now, ids)
        if told.kind in _ABOUT_METHODS:
            await _method(conn, billing, concerned.workspace_id, told, concerned.now, ids)
        elif concerned.payment_id is not None:
            await _payment(conn, billing, concerned.workspace_id, concerned.payment_id, told, concerned.now, ids)
    return outcome


async def _payment(
    conn: Connection,
    billing: Billing,
    workspace_id: UUID,
    payment_id: UUID,
    told: Told,
    now: dt.datetime,
    ids: Ids,
) -> None:
    if told.kind == "refund":
        await reversals.refunded_in(conn, billing, workspace_id, payment_id, told.amount_minor or 0, now=now, ids=ids)
    elif told.kind in ("dispute", "dispute_won"):
        await reversals.disputed_in(conn, billing, workspace_id, payment_id, told.amount_minor or 0, now=now, ids=ids)
    elif told.outcome is not None:
        await payments.record_in(conn, billing, workspace_id, payment_id, told.outcome, now=now, ids=ids)


async def _method(
    conn: Connection, billing: Billing, workspace_id: UUID, told: Told, now: dt.datetime, ids: Ids
) -> None:
    account = await accounts.lock_in(conn, billing, workspace_id, now)
    if told.kind == "method_removed":
        if account.method is not None and account.method.id == told.ref:
            await accounts.set_method_in(conn, account, None, actor=ACTOR, now=now, ids=ids)
    elif told.method is not None and _fits(account, told):
        await accounts.set_method_in(conn, account, told.method, actor=ACTOR, now=now, ids=ids)


def _fits(account: Account, told: Told) -> bool:
    if told.fits == "none":
        return account.method is None
    if told.fits == "same":
        return account.method is not None and account.method.id == told.ref
    return True


async def _concerned(database: Database, provider: str, told: Told, now: dt.datetime) -> _Concerned:
    async with database.read() as conn:
        found = await _whose(conn, provider, told)
        if found is None:
            return _Concerned(None, None, now)
        workspace_id, payment_id = found
        clock = (await workspaces.clocks(conn, [workspace_id])).get(workspace_id)
        return _Concerned(workspace_id, payment_id, clock or now)


async def _whose(conn: Connection, provider: str, told: Told) -> tuple[UUID, UUID | None] | None:
    """(workspace, payment) that it is about: by what we wrote on the object, by its id, or by the customer."""
    if told.kind in _ABOUT_METHODS:
        owners = await account_store.by_customer(conn, provider, told.customer_ref) if told.customer_ref else []
        return (owners[0], None) if owners else None
    if told.kind not in _ABOUT_PAYMENTS:
        return None
    named = [as_uuid(told.metadata.get(name, "")) for name in (WORKSPACE, PAYMENT)]
    if named[0] is not None and named[1] is not None and await store.exists(conn, provider, named[0], named[1]):
        return named[0], named[1]
    return await store.by_ref(conn, provider, told.ref) if told.ref is not None else None
