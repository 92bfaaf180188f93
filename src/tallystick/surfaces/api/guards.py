"""Guards: who may call a route. Every route names one, and a test has a table of who gets in."""

from dataclasses import dataclass
from typing import Final, Literal

from tallystick.domain.identity.rights import Principal, forbidden
from tallystick.kernel.errors import TallystickError


@dataclass(frozen=True, slots=True)
class Guard:
    """`anyone`: no token; `bearer`: any valid token; `operator`: an operator's; `permission`: one of `any_of`.

    With `in_workspace`, an operator has to name a workspace; a workspace's token always has its own.
    """

    who: Literal["anyone", "bearer", "operator", "permission"]
    any_of: tuple[str, ...] = ()
    in_workspace: bool = False

    def check(self, principal: Principal) -> None:
        """Raises `forbidden`, or `workspaceRequired` when an operator has to say which workspace is meant."""
        if self.who == "operator" and not principal.is_operator:
            raise forbidden()
        if self.who == "permission" and not principal.may(*self.any_of):
            raise forbidden()
        if self.in_workspace and principal.workspace_id is None:
            raise TallystickError(
                "workspaceRequired",
                "Name the workspace in the header selected-workspace-uuid.",
            )


ANYONE: Final = Guard("anyone")
BEARER: Final = Guard("bearer")
OPERATOR: Final = Guard("operator")


def requires(*any_of: str, in_workspace: bool = True) -> Guard:
    """A guard that lets in whoever has one of these permissions in the workspace that the request is about."""
    return Guard("permission", any_of, in_workspace)
