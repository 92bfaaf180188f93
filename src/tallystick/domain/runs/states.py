"""Runs, the executions of their nodes, and batches of runs: their states as tables (row A13).

A run of a batch is `idle` until the gate lets it start; any other passed the gate when it was made and is `pending`.
A runner that claims it holds a lease; when that runs out another may claim it, and the first is refused `leaseLost`.
What runs is not stopped by force: `cancelling` asks its runner to let go, and a run that ended first stays as it ended.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tallystick.domain.texts import as_uuid
from tallystick.kernel.errors import TallystickError

MOST_RECORDS: Final = 10_000
"""Records of one batch, at most."""

MOST_WAITING: Final = 100_000
"""Runs of one workflow that may wait at once; beyond it `concurrencyLimitReached`."""

MOST_CLAIMS: Final = 25
"""How often a run is given out without a node of it ending: one that takes each runner down ends in `error`."""

ENDED: Final = frozenset({"success", "error", "cancelled", "skipped"})

TRANSITIONS: Final[Mapping[tuple[str, str], str]] = {
    ("idle", "admit"): "pending",
    ("idle", "refuse"): "skipped",
    ("idle", "cancel"): "cancelled",
    ("pending", "claim"): "running",
    ("pending", "cancel"): "cancelled",
    ("running", "claim"): "running",
    ("running", "success"): "success",
    ("running", "error"): "error",
    ("running", "skipped"): "skipped",
    ("running", "cancelled"): "cancelled",
    ("running", "abandon"): "error",
    ("running", "cancel"): "cancelling",
    ("cancelling", "success"): "success",
    ("cancelling", "error"): "error",
    ("cancelling", "skipped"): "skipped",
    ("cancelling", "cancelled"): "cancelled",
    ("cancelling", "abandon"): "cancelled",
    ("cancelling", "cancel"): "cancelling",
    ("success", "cancel"): "success",
    ("error", "cancel"): "error",
    ("cancelled", "cancel"): "cancelled",
    ("skipped", "cancel"): "skipped",
}
"""(status, what is asked) → status. A finish asks for the status it names; `abandon`: its runner was lost for good."""

BATCH_TRANSITIONS: Final[Mapping[tuple[str, str], str]] = {
    ("pending", "start"): "running",
    ("pending", "cancel"): "cancelling",
    ("running", "start"): "running",
    ("running", "cancel"): "cancelling",
    ("running", "succeed"): "success",
    ("running", "fail"): "error",
    ("running", "stop"): "cancelled",
    ("cancelling", "start"): "cancelling",
    ("cancelling", "cancel"): "cancelling",
    ("cancelling", "succeed"): "cancelled",
    ("cancelling", "fail"): "cancelled",
    ("cancelling", "stop"): "cancelled",
    ("success", "cancel"): "success",
    ("error", "cancel"): "error",
    ("cancelled", "cancel"): "cancelled",
}
"""(status, what is asked) → status; `succeed`, `fail` or `stop` is asked when its last run has ended."""


@dataclass(slots=True)
class Run:
    """One run while its row is locked. `data`, `nodes` and `output` are JSON texts; `position` is that in its batch."""

    workspace_id: UUID
    id: UUID
    workflow_id: UUID
    release_id: UUID
    batch_id: UUID | None
    position: int
    status: str
    reason: str | None
    error_message: str | None
    data: str
    nodes: str | None
    output: str | None
    runner: str | None
    lease: UUID | None
    lease_expires_at: dt.datetime | None
    claims: int
    created_at: dt.datetime
    updated_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None

    def move(self, asked: str, now: dt.datetime) -> None:
        """Take the transition `asked`. Raises `runNotOpen`."""
        following = TRANSITIONS.get((self.status, asked))
        if following is None:
            raise TallystickError(
                "runNotOpen", f"The run is {self.status}.", uuid=str(self.id), status=self.status, asked=asked
            )
        if following != self.status or asked == "claim":
            self.updated_at = now
        if following in ENDED and self.status not in ENDED:
            self.finished_at = now
            self.lease_expires_at = None
        self.status = following

    def claim(self, runner: str, lease: UUID, seconds: int, now: dt.datetime) -> None:
        """Give it to a runner for so many seconds. Raises `runNotOpen`."""
        self.move("claim", now)
        self.runner, self.lease = runner, lease
        self.lease_expires_at = now + dt.timedelta(seconds=seconds)
        self.started_at = self.started_at or now
        self.claims += 1

    def has_lapsed(self, now: dt.datetime) -> bool:
        """Whether its runner has not been heard of in time."""
        return self.lease_expires_at is not None and self.lease_expires_at <= now

    def check_lease(self, lease: UUID | None) -> None:
        """Raises `leaseLost` unless this is the lease it was last given out with."""
        if lease is None or self.lease != lease:
            raise lease_lost(self.id)


@dataclass(slots=True)
class Execution:
    """One node in one run, as its runner reports it. `output` and `computed_config` are JSON texts."""

    workspace_id: UUID
    run_id: UUID
    id: UUID
    node_id: UUID
    node_slug: str
    node_kind: str
    node_action: str | None
    child_index: int | None
    next_node_id: UUID | None
    attempt: int
    status: str
    title: str
    output: str | None
    error_message: str | None
    computed_config: str | None
    created_at: dt.datetime
    updated_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None

    def takes(self, later: "Execution") -> bool:
        """Whether a later report changes this one; one that was sent before, or is older, does not.

        Raises `executionNotOpen` when an attempt that has ended is said to have ended otherwise, or `invalidData` when
        the report is about another node.
        """
        if later.node_id != self.node_id:
            raise TallystickError("invalidData", "This execution is one of another node.", field="nodeUuid")
        if later.attempt != self.attempt:
            return later.attempt > self.attempt
        if self.status in ENDED:
            if later.status in (self.status, "running"):
                return False
            raise TallystickError(
                "executionNotOpen",
                f"This attempt has ended in {self.status}.",
                uuid=str(self.id),
                status=self.status,
                attempt=self.attempt,
            )
        return True


@dataclass(slots=True)
class Batch:
    """A batch while its row is locked. The counts are those of its runs by how they ended."""

    workspace_id: UUID
    id: UUID
    workflow_id: UUID
    release_id: UUID
    status: str
    reason: str | None
    error_message: str | None
    runs: int
    succeeded: int
    failed: int
    skipped: int
    cancelled: int
    created_at: dt.datetime
    updated_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None

    @property
    def executed(self) -> int:
        """How many of its runs have ended, however."""
        return self.succeeded + self.failed + self.skipped + self.cancelled

    def move(self, asked: str, now: dt.datetime) -> None:
        """Take the transition `asked`."""
        following = BATCH_TRANSITIONS[self.status, asked]
        if following != self.status:
            self.updated_at = now
        self.status = following

    def start(self, now: dt.datetime) -> None:
        """One of its runs begins."""
        self.move("start", now)
        self.started_at = self.started_at or now

    def count(self, status: str, now: dt.datetime, runs: int = 1) -> None:
        """So many runs have ended in this status; after the last one the batch has ended.

        It is `error` when no run succeeded and one failed or was refused, `cancelled` when all runs were, else
        `success`, with failed runs in it or not.
        """
        if not runs:
            return
        name = {"success": "succeeded", "error": "failed"}.get(status, status)
        setattr(self, name, getattr(self, name) + runs)
        self.updated_at = now
        if self.status == "pending":
            self.start(now)
        if self.executed == self.runs:
            self.move(self._end(), now)
            self.finished_at = now

    def _end(self) -> str:
        if self.cancelled == self.runs:
            return "stop"
        return "fail" if not self.succeeded and (self.failed or self.reason) else "succeed"


def check_record(data: Any, *, field: str = "data") -> None:
    """Raises `invalidData` unless it is an object, which is what a run works on."""
    if not isinstance(data, dict):
        raise TallystickError("invalidData", f"{field} must be an object.", field=field)


def check_records(data: Any) -> None:
    """Raises `invalidData` unless it is a list of 1 to `MOST_RECORDS` objects."""
    if not isinstance(data, list) or not 0 < len(data) <= MOST_RECORDS:
        raise TallystickError(
            "invalidData", f"data must be a list of 1 to {MOST_RECORDS} objects.", field="data", limit=MOST_RECORDS
        )
    for index, record in enumerate(data):
        check_record(record, field=f"data[{index}]")


def lease_text(workspace_id: UUID, lease: UUID) -> str:
    """A lease as its runner gets it: it says where the run is, so that an operator's runner need not."""
    return f"{workspace_id}.{lease}"


def read_lease(text: str) -> tuple[UUID, UUID] | None:
    """The workspace and the lease in such a text; None for anything else."""
    workspace, _, lease = text.partition(".")
    found = as_uuid(workspace), as_uuid(lease)
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def lease_lost(run_id: UUID) -> TallystickError:
    return TallystickError("leaseLost", "Another runner has this run, or nobody any more.", uuid=str(run_id))


def run_not_found(run_id: UUID) -> TallystickError:
    return TallystickError("runNotFound", "There is no such run.", uuid=str(run_id))


def batch_not_found(batch_id: UUID) -> TallystickError:
    return TallystickError("batchNotFound", "There is no such batch.", uuid=str(batch_id))


def workflow_not_found(workflow: UUID | str) -> TallystickError:
    return TallystickError("workflowNotFound", "There is no such workflow.", workflow=str(workflow))
