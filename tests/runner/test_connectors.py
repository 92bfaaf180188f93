"""What nodes may reach, and tools of an MCP server through the official package, at both ends."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from tallystick.kernel.addresses import Allowed, is_public
from tallystick.kernel.errors import TallystickError
from tallystick.runner.addresses import GuardedTransport
from tallystick.runner.connectors import HttpConfig, request
from tallystick.runner.failures import NodeError
from tests.runner.conftest import NANO, Bench, node
from tests.runner.outside import Web, listening


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::101:101", True),
        ("2002:7f00:1::", False),
        ("2002:a00:1::", False),
    ],
)
def test_only_addresses_of_the_open_internet_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    ("allowed", "permitted"),
    [
        ([], False),
        (["10.0.0.0/8"], True),
        (["10.0.0.9"], True),
        (["crm.internal"], True),
        (["CRM.internal:8443"], True),
        (["crm.internal:8444"], False),
        (["192.168.0.0/16", "::1"], False),
        (["0.0.0.0/0"], True),
    ],
)
def test_the_operator_allows_hosts_ports_and_networks(allowed: list[str], permitted: bool) -> None:
    address = ipaddress.ip_address("10.0.0.9")
    assert Allowed(allowed).permits("crm.internal", 8443, address) is permitted
    assert Allowed(allowed).permits("crm.internal", 8443, ipaddress.ip_address("::ffff:10.0.0.9")) is permitted


def test_an_empty_entry_is_a_mistake() -> None:
    with pytest.raises(TallystickError) as caught:
        Allowed(["10.0.0.1", " "])
    assert caught.value.code == "invalidSetting"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"])
async def test_whatever_name_this_machine_goes_by_it_is_not_reached(web: Web, web_url: str, host: str) -> None:
    port = web_url.rpartition(":")[2]
    async with httpx2.AsyncClient(transport=GuardedTransport(Allowed())) as client:
        with pytest.raises(NodeError) as caught:
            await request(client, HttpConfig(url=f"http://{host}:{port}/echo"))
    assert caught.value.code in ("addressRefused", "connectorUnreachable")
    assert web.requests == []


async def test_the_checked_address_is_the_one_that_is_connected_to(
    web: Web, web_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is somewhere else when it is asked for a second time gains nothing by it."""
    import asyncio

    loop, asked = asyncio.get_running_loop(), []

    async def rebinding(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(2, 1, 6, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", rebinding)
    async with httpx2.AsyncClient(transport=GuardedTransport(Allowed(["127.0.0.1"]))) as client:
        port = web_url.rpartition(":")[2]
        answer = await request(client, HttpConfig(url=f"http://rebinding.example:{port}/echo"))
    assert answer["status"] == 200
    assert asked == ["rebinding.example"]
    assert web.headers[0]["host"] == f"rebinding.example:{port}"


@pytest.fixture(scope="module")
def mcp_url() -> Iterator[str]:
    server = MCPServer("weather")

    @server.tool()
    def forecast(city: str) -> dict[str, str]:
        """The weather of a city."""
        if city == "Atlantis":
            raise ToolError("no such city")
        return {"city": city, "sky": "clear"}

    with listening(server.streamable_http_app(), lifespan="on") as url:
        yield f"{url}/mcp"


def weather(mcp_url: str, city: str) -> dict[str, Any]:
    config = {"mcpUrl": mcp_url, "tool": "forecast", "arguments": {"city": city}}
    return node("sky", "forecast", config, kind="tool", integrationSlug="weather")


async def test_a_tool_of_an_mcp_server_is_called_and_metered(bench: Bench, mcp_url: str) -> None:
    run = await bench.run(weather(mcp_url, "{{ data.city }}"), data={"city": "Oslo"})
    assert run.status == "success"
    assert run.output["structured"] == {"city": "Oslo", "sky": "clear"}
    (call,) = [charge for charge in bench.charges() if charge["type"] == "tool.call"]
    assert call["slug"] == "integration.weather.action.forecast"
    assert (call["tool_runs"], call["data"]["tool"], call["data"]["status"]) == (NANO, "forecast", "success")


async def test_a_tool_that_fails_counts_as_a_call_and_its_words_are_told(bench: Bench, mcp_url: str) -> None:
    run = await bench.run(weather(mcp_url, "Atlantis"))
    assert (run.status, run.reason) == ("error", "connectorError")
    assert "no such city" in (run.error_message or "")
    (call,) = [charge for charge in bench.charges() if charge["type"] == "tool.call"]
    assert call["data"]["status"] == "error"


async def test_an_mcp_server_at_a_private_address_is_not_reached(bench: Bench, mcp_url: str) -> None:
    run = await bench.run(weather(mcp_url, "Oslo"), allowed=Allowed())
    assert (run.status, run.reason) == ("error", "addressRefused")
    assert [charge["type"] for charge in bench.charges()] == ["orchestration.execution"]
