"""A real server, and in front of it a gateway that loses, delays and refuses requests as a test says."""

from collections.abc import Iterator

import pytest

from tests.client.colours import make_client
from tests.client.gateway import Gateway, Wire
from tests.serving import House, Shop, serving

__all__ = ["gateway", "house", "make_client", "shop", "wire"]


@pytest.fixture(scope="session")
def house(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with serving(database_url, tmp_path_factory.mktemp("client")) as house:
        yield house


@pytest.fixture
def shop(house: House) -> Shop:
    return house.shop()


@pytest.fixture
def gateway(house: House) -> Iterator[Gateway]:
    gateway = Gateway(house.base_url)
    try:
        yield gateway
    finally:
        gateway.close()


@pytest.fixture
def wire(house: House) -> Iterator[Wire]:
    wire = Wire(house.base_url)
    try:
        yield wire
    finally:
        wire.close()
