"""A run as the program sees it: what it may report, and which run it is in. The two clients add the waiting."""

import contextlib
import datetime as dt
import functools
import inspect
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from decimal import Decimal
from typing import Any, Final, TypedDict, TypeVar, Unpack, cast
from uuid import UUID

from tallystick.client.calls import Amount
from tallystick.client.errors import ClientError
from tallystick.client.estimating import PERCENTILES
from tallystick.client.events import EncodedEvent, EventMaker, UsageData
from tallystick.client.holding import RunState
from tallystick.client.holds import Terms
from tallystick.client.leases import CREDITS, TOOL_RUNS
from tallystick.kernel.credits import parse_credits

_LOG = logging.getLogger("tallystick.client")

F = TypeVar("F", bound=Callable[..., Any])


class RunArguments(TypedDict, total=False):
    """What `Client.run` takes.

    `estimate` is an amount of credits, or `"p50"`, `"p90"`, `"mean"` of past runs of the workflow or agent; then
    `default_estimate` is taken where there are none. `tool_runs` are set aside beside it; left out, those of the past
    runs are. `wait` are seconds to wait for other holds to settle; `expires_in` seconds that a hold lives unless it is
    extended, which happens by itself. `run` names the run, a new UUID by default; `idempotency_key` makes a run that is
    begun again use its first hold. The others are the names that go with all its usage.
    """

    estimate: Amount | str | None
    default_estimate: Amount | None
    tool_runs: Amount | None
    wait: float | None
    expires_in: int | None
    idempotency_key: str | None
    run: str | None
    workflow: str | None
    agent: str | None
    project: str | None
    team: str | None
    user: str | None
    api_key: str | None
    batch: str | None


_NAMES: Final = ("workflow", "agent", "project", "team", "user", "api_key", "batch")


def terms_of(maker: EventMaker, arguments: RunArguments) -> Terms:
    """What these arguments ask for. Raises TypeError, and `TallystickError` with the code `invalidAmount`."""
    unknown = arguments.keys() - RunArguments.__annotations__.keys()
    if unknown:
        raise TypeError(f"a run takes no {', '.join(sorted(unknown))}")
    estimate, default = arguments.get("estimate"), arguments.get("default_estimate")
    percentile = estimate if isinstance(estimate, str) and estimate in PERCENTILES else None
    if percentile is not None:
        if default is None:
            raise TypeError(f"estimate={percentile!r} needs a default_estimate, for as long as there are no past runs")
        if not arguments.get("workflow") and not arguments.get("agent"):
            raise TypeError(f"estimate={percentile!r} needs the workflow or the agent whose past runs are meant")
        estimate = default
    amounts = amounts_of(estimate, arguments.get("tool_runs"))
    now = maker.clock.now()
    names = {name: str(arguments[name]) for name in _NAMES if arguments.get(name) is not None}
    names["run"] = arguments.get("run") or str(maker.ids.new(now))
    wait = arguments.get("wait")
    return Terms(
        names=names,
        amounts=amounts,
        key=arguments.get("idempotency_key") or str(maker.ids.new(now)),
        begun_at=now,
        percentile=percentile,
        wait=None if wait is None else math.ceil(wait),
        expires_in=arguments.get("expires_in"),
    )


def amounts_of(credits: object, tool_runs: object) -> dict[str, int]:  # noqa: A002 - the unit's name
    """Nano-units by unit. Raises TypeError when there are none, `TallystickError` with the code `invalidAmount`."""
    given = {CREDITS: credits, TOOL_RUNS: tool_runs}
    amounts = {unit: parse_credits(value, field=unit) for unit, value in given.items() if value is not None}
    if not amounts:
        raise TypeError("say how many credits or tool runs are to be set aside")
    return amounts


_CURRENT: "Final[ContextVar[Reporting | None]]" = ContextVar("tallystick_run", default=None)


def current_run() -> "Reporting | None":
    """The run, or the part of one, that this code runs in: a task's, a thread's, or one copied by `copy_context`."""
    return _CURRENT.get()


class Reporting(ABC):
    """What every run can do without waiting, from any thread: report usage, and say how it stands."""

    def __init__(self, owner: object, maker: EventMaker, state: RunState, outer: "Reporting | None" = None) -> None:
        self.owner = owner
        self._maker = maker
        self._state = state
        self._root: Reporting = outer._root if outer is not None else self
        self._around: Reporting | None = None
        self._token: Token[Reporting | None] | None = None
        self._entered = False

    @property
    def id(self) -> str:
        """The run's name in events, holds and receipts."""
        return self._state.terms.names["run"]

    @property
    def has_ended(self) -> bool:
        """Whether all it used was settled or given to the recorder, and the rest released."""
        return self._state.has_ended

    @property
    def hold_ids(self) -> list[UUID]:
        """The holds that are open."""
        return list(self._state.holds)

    @property
    def is_on_trust(self) -> bool:
        """Whether it began, or went on, without a hold, under the client's lease."""
        return self._state.is_on_trust

    @property
    def spent(self) -> Decimal:
        """Credits settled so far, as the server told; what is not settled yet does not show."""
        return self._state.settled(CREDITS)

    @property
    def spent_tool_runs(self) -> Decimal:
        """Tool runs settled so far."""
        return self._state.settled(TOOL_RUNS)

    @property
    def left(self) -> Decimal:
        """Credits that are still set aside."""
        return self._state.left(CREDITS)

    @property
    def left_tool_runs(self) -> Decimal:
        """Tool runs that are still set aside."""
        return self._state.left(TOOL_RUNS)

    def record(
        self,
        type: str,  # noqa: A002 - named as the attribute of the event
        *,
        id: str | None = None,  # noqa: A002 - named as the attribute of the event
        source: str | None = None,
        subject: str | None = None,
        time: dt.datetime | None = None,
        data: Mapping[str, Any] | None = None,
        **fields: Unpack[UsageData],
    ) -> str:
        """Report usage of any type with this run's names; returns the event's id at once.

        After the run has ended it is still recorded, without a hold. Raises `BufferFullError`, and TypeError for fields
        that no event has.
        """
        target = self._target()
        named: dict[str, Any] = {**target._state.terms.names, **fields, "run": target.id}
        event = target._maker.make(type, id, source, subject, time, data, named)
        if target._state.collect(event):
            target._planned()
        else:
            target._late(event)
        return event.id

    def llm(self, **fields: Unpack[UsageData]) -> str:
        """One call of a language model: `model`, `input_tokens`, `output_tokens`, and the other counters."""
        if not fields.get("model"):
            raise TypeError("a call of a language model needs its model")
        return self.record("llm.tokens", **fields)

    def tool(self, **fields: Unpack[UsageData]) -> str:
        """Calls of a tool: of a `tool`, `connector` or `integration` with its `action`; `quantity` is 1 by default."""
        return self.record("tool.call", **fields)

    def execution(self, **fields: Unpack[UsageData]) -> str:
        """A node of a workflow has been executed, with `status` success or error."""
        fields.setdefault("status", "success")
        return self.record("orchestration.execution", **fields)

    def storage(self, records: int | str | Decimal = 1, **fields: Unpack[UsageData]) -> str:
        """So many records were written, into `table`."""
        fields["quantity"] = records
        return self.record("storage.records", **fields)

    def _target(self) -> "Reporting":
        """The part of this run that the code is in: what is reported there is paid by what was set aside for it."""
        current = _CURRENT.get()
        return current if current is not None and current._root is self._root else self

    def _enter(self) -> None:
        self._around = _CURRENT.get()
        self._token = _CURRENT.set(self)

    def _leave(self) -> None:
        if self._token is not None:
            # Left in another context than it was entered in, as generators do: there is nothing to undo there.
            with contextlib.suppress(ValueError):
                _CURRENT.reset(self._token)
            self._token = None

    def _once(self) -> None:
        if self._entered:
            raise RuntimeError("a run is begun once; ask the client for another one")
        self._entered = True

    @abstractmethod
    def _planned(self) -> None:
        """Something was collected: see when it is due."""

    @abstractmethod
    def _late(self, event: EncodedEvent) -> None:
        """Something was reported after the end."""


def run_of(owner: object) -> Reporting | None:
    """The innermost run of this client that the code runs in."""
    run = _CURRENT.get()
    while run is not None and run.owner is not owner:
        run = run._around
    return run


def metered_tool(owner: object, fields: UsageData) -> Callable[[F], F]:
    """A decorator: within a run of `owner` each call of the function is a `tool.call`, with the status it ended in.

    Without a connector, integration or tool the function's name is the tool's.
    """

    def decorate(function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a generator has no end to meter at; decorate a function that returns")
        named = fields.copy()
        if not named.keys() & {"connector", "integration", "tool"}:
            named["tool"] = getattr(function, "__name__", "tool")

        def ended(status: str) -> None:
            run = run_of(owner)
            if run is None:
                return
            used = named.copy()
            used["status"] = status
            try:
                run.tool(**used)
            except ClientError:
                if status == "success":
                    raise
                _LOG.exception("a failed call of a tool could not be recorded")  # its own error is the news

        @functools.wraps(function)
        async def later(*args: Any, **kwargs: Any) -> Any:
            status = "error"
            try:
                answer = await function(*args, **kwargs)
                status = "success"
            finally:
                ended(status)
            return answer

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            status = "error"
            try:
                answer = function(*args, **kwargs)
                status = "success"
            finally:
                ended(status)
            return answer

        return cast(F, later if inspect.iscoroutinefunction(function) else now)

    return decorate
