"""One run from its claim to its end: node after node, each reported as it finishes, none done again that was."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid5

import structlog

from tallystick.client import ApiError, AsyncClient, ClientError
from tallystick.client import orchestration as calls
from tallystick.kernel.clock import Clock
from tallystick.kernel.errors import TallystickError
from tallystick.runner import connection
from tallystick.runner.expressions import plain
from tallystick.runner.failures import LeaseLostError, NodeError, RunCancelledError, RunRefusedError, Usage
from tallystick.runner.graph import Ended, Finished, Graph, chosen_child, leads_to
from tallystick.runner.metering import Meter
from tallystick.runner.nodes import Attempt, Outside
from tallystick.wire.orchestration import ExecutionStatus, FinishRun, Node, NodeRetry, ReportExecution, Task

_log = structlog.get_logger("tallystick.runner")

_HEARTBEATS: Final = 3
_TEXT_MAX: Final = 2_000
_HIDDEN: Final = frozenset({"headers", "apiKey"})


class RunInterruptedError(Exception):
    """The process ends: the run is left to whoever claims it next."""


@dataclass(slots=True)
class RunExecutor:
    """Executes one claimed run. `stopping` is set when the process wants to end."""

    server: AsyncClient
    clock: Clock
    outside: Outside
    meter: Meter
    task: Task
    lease_seconds: int
    stopping: asyncio.Event
    _finished: dict[UUID, Finished] = field(default_factory=dict)
    _begun: dict[UUID, int] = field(default_factory=dict)
    _cancelling: bool = False

    async def run(self) -> None:
        """Go on until the run has ended, its lease is lost, or the process ends."""
        beating = asyncio.create_task(self._beat(asyncio.current_task()))
        try:
            await self._finish(await self._ending())
        except LeaseLostError:
            _log.info("lease lost", run=str(self.task.run.uuid))
        except RunInterruptedError:
            await self._release()
        finally:
            beating.cancel()
            await asyncio.wait([beating])

    async def _ending(self) -> FinishRun:
        lease = self.task.lease
        try:
            graph = Graph(self.task.workflow.nodes)
            self._remember(graph)
            while isinstance(step := graph.next(self._finished), Node):
                if self.stopping.is_set():
                    raise RunInterruptedError
                self._check()
                self._finished[step.uuid] = await self._execute(step)
        except RunCancelledError:
            return FinishRun(status="cancelled", lease=lease)
        except TallystickError as error:
            return FinishRun(status="error", lease=lease, reason=error.code, error=error.message[:_TEXT_MAX])
        return self._ended(step)

    def _ended(self, step: Ended) -> FinishRun:
        output = self._finished[step.last.uuid].output if step.last else None
        if step.failed is None:
            return FinishRun(status=step.status, lease=self.task.lease, output=output)
        told = (self._finished[step.failed.uuid].output or {}).get("error", {})
        sentence = f"{step.failed.slug}: {told.get('message', 'failed')}"[:_TEXT_MAX]
        return FinishRun(
            status="error", lease=self.task.lease, reason=told.get("reason"), error=sentence, output=output
        )

    def _remember(self, graph: Graph) -> None:
        """Take over what an earlier holder of the run has finished, and which attempt it was at."""
        for done in self.task.executions:
            if done.status in ("success", "error", "skipped"):
                self._finished[done.node_uuid] = Finished(done.status, plain(done.output))
            else:
                self._begun[done.node_uuid] = done.attempt

    async def _execute(self, node: Node) -> Finished:
        started = self.clock.now()
        retry = node.retry or NodeRetry()
        number = self._begun.get(node.uuid, 1)
        attempt = self._attempt(node, number)
        while True:
            await self._report(node, "running", attempt, started)
            try:
                outcome = await self._tried(node, attempt)
            except (RunRefusedError, RunCancelledError) as stop:
                await self._stopped(node, attempt, started, stop)
                raise
            if isinstance(outcome, Finished):
                finished = outcome
                break
            _log.info("node failed", run=str(self.task.run.uuid), node=node.slug, reason=outcome.code)
            if not outcome.again or number >= retry.maximum_attempts:
                finished = Finished("error", _failed(outcome))
                break
            await asyncio.sleep(retry.initial_interval / 1000 * retry.backoff_coefficient ** (number - 1))
            number += 1
            attempt = attempt.again()
        await self._book(node, attempt, finished.status)
        await self._report(node, finished.status, attempt, started, finished)
        return finished

    async def _tried(self, node: Node, attempt: Attempt) -> Finished | NodeError:
        """What came of an attempt. Nobody is helped by a run that is claimed again and again because of one node."""
        try:
            return await attempt.run()
        except NodeError as failure:
            return failure
        except (RunRefusedError, RunCancelledError):
            raise
        except ApiError as error:
            return NodeError(error.reason or "serverRefused", error.error_message)
        except Exception as error:  # noqa: BLE001 - the log has it in full
            _log.exception("node failed", run=str(self.task.run.uuid), node=node.slug)
            return NodeError("internalError", f"{type(error).__name__}: {error}")

    def _attempt(self, node: Node, number: int) -> Attempt:
        outputs = {
            one.slug: self._finished[one.uuid].output for one in self.task.workflow.nodes if one.uuid in self._finished
        }
        return Attempt(
            node=node,
            number=number,
            scope={"data": self.task.data, "nodes": outputs},
            meter=self.meter,
            outside=self.outside,
            max_steps=self.task.workflow.max_steps,
            check=self._check,
        )

    async def _stopped(self, node: Node, attempt: Attempt, started: dt.datetime, stop: Exception) -> None:
        """A node that was stopped in the middle pays for its execution only if something in it was paid for."""
        paid = attempt.calls > 0 or attempt.number > 1
        output = _failed(stop) if isinstance(stop, RunRefusedError) else None
        finished = Finished("error", output)
        if paid:
            await self._book(node, attempt, "error")
        status: ExecutionStatus = "error" if paid and output else "cancelled"
        await self._report(node, status, attempt, started, finished)

    async def _book(self, node: Node, attempt: Attempt, status: str) -> None:
        names = {
            "integration": node.integration_slug,
            "action": node.action_slug,
            "connector": str(node.connector_uuid) if node.connector_uuid else None,
            "status": "error" if status == "error" else "success",
        }
        events = [
            self.meter.event(used, f"{node.uuid}/storage/{place}", node.uuid, attempt.agent)
            for place, used in enumerate(attempt.usages)
        ]
        used = Usage("orchestration.execution", names)
        await self.meter.book([*events, self.meter.event(used, f"{node.uuid}", node.uuid, attempt.agent)])

    async def _report(
        self,
        node: Node,
        status: ExecutionStatus,
        attempt: Attempt,
        started: dt.datetime,
        finished: Finished | None = None,
    ) -> None:
        output = finished.output if finished else None
        failure = output.get("error") if isinstance(output, dict) and status in ("error", "cancelled") else None
        following = leads_to(node, finished) if finished else []
        config = attempt.config
        report = ReportExecution(
            node_uuid=node.uuid,
            status=status,
            lease=self.task.lease,
            attempt=attempt.number,
            title=node.slug,
            output=output,
            error=str(failure.get("message"))[:_TEXT_MAX] if isinstance(failure, dict) else None,
            computed_config={k: v for k, v in config.items() if k not in _HIDDEN} if config else None,
            child_index=chosen_child(node, finished) if finished else None,
            next_node_uuid=following[0] if following else None,
            started_at=started,
            finished_at=self.clock.now() if finished else None,
        )
        run = self.task.run.uuid
        answer = await connection.send(self.server, calls.report_execution(run, uuid5(run, str(node.uuid)), report))
        self._cancelling = self._cancelling or answer.cancelling

    async def _release(self) -> None:
        """Let the next runner have it soon. The server may be ending too: then the lease runs out by itself."""
        with contextlib.suppress(ClientError):
            await self.server.send(calls.send_heartbeat(self.task.run.uuid, self.task.lease, lease_seconds=1))

    def _check(self) -> None:
        if self._cancelling:
            raise RunCancelledError

    async def _finish(self, ending: FinishRun) -> None:
        await connection.send(self.server, calls.finish_run(self.task.run.uuid, ending))
        _log.info("run finished", run=str(self.task.run.uuid), status=ending.status, reason=ending.reason)

    async def _beat(self, running: "asyncio.Task[Any] | None") -> None:
        """Keep the lease while the run goes on; once it is lost, end the run here and now."""
        run, lease = self.task.run.uuid, self.task.lease
        while True:
            await asyncio.sleep(self.lease_seconds / _HEARTBEATS)
            try:
                beat = calls.send_heartbeat(run, lease, lease_seconds=self.lease_seconds)
                answer = await connection.send(self.server, beat)
            except (LeaseLostError, ApiError) as error:
                _log.info("lease lost", run=str(run), why=str(error))
                if running is not None:
                    running.cancel()
                return
            self._cancelling = self._cancelling or answer.cancelling


def _failed(failure: TallystickError) -> Mapping[str, Any]:
    """What later nodes and the run's reader see of a failure."""
    told: dict[str, Any] = {"error": {"reason": failure.code, "message": failure.message}}
    output = getattr(failure, "output", None)
    return told if output is None else {**told, "answer": plain(output)}
