"""Two stories within the demo: an event that arrives after its period was closed, and one put right a day later."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from tallystick.demo import cast

LATE: Final = "late-1"
WRONG: Final = "wrong-1"
RIGHT: Final = "right-1"


def late_and_corrected(turn: dt.datetime, end: dt.datetime) -> Iterator[tuple[dt.datetime, dict[str, Any]]]:
    """Each report with the instant at which it is made; `turn` is where the current billing period begins."""
    conversation = {
        "agent": "support-concierge",
        "model": cast.SONNET.name,
        "integration": "anthropic",
        "connector": "anthropic",
        "kind": "conversation",
        "project": "helpdesk",
        "team": "support",
        "user": cast.USERS[8],
        "status": "success",
    }
    before = turn - dt.timedelta(hours=5)
    late = conversation | {"inputTokens": 1_020, "outputTokens": 129}
    yield turn + dt.timedelta(hours=30), _event(LATE, before, late)
    used = end - dt.timedelta(days=9)
    yield used, _event(WRONG, used, conversation | {"inputTokens": 13_900, "outputTokens": 990})
    put_right = conversation | {
        "inputTokens": 1_390,
        "outputTokens": 99,
        "replaces": {"source": cast.SOURCE, "id": WRONG},
    }
    yield used + dt.timedelta(hours=20), _event(RIGHT, used, put_right)


def _event(id_: str, time: dt.datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": cast.SOURCE,
        "type": "llm.tokens",
        "time": time,
        "data": data,
    }
