"""A receipt drawn as a tree says how every kind of price came to its charge."""

import json

from tests.cli.conftest import Shell
from tests.serving import House

PRICES = {
    "fixed": ("fixed", {"amount": "0.25"}, "0.25 an event = 0.25"),
    "unit": ("unit", {"amount": "1", "per": 3}, "2 × 1 / 3 = 2/3"),
    "package": ("package", {"amount": "1", "per": 3}, "2 units owe 1, 0 owed 0"),
    "percentage": ("percentage", {"percent": "120", "creditsPerUsd": "100"}, "120 % of $0.005 × 100 = 0.6"),
}


def test_each_price_model_is_drawn_with_its_factors(tally: Shell, house: House) -> None:
    operator = {"TALLY_TOKEN": house.operator_token}
    rows = []
    for name, (model, rates, _) in PRICES.items():
        target = f"tool.call/integration:{name}-{tally.shop.key}"
        added = ("price", "add", "--target", target, "--model", model, "--rates", json.dumps(rates))
        assert tally(*added, **operator).status == 0
        rows.append({"type": "tool.call", "integration": target.partition(":")[2], "quantity": 2, "cost": "0.005"})
    rows.append({"type": "llm.tokens", "model": "nobody's", "inputTokens": 7})
    rows.append({"type": "llm.tokens", "model": "gpt-4o", "inputTokens": 0, "outputTokens": 0})
    rows.append({"type": "direct.charge", "quantity": "0.5"})
    lines = "".join(json.dumps({"time": "2024-05-02T08:00:00Z", "run": "r 1"} | row) + "\n" for row in rows)
    (tally.folder / "rows.jsonl").write_text(lines)
    assert tally("events", "import", "rows.jsonl", "--debit").answer["accepted"] == len(rows)
    tree = tally("orchestration", "run", "receipt", "--run-uuid", "r 1", "--format", "table").stdout
    for _, _, factors in PRICES.values():
        assert factors in tree
    assert "rounded by " in tree
    assert "0 credits, unpriced" in tree
    assert "0.5 credits, direct" in tree
    assert "1 charge without a price yet" in tree
    assert tree.startswith("receipt of run r 1: 3.016666667 credits, 8 tool runs, provider $0.02")
