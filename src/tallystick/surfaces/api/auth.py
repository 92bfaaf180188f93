"""Who asks: the bearer token, and the workspace that the request is about."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tallystick.domain.identity.rights import Principal, unauthorized
from tallystick.domain.texts import as_uuid
from tallystick.kernel.errors import TallystickError
from tallystick.queries import identity
from tallystick.runtime import Runtime

WORKSPACE_HEADER: Final = "selected-workspace-uuid"


def bearer(headers: Mapping[str, str]) -> str:
    """The token of the `Authorization` header. Raises `unauthorized`."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized()
    return token.strip()


async def principal(runtime: Runtime, token: str, headers: Mapping[str, str], now: dt.datetime) -> Principal:
    """Who the token stands for, about the workspace that the header selects.

    A workspace's token may only select its own (`forbidden` otherwise), an operator's any that exists
    (`workspaceNotFound`). Raises `unauthorized`, and `invalidHeader` when the header holds no UUID.
    """
    caller = await runtime.authenticator.principal(token, now)
    selected = headers.get(WORKSPACE_HEADER, "").strip()
    if not selected:
        return caller
    workspace_id = as_uuid(selected)
    if workspace_id is None:
        raise TallystickError(
            "invalidHeader", f"The header {WORKSPACE_HEADER} must be a workspace's UUID.", header=WORKSPACE_HEADER
        )
    selecting = caller.within(workspace_id)
    if caller.is_operator:
        return replace(selecting, clock_at=await identity.clock_of(runtime.database, workspace_id))
    return selecting
