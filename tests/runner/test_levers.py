"""Each of the four levers lowers the cost of a real batch by what was foretold, as the model's own log says, too."""

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from tallystick.client import costs
from tallystick.client import orchestration as calls
from tests.runner.conftest import ENDED, NANO, Bench, chat, http, node

RECORDS = [
    {"name": "Ann", "size": 50, "answer": "echo"},
    {"name": "Bob", "size": 50, "answer": "status/404"},
    {"name": "Cleo", "size": 5, "answer": "echo"},
]
PER_TOKEN = {"tally-large": (2_000_000, 4_000_000), "tally-small": (200_000, 400_000)}
"""Nano-credits of a token in and out, by the prices of these tests."""

LEVERS: dict[str, dict[str, Any]] = {
    "model": {"languageModel": "tally-small"},
    "steps": {"maxSteps": 1},
    "filter": {"filterNode": "fit"},
    "fallback": {"noFallback": True},
}


def workflow(
    url: str, model: str = "tally-large", steps: int = 5, *, is_early: bool = False, falls_back: bool = True
) -> list[dict[str, Any]]:
    """An agent looks around three times, a service is asked and may fail, a filter drops what is small."""
    agent = {
        "model": model,
        "prompt": "Who is {{ data.name }}? [[steps 3]] [[say It is {{ data.name }}.]]",
        "maxSteps": steps,
        "tools": [
            {
                "slug": "search",
                "integrationSlug": "paid",
                "actionSlug": "search",
                "config": {"url": f"{url}/echo"},
                "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
            }
        ],
    }
    after = ["keep"] if is_early else ["fit"]
    think = node("think", "answer", agent, "check", kind="agent", integrationSlug="local")
    check = http("check", f"{url}/{{{{ data.answer }}}}", *after, fallback="plan-b", fallbackOnFailure=falls_back)
    plan_b = chat("plan-b", "What now? [[say Go on with {{ data.name }}.]]", *after, model=model)
    fit = node("fit", "filter", {"expression": "data.size > 10"}, "think" if is_early else "keep")
    keep = node("keep", "insert", {"table": "people", "records": [{"name": "{{ data.name }}"}]})
    return [fit, think, check, plan_b, keep] if is_early else [think, check, plan_b, fit, keep]


@dataclass(frozen=True)
class Spent:
    """What a batch came to, in nano-units; `asked` is what the model's own log says that it is owed."""

    batch: UUID
    credits: int
    tool_runs: int
    llm: int
    asked: int
    calls: int


async def spend(bench: Bench, nodes: list[dict[str, Any]]) -> Spent:
    """Run all records through these nodes, to the end."""
    with bench.endpoint.logged() as asked:
        uuid = await bench.workflow(*nodes)
        batch = (await bench.client.send(calls.create_batch(uuid, RECORDS))).batch
        async with bench.running(), asyncio.timeout(30):
            while (batch := (await bench.client.send(calls.batch(batch.uuid))).batch).status not in ENDED:
                await asyncio.sleep(0.05)
    assert batch.executed_runs_count == len(RECORDS)
    charges = [charge for charge in bench.charges() if charge["data"]["batch"] == str(batch.uuid)]
    owed = 0
    for call in asked:
        rates = PER_TOKEN[call.model]
        owed += call.prompt_tokens * rates[0] + call.completion_tokens * rates[1]
    return Spent(
        batch.uuid,
        sum(charge["credits"] for charge in charges),
        sum(charge["tool_runs"] for charge in charges),
        sum(charge["credits"] for charge in charges if charge["type"] == "llm.tokens"),
        owed,
        len(asked),
    )


@pytest.mark.parametrize("lever", LEVERS)
async def test_a_lever_lowers_the_cost_of_a_real_batch_by_what_was_foretold(
    bench: Bench, web_url: str, lever: str
) -> None:
    changed = {
        "model": workflow(web_url, model="tally-small"),
        "steps": workflow(web_url, steps=1),
        "filter": workflow(web_url, is_early=True),
        "fallback": workflow(web_url, falls_back=False),
    }[lever]
    before = await spend(bench, workflow(web_url))
    foretold = (await bench.client.send(costs.simulate(LEVERS[lever], batch=before.batch))).simulation
    after = await spend(bench, changed)
    assert (before.llm, after.llm) == (before.asked, after.asked)
    assert before.asked > after.asked
    assert before.credits > after.credits
    assert (foretold.before.credits.nano, foretold.before.tool_runs.nano) == (before.credits, before.tool_runs)
    assert (foretold.after.credits.nano, foretold.after.tool_runs.nano) == (after.credits, after.tool_runs)
    assert foretold.saved.credits.nano == before.credits - after.credits
    assert foretold.runs == len(RECORDS)
    assert (before.calls > after.calls) == (lever != "model")


async def test_receipts_of_a_real_batch_add_up_to_it_node_by_node(bench: Bench, web_url: str) -> None:
    spent = await spend(bench, workflow(web_url))
    runs = (await bench.client.send(calls.runs(batch_uuid=spent.batch))).runs
    receipts = [(await bench.client.send(costs.receipt(run.uuid))).receipt for run in runs]
    assert sum(receipt.totals.credits.nano for receipt in receipts) == spent.credits
    for run, receipt in zip(runs, receipts, strict=True):
        assert receipt.totals.credits == run.credits_used_count
        batch, [trunk] = receipt.span, receipt.span.spans
        assert (batch.kind, batch.name, trunk.name) == ("batch", str(spent.batch), str(run.uuid))
        executions = (await bench.get(run.uuid)).executions
        assert {span.name for span in trunk.spans} == {str(one.node_uuid) for one in executions}
        assert {receipt.names[span.name] for span in trunk.spans} == {one.node_slug for one in executions}
        [llm] = [line for line in receipt.lines if line.category == "llm"]
        [item] = llm.items
        worth = sum(Fraction(one.count * one.credits_per_million.nano, 10**6 * NANO) for one in item.counters)
        assert worth == Fraction(item.exact or "") == Fraction(item.credits.nano, NANO)
