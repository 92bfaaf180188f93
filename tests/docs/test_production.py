"""The guide to production is true: its commands are run as they stand, on a database of their own."""

import json
from pathlib import Path

from tests.docs.blocks import Reader, blocks
from tests.serving import environment, serving

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "production.md"


def test_the_commands_of_the_guide_to_production_work_in_their_order(empty_database: str, tmp_path: Path) -> None:
    with serving(empty_database, tmp_path / "server") as house:
        reader = Reader(tmp_path, house.base_url, **_given(tmp_path, empty_database))
        printed = "".join(reader.run(block) for block in blocks(GUIDE) if block.kind == "sh")
        reader.close()
    assert '"ready":true' in printed
    assert "tally_requests_total" in printed
    assert '"adminToken": "tally_' in printed
    assert '"events:write"' in printed
    assert json.loads(printed[printed.rindex("\n{\n") :])["differences"] == []
    assert (tmp_path / "tally.backup").stat().st_size > 0


def _given(folder: Path, url: str) -> dict[str, str]:
    return {name: value for name, value in environment(folder, url).items() if name.startswith(("TALLY_", "XDG_"))}
