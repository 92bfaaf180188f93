"""An estimate before a batch, as one command and as the four steps that it replaces; a receipt drawn as a tree."""

import asyncio
import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tallystick.kernel.clock import SystemClock
from tests.runner.conftest import Bench, chat, node
from tests.serving import TALLY, House

SAY = "[[say {{ data.name }}]]"


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> Any:
        return json.loads(self.stdout, parse_float=Decimal)


@dataclass(frozen=True)
class Shell:
    house: House
    bench: Bench
    folder: Path

    async def __call__(self, *arguments: str) -> Done:
        own = {"TALLY_BASE_URL": self.bench.shop.base_url, "TALLY_TOKEN": self.bench.shop.token}
        process = await asyncio.create_subprocess_exec(
            *TALLY,
            *arguments,
            env=self.house.environment(**own),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def tally(house: House, bench: Bench, tmp_path: Path) -> Shell:
    return Shell(house, bench, tmp_path)


def nodes() -> list[dict[str, Any]]:
    return [
        node("named", "filter", {"expression": "data.name != ''"}, "greet"),
        chat("greet", f"Greet {{{{ data.name }}}}. {SAY}", "keep"),
        node("keep", "insert", {"table": "greetings", "records": [{"text": "{{ nodes.greet.text }}"}]}),
    ]


def today() -> str:
    return SystemClock().now().date().isoformat()


async def test_the_four_steps_of_the_recipe_work_as_they_are_written(tally: Shell, bench: Bench) -> None:
    workflow = str(await bench.workflow(*nodes()))
    # Step 1: the balance.
    before = (await tally("billing", "subscription", "get")).answer["subscription"]
    remaining = before["subscriptionAvailableCreditsCount"] - before["subscriptionCreditsUsedCount"]
    assert remaining == 75
    # Step 2: one record, and what it cost.
    async with bench.running():
        record = '{"name": "Ann"}'
        made = await tally("orchestration", "run", "create", "--workflow-uuid", workflow, "--data", record)
        assert made.status == 0, made.stdout
        uuid = made.answer["run"]["uuid"]
        while (run := (await tally("orchestration", "run", "get", uuid)).answer["run"])["status"] in (
            "pending",
            "running",
        ):
            pass
    assert run["status"] == "success"
    days = ("--from", today(), "--to", today())
    metrics = await tally("billing", "usage", "get-metrics", *days, "--workflow-uuid", workflow)
    per_record = Decimal(str(metrics.answer["totalUsage"]))
    assert per_record == Decimal(str(run["creditsUsedCount"])) > 0
    # Step 3: so much for all, compared with what is left.
    one_command = await tally("billing", "estimate", "--workflow-uuid", workflow, "--records", "50")
    projection = one_command.answer["projection"]
    assert projection["credits"]["mean"] == per_record * 50
    assert projection["credits"]["available"] == remaining - per_record
    assert (one_command.status, projection["sufficient"]) == (0, True)
    # Step 4: a batch, watched.
    async with bench.running():
        data = json.dumps([{"name": "Ann"}] * 3)
        batch = await tally("orchestration", "batch", "create", "--workflow-uuid", workflow, "--data", data)
        watched = await tally("billing", "estimate", "--monitor", batch.answer["batch"]["uuid"])
    assert (watched.status, watched.answer["batch"]["executedRunsCount"]) == (0, 3)
    assert watched.answer["batch"]["creditsUsedCount"] == per_record * 3
    since = (SystemClock().now() - dt.timedelta(days=7)).date().isoformat()
    running = ("billing", "usage", "get-metrics", "--from", since, "--to", today(), "--workflow-uuid", workflow)
    assert Decimal(str((await tally(*running)).answer["totalUsage"])) == per_record * 4


async def test_samples_are_run_first_and_too_little_money_is_exit_3(tally: Shell, bench: Bench) -> None:
    workflow = str(await bench.workflow(*nodes()))
    names = ["A", "A much longer name than the others have", "B"]
    (tally.folder / "rows.jsonl").write_text("".join(json.dumps({"name": name}) + "\n" for name in names))
    ask = ("billing", "estimate", "--workflow-uuid", workflow, "--records", "9000", "--sample-data", "rows.jsonl")
    async with bench.running():
        done = await tally(*ask, "--samples", "3")
    assert (done.status, done.answer["samples"], len(done.answer["sampleRuns"])) == (3, 3, 3), done.stdout
    costs = sorted(run["creditsUsedCount"] for run in (await tally("orchestration", "run", "list")).answer["runs"])
    spread = done.answer["credits"]
    assert (spread["p50"], spread["p90"], spread["max"]) == (costs[1], costs[2], costs[2])
    assert costs[0] < costs[2]
    projection = done.answer["projection"]
    assert (projection["credits"]["p90"], projection["sufficient"]) == (costs[2] * 9000, False)
    assert done.stderr == ""
    cheap = await tally(*ask[:4], "--records", "1", "--by", "p90")
    assert (cheap.status, cheap.answer["samples"]) == (0, 3)


async def test_a_play_is_sampled_as_a_batch(tally: Shell, bench: Bench) -> None:
    workflow = str(await bench.workflow(*nodes(), kind="play"))
    (tally.folder / "rows.json").write_text('[{"name": "A"}, {"name": "B"}, {"name": "C"}]')
    ask = ("billing", "estimate", "--workflow-uuid", workflow, "--records", "2", "--sample-data", "rows.json")
    async with bench.running():
        done = await tally(*ask, "--samples", "2")
    assert (done.status, done.answer["samples"], len(done.answer["sampleRuns"])) == (0, 2, 2), done.stdout


async def test_without_past_runs_there_is_nothing_to_project(tally: Shell, bench: Bench) -> None:
    workflow = str(await bench.workflow(*nodes()))
    done = await tally("billing", "estimate", "--workflow-uuid", workflow, "--records", "5")
    assert (done.status, done.answer["reason"]) == (1, "noSamples")


@pytest.mark.parametrize(
    "arguments",
    [
        ("estimate",),
        ("estimate", "--records", "5"),
        ("estimate", "--workflow-uuid", "x", "--records", "0"),
        ("estimate", "--workflow-uuid", "x", "--records", "5", "--by", "median"),
        ("estimate", "--agent-uuid", "x", "--records", "5", "--sample-data", "rows.json"),
        ("estimate", "--workflow-uuid", "x", "--records", "5", "--sample-data", "text.txt"),
        ("simulate", "--max-steps", "1"),
        ("simulate", "--run-uuid", "a", "--batch-uuid", "b"),
        ("simulate", "--run-uuid", "a", "--max-steps", "-1"),
    ],
    ids=" ".join,
)
async def test_wrong_usage_exits_2(tally: Shell, arguments: tuple[str, ...]) -> None:
    (tally.folder / "text.txt").write_text("hello")
    done = await tally("billing", *arguments)
    assert (done.status, done.answer["reason"]) == (2, "usage"), done.stdout


async def test_a_receipt_is_json_or_a_tree_and_a_simulation_json_or_a_table(tally: Shell, bench: Bench) -> None:
    run = await bench.run(*nodes(), data={"name": "Ann"})
    uuid = str(run.uuid)
    receipt = (await tally("orchestration", "run", "receipt", "--run-uuid", uuid)).answer["receipt"]
    assert receipt["totals"]["credits"] == Decimal(run.credits_used_count.nano) / 10**9
    tree = (await tally("orchestration", "run", "receipt", "--run-uuid", uuid, "--format", "table")).stdout
    total = f"{receipt['totals']['credits']:f}".rstrip("0")
    assert f"receipt of run {uuid}: {total} credits" in tree
    llm = next(line for line in receipt["lines"] if line["category"] == "llm")
    [tokens, answer] = llm["items"][0]["counters"]
    assert f"├── inputTokens: {tokens['count']} × 200 / 1,000,000 = {tokens['credits']}" in tree
    assert f"outputTokens: {answer['count']} × 400 / 1,000,000 = {answer['credits']}" in tree
    assert "orchestration.execution from the beginning" in tree
    assert "tool_calls: 0 credits" in tree
    assert "└── 1 × 0.01 = 0.01" in tree
    assert "node keep: 0.011 credits" in tree
    missing = await tally("orchestration", "run", "receipt", "--run-uuid", "nobody's")
    assert (missing.status, missing.answer["reason"]) == (1, "runNotFound")
    workspace = ("--workspace-uuid", str(bench.shop.uuid))
    refund = ("orchestration", "run", "refund", "--run-uuid", uuid, "--reason", "a test", *workspace)
    assert (await tally(*refund)).answer == {"errorMessage": "forbidden"}
    levers = ("billing", "simulate", "--run-uuid", uuid, "--language-model", "tally-large")
    dearer = (await tally(*levers)).answer["simulation"]
    assert dearer["saved"]["credits"] == -9 * llm["credits"]
    table = (await tally(*levers, "--format", "table")).stdout
    assert table.split("\n")[-3].split()[:2] == ["all", "credits"]
    token = ("--token", tally.house.operator_token)
    assert (await tally(*refund, *token)).answer["refund"]["credits"] == receipt["totals"]["credits"]
    assert (await tally("billing", "subscription", "get")).answer["subscription"]["subscriptionCreditsUsedCount"] == 0
