"""Language models behind any endpoint that speaks the OpenAI chat-completions protocol, streaming or not.

Tokens are what the endpoint says was used; an answer without counts can't be charged and is a failure.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import msgspec

from tallystick.runner.failures import NodeError

DONE: Final = "[DONE]"
_WORTH_ANOTHER_TRY: Final = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`is_ours` is the operator's own, which may be anywhere; one from a node's config is held to public addresses."""

    base_url: str
    key: str | None
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. `may_call` False offers the tools only as history."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    may_call: bool = True
    temperature: float | None = None
    max_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False

    def body(self) -> bytes:
        request: dict[str, Any] = {**self.options, "model": self.model, "messages": list(self.messages)}
        if self.tools:
            request |= {"tools": list(self.tools), "tool_choice": "auto" if self.may_call else "none"}
        if self.temperature is not None:
            request["temperature"] = self.temperature
        if self.max_tokens is not None:
            request["max_completion_tokens"] = self.max_tokens
        if self.stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        return msgspec.json.encode(request)


@dataclass(slots=True)
class Called:
    """A tool that the model wants called; `arguments` is JSON as the model wrote it."""

    id: str
    name: str
    arguments: str

    def message(self) -> dict[str, Any]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None

    def counters(self) -> dict[str, int]:
        """By the names of `client.events.UsageData`; zeros are left out but for input and output."""
        read, wrote = self.prompt_tokens_details or _InputDetails(), self.completion_tokens_details or _OutputDetails()
        parts = {
            "cached_input_tokens": read.cached_tokens,
            "cache_write_tokens": read.cache_write_tokens,
            "audio_input_tokens": read.audio_tokens,
            "reasoning_tokens": wrote.reasoning_tokens,
            "audio_output_tokens": wrote.audio_tokens,
        }
        counted = {name: count for name, count in parts.items() if count}
        return {"input_tokens": self.prompt_tokens, "output_tokens": self.completion_tokens, **counted}


@dataclass(frozen=True, slots=True)
class Answer:
    """`tokens` are counters by the names of `client.events.UsageData`."""

    text: str
    calls: Sequence[Called]
    tokens: Mapping[str, int]
    finish: str | None

    def message(self) -> dict[str, Any]:
        made: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.calls:
            made["tool_calls"] = [call.message() for call in self.calls]
        return made


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Said(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    """A whole answer, or one piece of a streamed one."""

    choices: list[_Choice] = msgspec.field(default_factory=list)
    usage: _Usage | None = None


_completions: Final = msgspec.json.Decoder(_Completion)


@dataclass(slots=True)
class _Gathered:
    """An answer as its pieces come in."""

    text: list[str] = field(default_factory=list)
    calls: dict[int, Called] = field(default_factory=dict)
    usage: _Usage | None = None
    finish: str | None = None

    def add(self, piece: _Completion) -> None:
        self.usage = piece.usage or self.usage
        for choice in piece.choices[:1]:
            self.finish = choice.finish_reason or self.finish
            said = choice.delta or choice.message or _Said()
            self.text.append(said.content or "")
            for place, part in enumerate(said.tool_calls or []):
                index = part.index if choice.delta is not None else place
                call = self.calls.setdefault(index, Called("", "", ""))
                call.id += part.id or ""
                call.name += part.function.name or ""
                call.arguments += part.function.arguments or ""

    def answer(self, prompt: Prompt) -> Answer:
        if self.usage is None:
            raise NodeError("usageMissing", f"The endpoint of {prompt.model} did not say how many tokens were used.")
        calls = [self.calls[index] for index in sorted(self.calls)]
        return Answer("".join(self.text), calls, self.usage.counters(), self.finish)


class LanguageModels:
    """`ours` reaches the operator's endpoint, `guarded` those that a node's config names."""

    def __init__(self, ours: httpx2.AsyncClient, guarded: httpx2.AsyncClient) -> None:
        self._clients = {True: ours, False: guarded}

    async def ask(self, endpoint: Endpoint, prompt: Prompt) -> Answer:
        """The model's answer. Raises `NodeError`: `modelUnreachable`, `modelError`, `usageMissing`."""
        gathered = _Gathered()
        try:
            async with self._sent(endpoint, prompt) as response:
                if prompt.stream:
                    async for line in response.aiter_lines():
                        if line.startswith("data:") and (data := line[5:].strip()) != DONE:
                            gathered.add(_completions.decode(data))
                else:
                    gathered.add(_completions.decode(await response.aread()))
        except httpx2.HTTPError as error:
            cause = str(error) or type(error).__name__
            raise NodeError("modelUnreachable", f"{prompt.model} can't be reached: {cause}.", again=True) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NodeError(
                "modelError", f"{prompt.model} answered in an unknown form: {error}.", again=True
            ) from error
        return gathered.answer(prompt)

    @asynccontextmanager
    async def _sent(self, endpoint: Endpoint, prompt: Prompt) -> AsyncIterator[httpx2.Response]:
        headers = {"content-type": "application/json"}
        if endpoint.key:
            headers["authorization"] = f"Bearer {endpoint.key}"
        url = f"{endpoint.base_url.rstrip('/')}/chat/completions"
        client = self._clients[endpoint.is_ours]
        async with client.stream("POST", url, content=prompt.body(), headers=headers) as response:
            status = response.status_code
            if not response.is_success:
                again = status in _WORTH_ANOTHER_TRY or status >= 500
                said = (await response.aread())[:500].decode(errors="replace")
                raise NodeError("modelError", f"{prompt.model} answered {status}: {said}", again=again)
            yield response
