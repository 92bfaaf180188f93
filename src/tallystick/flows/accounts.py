"""Billing accounts: who pays, from where, and the payment method on file (rows D7, D11; rule M24)."""

import datetime as dt
from dataclasses import dataclass, replace
from uuid import UUID

from tallystick.domain.billing.accounts import Account, Details, Method, with_details
from tallystick.domain.billing.invoices import PAST_DUE
from tallystick.domain.billing.payments import Provider
from tallystick.domain.billing.told import account_fact, instant, shown_method
from tallystick.domain.telling import facts
from tallystick.flows.billing import Billing
from tallystick.flows.payments import lock_workspace, settled_in
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, audit, invoices, subscriptions, workspaces
from tallystick.store import facts as told
from tallystick.store.database import Connection, Database


async def update_details(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    details: Details,
    *,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> Account:
    """Change what invoices from now on say of the buyer; those that are issued stay as they are.

    Raises `workspaceNotFound`, `invalidBillingDetails`, `invalidTaxId` and `invalidText`.
    """

    async def work(conn: Connection) -> Account:
        await workspaces.by_id(conn, workspace_id)
        account = await lock_in(conn, billing, workspace_id, now)
        changed = with_details(account, details)
        if changed != account:
            await accounts.save(conn, changed, now)
            await audit.record(
                conn,
                "billing.detailsChanged",
                workspace_id=workspace_id,
                actor=actor,
                now=now,
                ids=ids,
                fields=sorted(name for name in _DETAILS if getattr(changed, name) != getattr(account, name)),
            )
        return changed

    return await database.run(work)


_DETAILS = ("legal_name", "email", "address", "country", "tax_id", "purchase_order", "locale")


async def set_method(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    method: Method | None,
    *,
    customer_ref: str | None = None,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> Account:
    """Put a method on file in place of the one before; None takes it off. The same again changes nothing.

    What is past due is tried with it at once, automatic top-up that had stopped goes on, and so does what waits for a
    method since its trial ended (rules M23, M24); everything else is charged to it when it is next charged.

    Raises `workspaceNotFound`.
    """

    async def work(conn: Connection) -> Account:
        await workspaces.by_id(conn, workspace_id)
        await lock_workspace(conn, workspace_id, now, ids)
        account = await lock_in(conn, billing, workspace_id, now)
        return await set_method_in(conn, account, method, customer_ref=customer_ref, actor=actor, now=now, ids=ids)

    return await database.run(work)


async def set_method_in(
    conn: Connection,
    account: Account,
    method: Method | None,
    *,
    customer_ref: str | None = None,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> Account:
    """`set_method` of a locked account, inside a transaction that has locked the workspace's balances."""
    workspace_id = account.workspace_id
    if account.method == method and customer_ref in (None, account.customer_ref):
        return account
    changed = replace(
        account,
        method=method,
        method_at=now,
        customer_ref=customer_ref or account.customer_ref,
        top_up=account.top_up
        if method is None or account.top_up.state != "stopped"
        else replace(account.top_up, state="on", error=None),
    )
    await accounts.save(conn, changed, now)
    if method == account.method:
        return changed
    for invoice in await invoices.lock_open(conn, workspace_id):
        if method is not None and invoice.status == PAST_DUE:
            invoice.next_at, invoice.updated_at = now, now
            await invoices.save(conn, invoice)
    await told.record(
        conn,
        [
            account_fact(
                workspace_id,
                facts.METHOD_UPDATED,
                now,
                instant(now) or "",
                "" if method is None else method.id,
                method=shown_method(method),
            )
        ],
        now,
    )
    await audit.record(
        conn,
        "billing.methodChanged",
        workspace_id=workspace_id,
        actor=actor,
        now=now,
        ids=ids,
        method=shown_method(method),
    )
    if method is not None:
        # After a trial's end it is what everything waits for (rule M23).
        await settled_in(conn, workspace_id, now=now, ids=ids)
    return changed


async def setup_intent(database: Database, billing: Billing, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> str:
    """A client secret with which the owner's browser adds a card or bank account.

    Raises `subscriptionNotFound`, `failedToCreateSetupIntent` and `paymentProviderUnavailable`.
    """
    known = await ensure_customer(database, billing, workspace_id, now=now, ids=ids)
    # A new one each time: a secret that was used is of no use again.
    return await known.provider.setup_intent(known.ref, key=f"setup:{ids.new(now)}")


async def attach_method(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    method_id: str,
    *,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> Account:
    """Make a method that the provider knows the one on file, as `set_method`.

    Raises `subscriptionNotFound`, `paymentMethodNotFound` and `paymentProviderUnavailable`.
    """
    known = await ensure_customer(database, billing, workspace_id, now=now, ids=ids)
    method = await known.provider.attach(known.ref, method_id, key=f"attach:{workspace_id}:{method_id}")
    return await set_method(
        database, billing, workspace_id, method, customer_ref=known.ref, actor=actor, now=now, ids=ids
    )


@dataclass(frozen=True, slots=True)
class Customer:
    """A workspace as its provider knows it: by `ref`."""

    account: Account
    provider: Provider
    ref: str


async def ensure_customer(
    database: Database, billing: Billing, workspace_id: UUID, *, now: dt.datetime, ids: Ids
) -> Customer:
    """The workspace's customer with its provider, made where there is none yet.

    Raises `subscriptionNotFound` where there is nothing to pay for, `workspaceNotFound`, `paymentProviderUnavailable`.
    """

    async def read(conn: Connection) -> tuple[Account, str]:
        workspace = await workspaces.by_id(conn, workspace_id)
        if await subscriptions.live_terms(conn, workspace_id) is None:
            raise TallystickError("subscriptionNotFound", "This workspace has no subscription.")
        return await lock_in(conn, billing, workspace_id, now), workspace.name

    account, name = await database.run(read)
    provider = billing.provider_of(account)
    if account.customer_ref is not None:
        return Customer(account, provider, account.customer_ref)
    ref = await provider.customer(account, name=account.legal_name or name, key=f"customer:{workspace_id}")

    async def keep(conn: Connection) -> Account:
        locked = await lock_in(conn, billing, workspace_id, now)
        if locked.customer_ref is not None:
            return locked
        changed = replace(locked, customer_ref=ref)
        await accounts.save(conn, changed, now)
        return changed

    kept = await database.run(keep)
    return Customer(kept, provider, kept.customer_ref or ref)


async def lock_in(conn: Connection, billing: Billing, workspace_id: UUID, now: dt.datetime) -> Account:
    """The account, locked; a new one is collected from by whom the settings name."""
    return await accounts.lock(conn, workspace_id, provider=billing.settings.payment_provider, now=now)
