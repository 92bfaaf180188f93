"""The guide to estimates is true: its commands are run as they stand, beside the demo and its language model."""

import json
from pathlib import Path

from tests.docs.blocks import Reader, blocks

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "estimate-a-batch.md"


def test_the_commands_of_the_guide_to_estimates_do_what_it_says(reader: Reader) -> None:
    printed = [(block.text, reader.run(block)) for block in blocks(GUIDE) if block.kind == "sh"]

    def output_of(command: str) -> str:
        return next(output for text, output in printed if command in text)

    few, many = output_of("--records 100000000").split("\n}\n", 1)
    assert json.loads(few + "}")["projection"]["sufficient"] is True
    assert "exit status 3" in many
    sampled = json.loads(output_of("--samples 3"))
    assert sampled["samples"] == len(sampled["sampleRuns"]) == 3
    assert sampled["credits"]["p50"] < sampled["credits"]["p90"]
    watched = json.loads(output_of("--monitor"))["batch"]
    assert (watched["status"], watched["executedRunsCount"]) == ("success", 3)
    assert "outputTokens: " in output_of("run receipt")
    model, early, *_ = output_of("billing simulate").split("\n}\n")
    assert json.loads(model + "}")["simulation"]["saved"]["credits"] > 0
    assert json.loads(early + "}")["simulation"]["dropped"] == 2
