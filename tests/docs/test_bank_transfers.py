"""The guide to bank transfers is true: what it types does what it says."""

import re
from pathlib import Path

from tests.docs.blocks import Reader, blocks
from tests.serving import serving

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "bank-transfers.md"


def test_an_invoice_is_paid_as_the_guide_pays_it(empty_database: str, tmp_path: Path) -> None:
    settings = dict(
        line.split("=", 1) for block in blocks(GUIDE) if block.kind == "ini" for line in block.text.splitlines()
    )
    with serving(empty_database, tmp_path / "server", **settings) as house:
        shop = house.shop()
        # A terminal of the customer's admin, and in it the operator's commands with the operator's token.
        reader = Reader(tmp_path, house.base_url, TALLY_TOKEN=shop.token, TALLY_BASE_URL=house.base_url)
        by_operator = f"TALLY_TOKEN={house.operator_token} tally payment"
        try:
            printed = [
                reader.run(type(block)(block.kind, f"export WORKSPACE={shop.uuid}\n{_as(block.text, by_operator)}"))
                for block in blocks(GUIDE)
                if block.kind == "sh"
            ]
        finally:
            reader.close()
    _, portal, imported, matched, paid, refunded = printed
    assert re.search(rf'"url": "{house.base_url}/pay/[\w-]+\.[\w-]+"', portal)
    assert "names no invoice" in imported and "but the amount is another" in imported
    assert '"note": "matched by hand"' in matched
    assert '"amount": 5000' in paid and "succeeded" in paid
    assert '"status": "succeeded"' in refunded and '"amount": 1000' in refunded


def _as(text: str, command: str) -> str:
    return text.replace("tally payment", command)
