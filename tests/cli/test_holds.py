"""`tally billing holds` and `tally billing credits` as processes."""

import json
from typing import Any
from urllib.request import Request, urlopen

from tests.cli.conftest import Shell


def _place(tally: Shell, body: dict[str, Any]) -> Any:
    """A hold, placed as a platform does."""
    headers = {"authorization": f"Bearer {tally.shop.token}", "content-type": "application/json"}
    request = Request(f"{tally.house.base_url}/v1/holds", data=json.dumps(body).encode(), headers=headers)
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)["hold"]


def test_holds_are_listed_shown_and_released(tally: Shell) -> None:
    placed = _place(tally, {"amounts": {"credits": "12.5", "toolRuns": 3}, "run": "run-1"})
    listed = tally("billing", "holds", "list", "--status", "held")
    assert [hold["id"] for hold in listed.answer["holds"]] == [placed["id"]]
    table = tally("billing", "holds", "list", "--run", "run-1", "--format", "table").stdout
    assert "12.5" in table and "run-1" in table
    assert tally("billing", "holds", "list", "--run", "another").answer == {"holds": []}
    balances = tally("billing", "credits").answer["balances"]
    assert [(one["unit"], one["held"]) for one in balances] == [("credits", 12.5), ("toolRuns", 3)]
    voided = tally("billing", "holds", "void", placed["id"], "--idempotency-key", "k")
    assert voided.answer["hold"]["status"] == "voided"
    assert tally("billing", "holds", "void", placed["id"], "--idempotency-key", "k").answer == voided.answer
    again = tally("billing", "holds", "void", placed["id"])
    assert (again.status, again.answer["reason"]) == (1, "holdNotOpen")
    assert tally("billing", "holds", "get", placed["id"]).answer["hold"]["status"] == "voided"
    assert "toolRuns" in tally("billing", "credits", "--format", "table").stdout
