"""The demo's second workspace: small, on the Free plan, and out of tool runs."""

import datetime as dt
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from tallystick.demo import cast
from tallystick.demo.calendar import spread
from tallystick.demo.generator import Report
from tallystick.demo.token_counts import draw

CALLS: Final = 320
"""Tool calls, of 300 granted: an event reports what happened, so the balance ends below zero (rule M8)."""


def sandbox_events(seed: str, start: dt.datetime, end: dt.datetime) -> Iterator[Report]:
    """Tool calls and a few questions to an agent, in order of time."""
    number = 0
    for hour, calls in spread(f"{seed} sandbox", start, end, CALLS):
        chance = Random(f"{seed} sandbox {number}")  # noqa: S311 - a story, not a secret
        for n in range(calls):
            at = hour + dt.timedelta(minutes=55 * n // calls)
            number += 1
            tool = {"tool": "web-research", "connector": "websearch", "integration": "websearch", "action": "search"}
            yield _report(number, f"s{number:04d}-1", "tool.call", at, tool | {"status": "success"})
            if number % 4 == 0:
                asked = {
                    "agent": "sales-researcher",
                    "model": cast.HAIKU.name,
                    "integration": "anthropic",
                    "kind": "conversation",
                    "inputTokens": draw(chance, "conversation", "input"),
                    "outputTokens": draw(chance, "conversation", "output"),
                    "status": "success",
                }
                yield _report(number, f"s{number:04d}-2", "llm.tokens", at, asked)


def _report(number: int, id_: str, type_: str, at: dt.datetime, data: dict[str, Any]) -> Report:
    run = {"run": f"s{number:04d}", "user": cast.USERS[0]}
    event = {"specversion": "1.0", "id": id_, "source": cast.SOURCE, "type": type_, "time": at, "data": run | data}
    return Report(at, number, event)
