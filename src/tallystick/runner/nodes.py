"""What each kind of node does, and what it tells the meter. One `Attempt` is one try at one node."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import httpx2
import msgspec

from tallystick.client.events import ON_THE_WIRE
from tallystick.kernel.addresses import Allowed
from tallystick.kernel.credits import parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.runner import connectors
from tallystick.runner.addresses import GuardedTransport
from tallystick.runner.agents import Conversation
from tallystick.runner.connectors import CallError, HttpConfig, McpConfig
from tallystick.runner.expressions import Scope, evaluate, filled, is_true, plain
from tallystick.runner.failures import NodeError, Usage
from tallystick.runner.graph import BRANCH, Finished
from tallystick.runner.language_models import Answer, Endpoint, LanguageModels, Prompt
from tallystick.runner.metering import Meter, Spot, Worth
from tallystick.wire.orchestration import Node

T = TypeVar("T")

FILTER: Final = "filter"
CHAT: Final = "chat"
PROVIDER: Final = "openai"
ONE_TOOL_RUN: Final = 1_000_000_000
_DEFAULT_STEPS: Final = 10
_WAIT_MAX: Final = 3_600


class ChatConfig(msgspec.Struct, rename="camel", kw_only=True):
    """What a language model is asked: `messages` as the protocol has them, or `system` and `prompt`.

    `options` go into the request as they are. `baseUrl` and `apiKey` name an endpoint of the workspace's own; without
    them it is the operator's.
    """

    model: str
    prompt: str | None = None
    system: str | None = None
    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    temperature: float | None = None
    max_tokens: int | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    stream: bool = False
    base_url: str | None = None
    api_key: str | None = None

    def conversation(self) -> list[Mapping[str, Any]]:
        """The messages to begin with."""
        spoken = [("system", self.system), ("user", self.prompt)]
        return [{"role": role, "content": text} for role, text in spoken if text is not None] + list(self.messages)


class AgentConfig(ChatConfig, rename="camel", kw_only=True):
    """A language model with tools. `agent` is the key that its usage is reported under, else the node's slug."""

    agent: str | None = None
    max_steps: int = _DEFAULT_STEPS
    tools: list[dict[str, Any]] = msgspec.field(default_factory=list)


class AgentTool(msgspec.Struct, rename="camel", kw_only=True):
    """A tool of an agent: a node's kind and config, and how the model is told of it. Its config sees `arguments`."""

    slug: str
    kind: str = "connector"
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})
    action_slug: str | None = None
    integration_slug: str | None = None
    connector_uuid: str | None = None
    config: dict[str, Any] = msgspec.field(default_factory=dict)

    def offer(self) -> dict[str, Any]:
        told = {"name": self.slug, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": told}


class InsertConfig(msgspec.Struct, rename="camel", kw_only=True):
    """Records for a data table; they are kept with the run."""

    table: str
    records: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Limits:
    """`hold_credits` nano-credits are set aside for a model call of which nothing is known; `seconds` bound a call."""

    hold_credits: int
    seconds: int
    model_base_url: str | None
    model_api_key: str | None
    allowed: Allowed


@dataclass(frozen=True, slots=True)
class Outside:
    """The ways out of the process, shared by all runs."""

    limits: Limits
    models: LanguageModels
    guarded: httpx2.AsyncClient


@dataclass(slots=True)
class Attempt:
    """`calls` counts those that were made and are not made again: an agent's, whose conversation outlives an attempt.

    `usages` are booked with the execution, nothing is set aside for them.
    """

    node: Node
    number: int
    scope: Scope
    meter: Meter
    outside: Outside
    max_steps: int | None
    check: Callable[[], None]
    conversation: Conversation | None = None
    config: dict[str, Any] | None = None
    agent: str | None = None
    usages: list[Usage] = field(default_factory=list)
    calls: int = 0

    def again(self) -> "Attempt":
        """The next attempt: an agent goes on with its conversation, and what is to be booked stays so."""
        return replace(self, number=self.number + 1, config=None)

    async def run(self) -> Finished:
        """Do what the node says. Raises `NodeError`, `RunRefusedError` and `RunCancelledError`."""
        node = self.node
        if node.kind == "agent":
            return Finished("success", await self._agent())
        if node.kind == "native" and node.action_slug == FILTER:
            passed = is_true(_expression(node.config), self.scope)
            return Finished("success" if passed else "skipped", {"passed": passed})
        if node.kind == "native" and node.action_slug == BRANCH:
            return Finished("success", {"child": _child(evaluate(_expression(node.config), self.scope))})
        self.config = filled(plain(node.config), self.scope)
        tool = AgentTool(
            slug=node.slug,
            kind=node.kind,
            action_slug=node.action_slug,
            integration_slug=node.integration_slug,
            connector_uuid=str(node.connector_uuid) if node.connector_uuid else None,
        )
        return Finished("success", await self._do(tool, self.config))

    async def _do(self, tool: AgentTool, config: dict[str, Any]) -> Any:
        if tool.kind == "native":
            return await self._native(tool.action_slug or "", config)
        if tool.action_slug == CHAT:
            chat = _read(config, ChatConfig)
            answer = await self._ask(tool, chat, config, chat.conversation())
            counted = {ON_THE_WIRE[name]: count for name, count in answer.tokens.items()}
            return {"text": answer.text, "finishReason": answer.finish, "usage": counted}
        return await self._call(tool, config)

    async def _native(self, action: str, config: dict[str, Any]) -> Any:
        if action == "set":
            return config.get("values", {})
        if action == "wait":
            seconds = config.get("seconds")
            if not isinstance(seconds, int | float) or not 0 <= seconds <= _WAIT_MAX:
                raise _bad_config(f"seconds must lie between 0 and {_WAIT_MAX}")
            await asyncio.sleep(seconds)
            return {"seconds": seconds}
        if action == "insert":
            insert = _read(config, InsertConfig)
            if insert.records:
                self.usages.append(Usage("storage.records", {"table": insert.table, "quantity": len(insert.records)}))
            return {"table": insert.table, "records": insert.records}
        raise _bad_config(f"there is no native action {action!r}")

    async def _call(self, tool: AgentTool, config: dict[str, Any]) -> Any:
        names: dict[str, Any] = {
            "integration": tool.integration_slug,
            "action": tool.action_slug,
            "connector": tool.connector_uuid,
        }
        if tool.kind == "tool":
            names["tool"] = str(config.get("tool") or tool.slug)
        seconds = self.outside.limits.seconds

        async def work() -> tuple[Any, Usage]:
            try:
                async with asyncio.timeout(seconds):
                    output = await self._send(config, seconds)
            except CallError as failure:
                failure.usage = Usage("tool.call", {**names, "status": "error"})
                raise
            except TimeoutError:
                used = Usage("tool.call", {**names, "status": "error"})
                raise NodeError("timeout", f"No answer within {seconds} seconds.", again=True, usage=used) from None
            return output, Usage("tool.call", {**names, "status": "success"})

        return await self._paid(Worth(_estimate(config), 0, ONE_TOOL_RUN), work)

    async def _send(self, config: dict[str, Any], seconds: int) -> Any:
        if "mcpUrl" in config:
            transport = GuardedTransport(self.outside.limits.allowed)
            return await connectors.call_tool(transport, _read(config, McpConfig), seconds)
        return await connectors.request(self.outside.guarded, _read(config, HttpConfig))

    async def _agent(self) -> Any:
        written = plain(self.node.config)
        # A tool's config is filled when it is called, since it reads the arguments.
        tools = [_read(one, AgentTool) for one in written.pop("tools", None) or []]
        self.config = filled(written, self.scope)
        config = _read(self.config, AgentConfig)
        self.agent = config.agent or self.node.slug
        if self.conversation is None:
            most = config.max_steps if self.max_steps is None else min(config.max_steps, self.max_steps)
            self.conversation = Conversation(config.conversation(), max(most, 0))
        by_name = {tool.slug: tool for tool in tools}
        offers = [tool.offer() for tool in tools]
        model = AgentTool(slug=self.node.slug, integration_slug=self.node.integration_slug)

        async def ask(messages: Any, may_call: bool) -> Answer:
            return await self._ask(model, config, self.config or {}, messages, offers, may_call)

        async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
            tool = by_name.get(name)
            if tool is None:
                raise NodeError("toolNotFound", f"There is no tool {name}.")
            before = self.calls
            try:
                return await self._do(tool, filled(tool.config, {**self.scope, "arguments": arguments}))
            finally:
                self.calls = before + 1

        text = await self.conversation.answer(ask, call_tool)
        return {"text": text, "steps": self.conversation.steps}

    async def _ask(
        self,
        tool: AgentTool,
        chat: ChatConfig,
        config: dict[str, Any],
        messages: Any,
        offers: Any = (),
        may_call: bool = True,
    ) -> Answer:
        limits = self.outside.limits
        if chat.base_url is not None:
            endpoint = Endpoint(chat.base_url, chat.api_key, is_ours=False)
        elif limits.model_base_url is not None:
            endpoint = Endpoint(limits.model_base_url, limits.model_api_key, is_ours=True)
        else:
            raise _bad_config("there is no language model: set baseUrl, or TALLY_MODEL_BASE_URL for all")
        prompt = Prompt(
            model=chat.model,
            messages=list(messages),
            tools=offers,
            may_call=may_call,
            temperature=chat.temperature,
            max_tokens=chat.max_tokens,
            options=chat.options,
            stream=chat.stream,
        )
        provider = tool.integration_slug or PROVIDER

        async def work() -> tuple[Answer, Usage]:
            try:
                async with asyncio.timeout(limits.seconds):
                    answer = await self.outside.models.ask(endpoint, prompt)
            except TimeoutError:
                raise NodeError("timeout", f"No answer within {limits.seconds} seconds.", again=True) from None
            names = {"model": chat.model, "integration": provider, "connector": tool.connector_uuid}
            return answer, Usage("llm.tokens", {**names, **answer.tokens, "status": "success"})

        return await self._paid(Worth(_estimate(config), limits.hold_credits), work)

    async def _paid(self, worth: Worth, work: Callable[[], Awaitable[tuple[T, Usage]]]) -> T:
        self.check()
        ordinal = self.number if self.conversation is None else self.calls + 1
        spot = Spot(self.node.uuid, self.number, ordinal, self.agent)
        result = await self.meter.paid(spot, worth, self.outside.limits.seconds, work)
        self.calls += 1
        return result


def _child(value: Any) -> int:
    """Which child a branch goes on to: true is the first, false the second."""
    if isinstance(value, bool):
        return 0 if value else 1
    if isinstance(value, int) and value >= 0:
        return value
    raise _bad_config("a branch's expression must be true, false or the place of a child, from 0")


def _expression(config: Mapping[str, Any]) -> str:
    expression = config.get("expression")
    if not isinstance(expression, str):
        raise _bad_config("expression is missing")
    return expression


def _estimate(config: Mapping[str, Any]) -> int | None:
    """`estimate`, in credits, of a node whose author knows what it costs."""
    given = config.get("estimate")
    if given is None:
        return None
    try:
        return parse_credits(str(given))
    except TallystickError as error:
        raise _bad_config(f"estimate: {error.message}") from None


def _read(config: Any, shape: type[T]) -> T:
    try:
        return msgspec.convert(config, shape)
    except msgspec.ValidationError as error:
        raise _bad_config(str(error)) from None


def _bad_config(why: str) -> NodeError:
    return NodeError("invalidConfig", f"The node's config is not as it should be: {why}.")
