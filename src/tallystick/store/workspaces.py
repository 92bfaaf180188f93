"""Workspaces: the rows that say which customers there are."""

from dataclasses import asdict, fields
from uuid import UUID

from tallystick.domain.identity.workspaces import Workspace
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS = tuple(field.name for field in fields(Workspace))


async def insert(conn: Connection, workspace: Workspace) -> None:
    """Add a workspace. Raises `workspaceKeyTaken` when another one has its key."""
    cursor = await conn.execute(SQL["insert_workspace"], asdict(workspace))
    if await cursor.fetchone() is None:
        raise TallystickError("workspaceKeyTaken", "Another workspace has this key.", key=workspace.key)


async def by_id(conn: Connection, workspace_id: UUID) -> Workspace:
    """Raises `workspaceNotFound`."""
    row = await (await conn.execute(SQL["workspace_by_id"], {"id": workspace_id})).fetchone()
    if row is None:
        raise not_found(workspace_id)
    return workspace_of(row)


def workspace_of(row: Row) -> Workspace:
    """The workspace of a row."""
    return Workspace(**{name: row[name] for name in _FIELDS})


def not_found(workspace_id: UUID) -> TallystickError:
    return TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
