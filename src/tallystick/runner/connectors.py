"""Calls to the outside: a request over HTTP, or a tool of an MCP server (with the package's extra `mcp`)."""

from typing import Any, Final

import httpx2
import msgspec

from tallystick.runner.expressions import plain
from tallystick.runner.failures import NodeError

LARGEST: Final = 4_194_304
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429})


class HttpConfig(msgspec.Struct, rename="camel", kw_only=True):
    """`body` is sent as JSON, or as it is where it is text."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    query: dict[str, Any] = msgspec.field(default_factory=dict)
    body: Any = None


class McpConfig(msgspec.Struct, rename="camel", kw_only=True):
    """A tool of the MCP server at `mcpUrl` (streamable HTTP)."""

    mcp_url: str
    tool: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)


async def request(client: httpx2.AsyncClient, config: HttpConfig) -> dict[str, Any]:
    """`{"status", "body"}` of an answer below 400.

    Raises `NodeError`: `connectorUnreachable`, `connectorError` with what was answered, `answerTooLarge`.
    """
    content = None
    headers = httpx2.Headers(config.headers)
    if config.body is not None:
        content = config.body.encode() if isinstance(config.body, str) else msgspec.json.encode(config.body)
        headers.setdefault("content-type", "text/plain" if isinstance(config.body, str) else "application/json")
    try:
        async with client.stream(
            config.method.upper(), config.url, content=content, headers=headers, params=config.query or None
        ) as response:
            output = {"status": response.status_code, "body": await _body(response)}
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        # Nothing was sent, so nothing was used.
        raise _unreachable(config.url, error) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _unreachable(config.url, error, is_sent=not isinstance(error, httpx2.InvalidURL)) from error
    status = output["status"]
    if status >= 400:
        again = status in _WORTH_ANOTHER_TRY or status >= 500
        raise CallError("connectorError", f"{_shown(config.url)} answered {status}.", again=again, output=output)
    return output


class CallError(NodeError):
    """The other side was reached and did not do what was asked: the call counts."""


def _unreachable(url: str, error: Exception, *, is_sent: bool = False) -> NodeError:
    kind = CallError if is_sent else NodeError
    cause = str(error) or type(error).__name__
    return kind("connectorUnreachable", f"{_shown(url)} can't be reached: {cause}.", again=True)


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    return url.partition("?")[0].rpartition("@")[2]


async def _body(response: httpx2.Response) -> Any:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > LARGEST:
            raise CallError("answerTooLarge", f"{response.url} answered with more than {LARGEST} bytes.")
        parts.append(part)
    content = b"".join(parts)
    if "json" in response.headers.get("content-type", ""):
        try:
            return plain(msgspec.json.decode(content)) if content else None
        except msgspec.MsgspecError:
            pass
    return plain(content.decode(errors="replace"))


async def call_tool(transport: httpx2.AsyncBaseTransport, config: McpConfig, seconds: float) -> dict[str, Any]:
    """`{"content": [text, …], "structured": …}` of a tool's answer. The transport is closed.

    Raises `NodeError`: `mcpMissing` without the package, `connectorUnreachable`, `connectorError`.
    """
    try:
        from mcp import Client, MCPError
        from mcp.client.streamable_http import streamable_http_client
    except ImportError as error:
        raise NodeError("mcpMissing", "MCP tools need the extra `mcp`: pip install 'tallystick[mcp]'.") from error
    where = f"{_shown(config.mcp_url)}, {config.tool}"
    try:
        async with (
            httpx2.AsyncClient(transport=transport, headers=config.headers, timeout=seconds) as http,
            Client(streamable_http_client(config.mcp_url, http_client=http)) as server,
        ):
            answer = await server.call_tool(config.tool, config.arguments, read_timeout_seconds=seconds)
    except MCPError as error:
        raise CallError("connectorError", f"{where}: {error}.") from error
    except (httpx2.HTTPError, OSError) as error:
        raise _unreachable(config.mcp_url, error) from error
    except ExceptionGroup as group:
        raise _first_of(group, config) from group
    output = {
        "content": [text for block in answer.content if (text := getattr(block, "text", None)) is not None],
        "structured": plain(answer.structured_content),
    }
    if answer.is_error:
        told = " ".join(output["content"])[:500]
        raise CallError("connectorError", f"{where}: {told}", output=output)
    return output


def _first_of(group: BaseException, config: McpConfig) -> NodeError:
    """Task groups of the library wrap what went wrong in them."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    if isinstance(group, NodeError):
        return group
    if isinstance(group, Exception):
        return _unreachable(config.mcp_url, group)
    raise group
