"""Deployments: what is deployed, or about to be, and its states as one table (rows B5, B8 to B10; rule M16).

The platform does the deploying; here stand the record, the gate and the meter. It reports back how a deployment went.
Scripts are `ready` again when they are taken down and `failed` when they are stopped for want of credits; tools,
language models and guardrails are `undeployed` after either.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from tallystick.kernel.errors import TallystickError

KINDS: Final = ("tool", "model", "guardrail", "script")
STATES: Final = ("draft", "deploying", "ready", "deployed", "failed", "stopping", "undeployed", "deleted")
ASKED: Final = ("deploy", "succeed", "fail", "scale", "undeploy", "stop", "confirm", "delete")

RESOURCE_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {"tool": "tool", "model": "languageModel", "guardrail": "guardrail", "script": "script"}
)
"""Which kind of resource a deployment of each kind is of."""

LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "draft": "Draft",
        "deploying": "Deploying",
        "ready": "Ready to Deploy",
        "deployed": "Deployed",
        "failed": "Deployment failed",
        "stopping": "Stopping",
        "undeployed": "Undeployed",
        "deleted": "Deleted",
    }
)
"""States as people read them."""

OUT_OF_CREDITS: Final = "You've used all your available credits. Please add more credits to your account to continue."
"""Why a deployment was stopped at the negative limit, in the words that its owner reads."""

_ALL_KINDS: Final[Mapping[tuple[str, str], str]] = {
    ("draft", "deploy"): "deploying",
    ("draft", "delete"): "deleted",
    ("ready", "deploy"): "deploying",
    ("ready", "delete"): "deleted",
    ("undeployed", "deploy"): "deploying",
    ("undeployed", "delete"): "deleted",
    ("failed", "deploy"): "deploying",
    ("failed", "delete"): "deleted",
    ("deploying", "succeed"): "deployed",
    ("deploying", "fail"): "failed",
    ("deploying", "undeploy"): "undeployed",
    ("deploying", "stop"): "stopping",
    ("deployed", "scale"): "deployed",
    ("deployed", "undeploy"): "undeployed",
    ("deployed", "stop"): "stopping",
    ("stopping", "undeploy"): "undeployed",
    ("stopping", "confirm"): "undeployed",
}
_OF_SCRIPTS: Final[Mapping[tuple[str, str], str]] = {
    ("deploying", "undeploy"): "ready",
    ("deployed", "undeploy"): "ready",
    ("stopping", "undeploy"): "ready",
    ("stopping", "confirm"): "failed",
}

TRANSITIONS: Final[Mapping[str, Mapping[tuple[str, str], str]]] = MappingProxyType(
    {kind: MappingProxyType({**_ALL_KINDS, **(_OF_SCRIPTS if kind == "script" else {})}) for kind in KINDS}
)
"""Kind → (state, what is asked) → state; what is not listed is an error."""


@dataclass(slots=True)
class Deployment:
    """One deployment, while its row is locked. `resource_id` is the tool, language model, guardrail or script it is of.

    `metered_until` is None unless it is deployed on hardware; until that instant all of it has been charged (rule
    M17). `comply_by` is None unless the platform was told to stop it. `details` are JSON values that only its kind
    has; `reason` says why it failed or was stopped.
    """

    workspace_id: UUID
    id: UUID
    kind: str
    resource_id: UUID
    name: str
    state: str
    profile: str | None
    replicas: int
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime
    details: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    comply_by: dt.datetime | None = None
    deployed_at: dt.datetime | None = None
    metered_until: dt.datetime | None = None

    def allows(self, asked: str) -> bool:
        """Whether `asked` is a transition from where it stands."""
        return (self.state, asked) in TRANSITIONS[self.kind]

    def check(self, asked: str) -> str:
        """The state that `asked` leads to. Raises `invalidTransition`."""
        following = TRANSITIONS[self.kind].get((self.state, asked))
        if following is None:
            raise TallystickError(
                "invalidTransition",
                f'The deployment "{self.name}" is {LABELS[self.state]}.',
                id=str(self.id),
                state=self.state,
                asked=asked,
                allowed=[one for one in ASKED if self.allows(one)],
            )
        return following

    def move(self, asked: str, now: dt.datetime, *, reason: str = "", comply_by: dt.datetime | None = None) -> None:
        """Take the transition `asked` at `now`. Raises `invalidTransition`.

        Whoever takes a running one elsewhere has charged it until `now` before: time left out would be lost.
        """
        following = self.check(asked)
        if self.metered_until is not None and self.metered_until != now:
            raise AssertionError("a deployment changes only once it is charged until that instant")
        if asked == "succeed":
            self.deployed_at = now
        self.metered_until = now if following == "deployed" and self.profile is not None else None
        self.comply_by = comply_by if following == "stopping" else None
        self.reason = reason if following in ("failed", "stopping", "undeployed") else ""
        self.state = following
        self.updated_at = now


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a deployment's history: what was asked, by whom, and how it stood after; numbered from 1."""

    number: int
    at: dt.datetime
    asked: str
    state: str
    profile: str | None
    replicas: int
    actor: str
    reason: str


def deployment_not_found(deployment_id: UUID | str) -> TallystickError:
    return TallystickError("deploymentNotFound", "There is no such deployment.", id=str(deployment_id))
