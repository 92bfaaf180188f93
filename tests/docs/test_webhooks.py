"""The guide to webhooks is true: its receiver verifies what a real server sends it."""

import dataclasses
import re
import socket
from pathlib import Path

from tests.docs.blocks import Reader, blocks
from tests.serving import serving

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "receive-webhooks.md"
PORT = "9000"
"""What the guide listens on; the test takes a free one."""


def test_the_receiver_of_the_guide_takes_what_the_server_sends(empty_database: str, tmp_path: Path) -> None:
    # A database of its own: the worker's clock is the real one.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    settings = {"TALLY_WORKER": "true", "TALLY_WORKER_SECONDS": "1", "TALLY_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1"}
    with serving(empty_database, tmp_path / "server", **settings) as house:
        shop = house.shop()
        reader = Reader(tmp_path, house.base_url, TALLY_TOKEN=shop.token, TALLY_BASE_URL=house.base_url)
        try:
            printed = [
                reader.run(dataclasses.replace(block, text=block.text.replace(PORT, port)))
                for block in blocks(GUIDE)
                if block.kind == "sh"
            ]
        finally:
            reader.run(dataclasses.replace(blocks(GUIDE)[0], text="kill %1 || true"))
            reader.close()
    test, log, rotated, replayed = printed[2:]
    assert f"webhook.test {{'message': 'This is a test.', 'webhookUuid': '{_uuid(test)}'}}" in test
    assert "delivered" in log
    assert '"secret": "whsec_' in rotated
    assert re.search(r'"replayed": [1-9]', replayed)


def _uuid(answer: str) -> str:
    return answer.split('"webhookUuid": "')[1].split('"')[0]
