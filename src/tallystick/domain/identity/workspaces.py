"""A workspace and the people in it, as values."""

import datetime as dt
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.texts import as_uuid, check_key
from tallystick.kernel.errors import TallystickError

NO_WORKSPACE: Final = UUID(int=0)
"""Stands where a workspace would for what concerns no single one: an operator's token, a price, a new workspace."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The billed customer. `key` is the platform's own name for it, unique among workspaces.

    `clock_at` is what time it is for a workspace made with a test clock, None where that is the machine's (rule M30).
    """

    id: UUID
    key: str | None
    name: str
    email: str | None
    zone: str
    created_at: dt.datetime
    clock_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a login. `email` is in lower case and unique."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    created_at: dt.datetime


def check_workspace_key(key: str) -> str:
    """`key` itself. Raises `invalidKey`, also for a UUID: an event's subject names a workspace by either."""
    check_key(key)
    if as_uuid(key) is not None:
        raise TallystickError("invalidKey", "A workspace's key must not be a UUID.", field="key")
    return key
