"""The demo's usage events: pure, streamed in order of their report, and the same for the same seed and range."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any, Final, NamedTuple

from tallystick.demo import cast, corrections
from tallystick.demo.calendar import DAYS, HOUR, current_period_start, spread
from tallystick.demo.token_counts import draw

SEED: Final = "tallystick"
RUNS_BEFORE: Final = 10_800
RUNS_NOW: Final = 4_680
"""Runs before the current billing period and in it: the latter uses 60 to 70 % of what Pro includes."""

_QUOTA_ENDS: Final = dt.timedelta(days=6)
_UNPRICED_SINCE: Final = dt.timedelta(days=30)
_BAD_DAY: Final = dt.timedelta(days=33)
_TRAININGS: Final = (24 * 20, 24 * 62)
"""Hours of the story in which the company's own model is trained."""


class Report(NamedTuple):
    """A CloudEvent without its subject, and when the platform reports it: at its time, but for a late one."""

    at: dt.datetime
    number: int
    event: dict[str, Any]


@dataclass(slots=True)
class _Run:
    """One run while it is told: its clock, and whose usage it is."""

    key: str
    now: dt.datetime
    chance: Random
    attribution: dict[str, str]
    tell: Callable[[str, str, dt.datetime, dict[str, Any]], None]
    steps: int = 0
    failed: bool = field(default=False)

    def event(self, type_: str, data: dict[str, Any], *, seconds: int) -> None:
        """Report one thing that was used and took up to `seconds`."""
        self.now += dt.timedelta(milliseconds=self.chance.randrange(200, 1000 * seconds))
        self.steps += 1
        self.tell(f"{self.key}-{self.steps}", type_, self.now, {"run": self.key} | self.attribution | data)


def events(seed: str, start: dt.datetime, end: dt.datetime) -> Iterator[Report]:
    """Every report of `[start, end)` in order of `at`; `start` lies ninety days before `end`.

    The number of runs is fixed for the current billing period and for the time before it, so that what is used of the
    plan does not depend on the day of the week on which the demo is made.
    """
    turn = current_period_start(end)
    if not start < turn:
        raise ValueError(f"the demo needs its {DAYS} days")
    waiting: list[Report] = []
    numbers = iter(range(10**9))

    def tell(id_: str, type_: str, at: dt.datetime, data: dict[str, Any]) -> None:
        envelope = {"specversion": "1.0", "id": id_, "source": cast.SOURCE, "type": type_, "time": at, "data": data}
        if at < end:
            heappush(waiting, Report(at, next(numbers), envelope))

    for report in corrections.late_and_corrected(turn, end):
        heappush(waiting, Report(report[0], next(numbers), report[1]))
    hours = [*spread(seed, start, turn, RUNS_BEFORE), *spread(seed, turn, end, RUNS_NOW)]
    for place, (hour, runs) in enumerate(hours):
        chance = Random(f"{seed} {place}")  # noqa: S311 - a story, not a secret
        if place in _TRAININGS:
            _train(place, hour, tell)
        for n in range(runs):
            began = hour + HOUR * chance.randrange(10_000) / 10_000
            _any_run(_Run(f"r{place:04d}-{n:03d}", began, chance, {}, tell), end)
        while waiting and waiting[0].at < hour + HOUR:
            yield heappop(waiting)
    while waiting:
        yield heappop(waiting)


def _any_run(run: _Run, end: dt.datetime) -> None:
    kind = run.chance.randrange(100)
    if kind < 58:
        _play(run, end)
    elif kind < 88:
        _conversation(run, end)
    else:
        _tool_alone(run, end)


def _play(run: _Run, end: dt.datetime) -> None:
    """A workflow, node by node; it stops where one fails."""
    play = run.chance.choices(cast.PLAYS, [play.weight for play in cast.PLAYS])[0]
    run.attribution = _scope(play.project) | {"workflow": play.key}
    for place, (kind, name) in enumerate(play.nodes):
        node = {"node": f"{kind}-{place + 1}"}
        failed = run.chance.randrange(1000) < _errors_per_thousand(run.now, end)
        if kind == "tool":
            failed = _tool(run, name, node, end, failed=failed)
        elif kind == "agent":
            _thinking(run, _agent(name), node, end, calls=run.chance.choice((1, 1, 1, 2, 2, 3)))
        elif kind == "store" and not failed:
            run.event("storage.records", node | {"table": name, "quantity": run.chance.randrange(1, 40)}, seconds=2)
        table = {"table": play.table} if kind == "filter" else {}
        run.event("orchestration.execution", node | table | {"status": "error" if failed else "success"}, seconds=2)
        if failed:
            return


def _conversation(run: _Run, end: dt.datetime) -> None:
    """A person talks with an agent, which may call tools in between."""
    agent = run.chance.choice(cast.AGENTS)
    run.attribution = _scope(agent.project) | {"user": _user_of(run.chance, agent.project)}
    for _ in range(run.chance.randrange(1, 6)):
        _thinking(run, agent, {}, end, calls=1)
        if run.chance.randrange(100) < 22:
            _tool(run, "web-research", {"agent": agent.key}, end, failed=False)
    if run.chance.randrange(100) < 3:
        label = run.chance.choice(("spam", "harassment", "self-harm"))
        run.event("moderation.flag", {"agent": agent.key, "label": label}, seconds=2)
    if run.chance.randrange(100) < 8:
        run.event(
            "asset.created", {"agent": agent.key, "kind": run.chance.choice(("text", "image", "json"))}, seconds=9
        )


def _tool_alone(run: _Run, end: dt.datetime) -> None:
    """A tool that a person or another system called by itself: the tool is the workflow."""
    tool = run.chance.choice(cast.TOOLS)
    project = run.chance.choice(tuple(cast.PROJECTS))
    run.attribution = _scope(project) | {"workflow": tool.key, "user": _user_of(run.chance, project)}
    if run.chance.randrange(10) < 4:
        run.attribution["apiKey"] = "website"
    failed = _tool(run, tool.key, {"node": "tool-1"}, end, failed=run.chance.randrange(100) < 2)
    run.event("orchestration.execution", {"node": "tool-1", "status": "error" if failed else "success"}, seconds=1)


def _tool(run: _Run, key: str, where: dict[str, str], end: dt.datetime, *, failed: bool) -> bool:
    """One call of a tool; whether it failed."""
    tool = next(tool for tool in cast.TOOLS if tool.key == key)
    connector = next(connector for connector in cast.CONNECTORS if connector.key == tool.connector)
    failed = failed or (key == cast.ADDRESS_CHECK and run.now >= end - _QUOTA_ENDS)
    names = {"tool": key, "connector": connector.key, "integration": connector.integration, "action": connector.action}
    run.event("tool.call", where | names | {"status": "error" if failed else "success"}, seconds=4)
    return failed


def _thinking(run: _Run, agent: cast.Agent, where: dict[str, str], end: dt.datetime, *, calls: int) -> None:
    for _ in range(calls):
        model = _model(run, agent, end)
        taken = draw(run.chance, agent.profile, "input")
        data: dict[str, Any] = where | {
            "agent": agent.key,
            "model": model.name,
            "integration": model.integration,
            "connector": model.connector,
            "kind": agent.profile,
            "inputTokens": taken,
            "outputTokens": draw(run.chance, agent.profile, "output"),
            "status": "success",
        }
        if model.integration == "anthropic" and taken > 1_500 and run.chance.randrange(4) == 0:
            data["cachedInputTokens"] = 1_024
        run.event("llm.tokens", data, seconds=20)


def _model(run: _Run, agent: cast.Agent, end: dt.datetime) -> cast.Model:
    """Which model answers; the company's own one has been there for a month."""
    offered = [m for m in agent.models if m is not cast.UNPRICED or run.now >= end - _UNPRICED_SINCE]
    return run.chance.choices(offered, [model.weight for model in offered])[0]


def _train(place: int, hour: dt.datetime, tell: Callable[[str, str, dt.datetime, dict[str, Any]], None]) -> None:
    """The company's own model is trained on what its people wrote since: by a service that reports it."""
    data = {"model": cast.UNPRICED.name, "trainingTokens": 1_150_000, "epochs": 3, "complexity": "small"}
    tell(f"h{place:04d}-1", "fine_tuning.job", hour + dt.timedelta(minutes=59), data | _scope("review"))


def _errors_per_thousand(now: dt.datetime, end: dt.datetime) -> int:
    """Few, but for one bad day."""
    return 130 if end - _BAD_DAY <= now < end - _BAD_DAY + dt.timedelta(days=1) else 14


def _agent(key: str) -> cast.Agent:
    return next(agent for agent in cast.AGENTS if agent.key == key)


def _scope(project: str) -> dict[str, str]:
    return {"project": project, "team": cast.PROJECTS[project][1]}


def _user_of(chance: Random, project: str) -> str:
    """One of the four people of a project; the first is the keenest."""
    place = tuple(cast.PROJECTS).index(project)
    mine = cast.USERS[4 * place : 4 * place + 4]
    return chance.choices(mine, (6, 3, 2, 1))[0]
