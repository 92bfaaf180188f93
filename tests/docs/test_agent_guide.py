"""The guide for agents is true: its code is run as it stands, against the demo."""

from tests.docs.blocks import ADDRESS, Block, Reader, blocks
from tests.docs.test_tour import ROOT, follow

HELD = f"""\
import os
from tallystick.client import Client

with Client("{ADDRESS}", os.environ["TOKEN"]) as tally:
    print([balance.held.nano for balance in tally.balances().balances])
"""


def test_the_code_of_the_guide_for_agents_does_what_it_says(reader: Reader) -> None:
    page = blocks(ROOT / "docs" / "guides" / "meter-your-agent.md")
    printed = follow(reader, page)
    assert all(output.strip() for block, output in printed if block.kind == "python")
    plays = reader.run(Block("sh", "tally orchestration play list --format table\n"))
    assert "answer-tickets" in plays
    assert reader.run(Block("python", HELD)).strip() == "[0, 0]"
