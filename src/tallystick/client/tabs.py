"""The call about the tabs of usage."""

import datetime as dt
from functools import cache
from typing import Any, cast

import msgspec

from tallystick.client.calls import Day
from tallystick.client.replies import Call
from tallystick.wire import tabs as wire
from tallystick.wire.amounts import answer_decoder


def usage_tab(
    tab: wire.Tab,
    *,
    range_: wire.RangeName | None = None,
    from_: Day | None = None,
    to: Day | None = None,
    compare: bool = False,
    model: str | None = None,
    guardrail: str | None = None,
    script: str | None = None,
) -> Call[wire.AnyTab]:
    """One tab of the dashboard, over `range_` or UTC days from `from_` to `to`, both counted; else the last 30 days.

    `compare` adds the totals of the range before. `model`, `guardrail` or `script`, by uuid or key, asks for what
    stands behind one row of its tab.
    """
    query = {
        "tab": tab,
        "range": range_,
        "from": from_,
        "to": to,
        "compare": "true" if compare else None,
        "model": model,
        "guardrail": guardrail,
        "script": script,
    }
    given = {
        name: value.isoformat() if isinstance(value, dt.date) else value
        for name, value in query.items()
        if value is not None
    }
    return Call("GET", "/v1/usage/report", _decoder(), query=given)


@cache
def _decoder() -> "msgspec.json.Decoder[wire.AnyTab]":
    return cast("msgspec.json.Decoder[wire.AnyTab]", answer_decoder(cast(Any, wire.AnyTab)))
