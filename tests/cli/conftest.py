"""A real server, and commands that run as processes with a configuration folder of their own."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.client.gateway import Gateway
from tests.serving import TALLY, House, Shop, serving


@dataclass(frozen=True)
class Done:
    """A command that ended. `answer` is its stdout, which has to be one JSON object and nothing else."""

    status: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Shell:
    """Runs `tally` for one workspace, whose token it has in TALLY_TOKEN."""

    house: House
    shop: Shop
    folder: Path

    def __call__(self, *arguments: str, input: str | None = None, **environment: str) -> Done:  # noqa: A002
        own = {
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TALLY_HOME": str(self.folder / "home"),
            "TALLY_BASE_URL": self.house.base_url,
            "TALLY_TOKEN": self.shop.token,
        }
        env = {name: value for name, value in (self.house.environment() | own | environment).items() if value != ""}
        done = subprocess.run(
            [*TALLY, *arguments],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            input=input,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def house(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with serving(database_url, tmp_path_factory.mktemp("cli")) as house:
        yield house


@pytest.fixture
def shop(house: House) -> Shop:
    return house.shop()


@pytest.fixture
def tally(house: House, shop: Shop, tmp_path: Path) -> Shell:
    return Shell(house, shop, tmp_path)


@pytest.fixture
def gateway(house: House) -> Iterator[Gateway]:
    gateway = Gateway(house.base_url)
    try:
        yield gateway
    finally:
        gateway.close()
