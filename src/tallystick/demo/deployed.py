"""What the demo deploys over its ninety days: its tools, a script, a guardrail, and now and then a model on a GPU.

Each step is taken through the real flows, at the time at which it happened.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

from tallystick.demo import cast
from tallystick.demo.cast import Made
from tallystick.domain.deployments.details import Details
from tallystick.domain.identity.requests import RequestKey
from tallystick.flows import deployments
from tallystick.flows.budgets import Author
from tallystick.flows.deployments import Desk, NewDeployment
from tallystick.runtime import Runtime

SCRIPT: Final = "dedupe"
GUARDRAIL: Final = "prompt-injection"
MODEL: Final = cast.UNPRICED.name
RESOURCES: Final = (
    Made("script", SCRIPT, "Lead dedupe", "Finds the same lead under two names"),
    Made("guardrail", GUARDRAIL, "Prompt injection", "Looks at what customers write before an agent reads it"),
    Made("languageModel", MODEL, "Oakline 8B", "Reviews in the company's own voice", {"type": "Fine-tuned"}),
)
"""What has a name before it is deployed."""

_EVENINGS: Final = (11, 34, 52, 72, 86)
"""Days of the story on which the model is evaluated."""

_ENDPOINT: Final = "https://run.lumenoak.example/"


@dataclass(frozen=True, slots=True)
class Step:
    """What is asked of the deployment of `key` at `at`: `succeed`, `scale`, `undeploy`, `deploy`, or with `new` that
    it is made."""

    at: dt.datetime
    key: str
    asked: str
    new: NewDeployment | None = None
    replicas: int | None = None


def steps(start: dt.datetime, end: dt.datetime) -> list[Step]:
    """Everything that is asked between the two, in order."""
    return sorted((step for step in _steps(start) if step.at < end), key=lambda step: step.at)


def _steps(start: dt.datetime) -> Iterator[Step]:
    minute, day = dt.timedelta(minutes=1), dt.timedelta(days=1)
    for place, tool in enumerate(cast.TOOLS):
        new = NewDeployment("tool", tool.key, deployed=True, endpoint=f"{_ENDPOINT}tools/{tool.key}")
        yield Step(start + place * minute, tool.key, "create", new)
    script = NewDeployment("script", SCRIPT, profile="script-2x4", details=Details("Python", max_replicas=3))
    guardrail = NewDeployment("guardrail", GUARDRAIL, profile="guardrail-2x4")
    for key, new, at in ((SCRIPT, script, start + 95 * minute), (GUARDRAIL, guardrail, start + 2 * day + 40 * minute)):
        yield Step(at, key, "create", new)
        yield Step(at + dt.timedelta(seconds=83), key, "succeed")
    # A busy week is worth a second replica.
    yield Step(start + 58 * day + 7 * minute, SCRIPT, "scale", replicas=2)
    yield Step(start + 65 * day + 31 * minute, SCRIPT, "scale", replicas=1)
    for place, evening in enumerate(_EVENINGS):
        at = start + evening * day + (11 + 13 * place) * minute
        new = NewDeployment("model", MODEL, name="Oakline 8B, evaluation", profile="gpu-t4", details=_FINE_TUNED)
        yield Step(at, MODEL, "deploy" if place else "create", None if place else new)
        yield Step(at + 4 * minute, MODEL, "succeed")
        yield Step(at + (79 + 6 * place) * minute, MODEL, "undeploy")


_FINE_TUNED: Final = Details(type="fineTuned")


class Stage:
    """Takes steps, each once however often it is told: what was taken before is found by its key."""

    def __init__(self, runtime: Runtime, workspace_id: UUID, actor: str) -> None:
        self._runtime = runtime
        self._workspace_id = workspace_id
        self._actor = actor
        self._desk = Desk(runtime.database, runtime.catalogs)
        self._ids: dict[str, UUID] = {}

    async def take(self, step: Step, at: dt.datetime) -> None:
        """Ask it, at its own time."""
        name = f"{at.isoformat()} {step.key} {step.asked}"
        request = RequestKey(self._workspace_id, "demo", name, sha256(name.encode()).digest())
        author = Author(self._workspace_id, self._actor, request, at, self._runtime.ids)
        if step.new is not None:
            self._ids[step.key] = (await deployments.create(self._desk, step.new, author)).id
            return
        identity = self._ids[step.key]
        if step.asked == "succeed":
            await deployments.succeed(self._desk, identity, author, endpoint=f"{_ENDPOINT}{step.key}")
        elif step.asked == "scale":
            await deployments.scale(self._desk, identity, author, replicas=step.replicas)
        elif step.asked == "deploy":
            await deployments.deploy(self._desk, identity, author)
        else:
            await deployments.undeploy(self._desk, identity, author)
