"""The guide to workflows is true: its commands are run as they stand, against the demo and its language model."""

import json
from decimal import Decimal
from pathlib import Path

from tests.docs.blocks import Block, Reader, blocks

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "run-a-workflow.md"


def test_the_commands_of_the_guide_to_workflows_do_what_it_says(reader: Reader) -> None:
    printed = [reader.run(block) for block in blocks(GUIDE) if block.kind == "sh"]
    receipt, batch = printed[-2], json.loads(printed[-1])["batch"]
    assert "llm" in receipt
    assert "storage" in receipt
    run = json.loads(reader.run(Block("sh", "tally orchestration run get $RUN\n")), parse_float=Decimal)
    assert [one["nodeSlug"] for one in run["run"]["executions"]] == ["big-enough", "write", "keep"]
    usage = run["runContext"]["write"]["usage"]
    spoken = Decimal(usage["inputTokens"]) / 1000 + Decimal(usage["outputTokens"]) * 4 / 1000
    assert run["run"]["creditsUsedCount"] == spoken + Decimal("0.031")
    assert (batch["status"], batch["executedRunsCount"], batch["failedRunsCount"]) == ("success", 3, 0)
