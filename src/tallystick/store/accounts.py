"""Billing accounts: one row a workspace, made when it is first needed."""

import datetime as dt
from dataclasses import asdict, fields
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.billing.accounts import Account, Address, Method, ProviderName, TopUp
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_PLAIN: Final = tuple(
    field.name for field in fields(Account) if field.name not in ("address", "method", "top_up", "workspace_id")
)


async def read(conn: Connection, workspace_id: UUID, *, provider: ProviderName = "offline") -> Account:
    """The account, not locked; one with nothing in it, of `provider`, where none was made yet."""
    row = await (await conn.execute(SQL["read"], {"workspace_id": workspace_id})).fetchone()
    return account_of(row) if row else Account(workspace_id, provider=provider)


async def lock(conn: Connection, workspace_id: UUID, *, provider: str, now: dt.datetime) -> Account:
    """The account, locked until the transaction ends; made, with `provider`, where there was none."""
    async with conn.pipeline():
        await conn.execute(SQL["ensure"], {"workspace_id": workspace_id, "provider": provider, "now": now})
        locked = await conn.execute(SQL["lock"], {"workspace_id": workspace_id})
        row = await locked.fetchone()
    if row is None:
        raise AssertionError("an account that was just made is there")
    return account_of(row)


async def by_customer(conn: Connection, provider: str, customer_ref: str) -> list[UUID]:
    """The workspaces that a provider knows by this id."""
    given = {"provider": provider, "customer_ref": customer_ref}
    return [row["workspace_id"] for row in await (await conn.execute(SQL["by_customer"], given)).fetchall()]


async def save(conn: Connection, account: Account, now: dt.datetime) -> None:
    """Write an account back that was locked."""
    values: dict[str, Any] = {name: getattr(account, name) for name in _PLAIN}
    values |= {f"topup_{name}": value for name, value in asdict(account.top_up).items()}
    values["address"] = asdict(account.address)
    values["method"] = asdict(account.method) if account.method else None
    given = {"workspace_id": account.workspace_id, "row": msgspec.json.encode(values).decode(), "now": now}
    await conn.execute(SQL["save"], given)


def account_of(row: Row) -> Account:
    """The account of a row of `billing_account`."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN}
    top_up = TopUp(**{field.name: row[f"topup_{field.name}"] for field in fields(TopUp)})
    method = Method(**row["method"]) if row["method"] else None
    return Account(
        workspace_id=row["workspace_id"], address=Address(**row["address"]), method=method, top_up=top_up, **values
    )
