"""The README and the guide to metering are true: their commands are run as they stand, against the demo."""

import json
from decimal import Decimal
from pathlib import Path

from tests.docs.blocks import Block, Reader, blocks

ROOT = Path(__file__).parent.parent.parent


def follow(reader: Reader, page: list[Block]) -> list[tuple[Block, str]]:
    """Run every command of a page; what it says is answered must be answered. The commands, and what each printed."""
    printed: list[tuple[Block, str]] = []
    for block in page:
        if block.kind in ("sh", "python"):
            printed.append((block, reader.run(block)))
        elif block.kind == "json":
            assert json.loads(printed[-1][1]) == json.loads(block.text), printed[-1][0].text
    return printed


def test_the_commands_of_the_readme_do_what_it_says(reader: Reader) -> None:
    first, *rest = blocks(ROOT / "README.md")
    assert first == Block("sh", "git clone … tallystick && cd tallystick && make demo\n")
    printed = follow(reader, rest)

    def output_of(command: str) -> str:
        return next(output for block, output in printed if command in block.text)

    metrics = output_of("tally billing usage get-metrics")
    assert "integration.anthropic.chat" in metrics
    word, total = metrics.rstrip().splitlines()[-1].split()
    assert word == "total"
    assert Decimal(total) > 0
    assert json.loads(output_of("tally whoami"))["workspace"]["name"] == "Lumen & Oak"

    seen = [line.split() for line in output_of("tally orchestration play list").splitlines()]
    assert any(words[:1] == ["my-first-play"] for words in seen)
    assert [words[-1] for words in seen if words[2:3] == ["my-first-play"]] == ["0.65"]
    assert "web-search" in reader.run(Block("sh", "tally orchestration tool list --format table\n"))
    assert output_of("tally verify")


def test_the_commands_of_the_guide_to_metering_do_what_it_says(reader: Reader) -> None:
    follow(reader, blocks(ROOT / "docs" / "guides" / "meter-your-platform.md"))
    tools = reader.run(Block("sh", "tally orchestration tool list --format table\n"))
    assert "web-search" in tools
    plays = reader.run(Block("sh", "tally orchestration play list --format table\n"))
    assert "enrich-leads" in plays
