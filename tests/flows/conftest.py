"""What the tests of exactness share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mortal import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "home", tmp_path / "log")
    try:
        server.start()
        yield server
    finally:
        server.stop()
