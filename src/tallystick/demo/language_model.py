"""A language model for the demo and for tests: speaks the OpenAI chat-completions protocol, thinks nothing, counts all.

The same messages get the same answer. Tokens are counted by one rule from the text that really went over the wire:
words cut into pieces of at most four characters, and each sign that is neither letter, digit nor space, are one token
each; every message adds three and the answer's beginning three. A caller tells it what to do inside a message:

    [[call search {"query": "tea"}]]   call this tool; several are called one after the other
    [[steps 5]]                        call the tools that are offered, in turn, five times before answering
    [[say Yes.]]                       answer with this text
    [[fail 503]]                       answer with this status; `[[fail 503 first 2]]` only the first two times
    [[cached 1000]]                    say that so many of the prompt's tokens were read from a cache, at most all

`GET /calls` is the log: what was counted for each call, for whoever adds up for himself.
`python -m tallystick.demo.language_model --port 8790` serves it on the loopback address.
"""

import argparse
import asyncio
import contextlib
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Final

import msgspec
import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MODELS: Final = {"tally-small": (12, 0), "tally-large": (90, 0), "tally-thinker": (40, 60)}
"""How many words a model says, and how many it thinks before; thinking is counted as output, and as reasoning."""

_WORDS: Final = (
    *("the", "ledger", "keeps", "every", "entry", "and", "nobody", "has", "to", "trust", "a", "sum", "that", "can"),
    *("be", "added", "up", "again", "so", "we", "count", "first", "and", "answer", "later", "while", "tea", "cools"),
)
_PIECE: Final = re.compile(r"\w{1,4}|[^\w\s]")
_ORDER: Final = re.compile(r"\[\[(call|steps|say|fail|cached) (.*?)\]\]", re.DOTALL)
_STARTED: Final = 1_700_000_000


def count_tokens(text: str) -> int:
    """Tokens of a text by the rule above."""
    return len(_PIECE.findall(text))


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One request as it was counted; `status` is the answer's."""

    model: str
    status: int
    stream: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    tool_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the model says; `call` is the name and arguments of the one tool that it wants called."""

    text: str
    call: tuple[str, str] | None
    thought: int
    finish: str

    @property
    def tokens(self) -> int:
        called = sum(count_tokens(part) for part in self.call) if self.call else 0
        return count_tokens(self.text) + called + self.thought


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class LanguageModel:
    """The endpoint as an ASGI application; `calls` is its log, oldest first."""

    calls: list[LoggedCall] = field(default_factory=list)
    _seen: Counter[bytes] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix("/v1")
        if path == "/models":
            listed = [{"id": name, "object": "model", "created": _STARTED, "owned_by": "tallystick"} for name in MODELS]
            await _reply(send, 200, {"object": "list", "data": listed})
        elif path == "/calls":
            await _reply(send, 200, {"calls": [asdict(call) for call in self.calls]})
        elif path == "/chat/completions" and scope["method"] == "POST":
            await self._complete(await _body(receive), send)
        else:
            await _reply(send, 404, _error("Unknown path.", "not_found"))

    async def _complete(self, body: bytes, send: Send) -> None:
        model = ""
        try:
            request = _read(body)
            model = request["model"]
            orders = _orders(request["messages"])
            self._fail_if_told(orders, body)
            answer = _answer(request, orders)
        except _RefusedError as refusal:
            self.calls.append(LoggedCall(model, refusal.status))
            await _reply(send, refusal.status, _error(str(refusal), "refused"))
            return
        prompt = _prompt_tokens(request)
        cached = min(next((int(text) for name, text in orders if name == "cached"), 0), prompt)
        stream = bool(request.get("stream"))
        names = (answer.call[0],) if answer.call else ()
        self.calls.append(LoggedCall(model, 200, stream, prompt, answer.tokens, cached, answer.thought, names))
        head = {"id": f"chatcmpl-{len(self.calls)}", "created": _STARTED, "model": model}
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": answer.tokens,
            "total_tokens": prompt + answer.tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": answer.thought},
        }
        if stream:
            wanted = (request.get("stream_options") or {}).get("include_usage")
            await _stream(send, list(_chunks(head, answer, usage if wanted else None)))
        else:
            choice = {"index": 0, "message": _message(answer), "finish_reason": answer.finish, "logprobs": None}
            await _reply(send, 200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def _fail_if_told(self, orders: list[tuple[str, str]], body: bytes) -> None:
        self._seen[key := blake2b(body).digest()] += 1
        for name, text in orders:
            if name == "fail":
                status, _, times = text.partition(" first ")
                if not times or self._seen[key] <= int(times):
                    raise _RefusedError(int(status), "Told to fail.")


def _read(body: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise _RefusedError(400, str(error)) from None
    if request.get("model") not in MODELS:
        raise _RefusedError(404, f"The model {request.get('model')!r} does not exist.")
    if not isinstance(request.get("messages"), list) or not request["messages"]:
        raise _RefusedError(400, "messages must not be empty.")
    return request


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def _orders(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What users and the system tell it to do, in order."""
    told = [_text_of(message) for message in messages if message.get("role") in ("system", "developer", "user")]
    return [(name, text.strip()) for text in told for name, text in _ORDER.findall(text)]


def _answer(request: dict[str, Any], orders: list[tuple[str, str]]) -> _Answer:
    done = sum(message.get("role") == "tool" for message in request["messages"])
    offered = [tool["function"] for tool in request.get("tools") or []]
    if offered and request.get("tool_choice") != "none":
        wanted = _wanted_calls(orders, offered)
        if done < len(wanted):
            return _Answer("", wanted[done], 0, "tool_calls")
    said, thought = MODELS[request["model"]]
    given = next((text for name, text in orders if name == "say"), None)
    text = given if given is not None else _babble(request["messages"], said)
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if limit is not None and thought + count_tokens(text) > limit:
        text = _cut(text, max(limit - thought, 0))
        return _Answer(text, None, min(thought, limit), "length")
    return _Answer(text, None, thought, "stop")


def _wanted_calls(orders: list[tuple[str, str]], offered: list[dict[str, Any]]) -> list[tuple[str, str]]:
    wanted: list[tuple[str, str]] = []
    for name, text in orders:
        if name == "call":
            tool, _, arguments = text.partition(" ")
            wanted.append((tool, arguments.strip() or "{}"))
        elif name == "steps":
            for step in range(int(text)):
                tool_of = offered[step % len(offered)]
                wanted.append((tool_of["name"], _made_up(tool_of.get("parameters") or {}, step + 1)))
    return wanted


def _made_up(schema: dict[str, Any], step: int) -> str:
    """Arguments that fit a tool's schema, other ones at every step."""
    values: dict[str, Any] = {"integer": step, "number": step, "boolean": True, "array": [], "object": {}}
    properties = (schema.get("properties") or {}).items()
    return msgspec.json.encode({name: values.get(one.get("type"), f"step {step}") for name, one in properties}).decode()


def _babble(messages: list[dict[str, Any]], words: int) -> str:
    seed = blake2b(msgspec.json.encode(messages, order="deterministic"), digest_size=8).digest()
    at = int.from_bytes(seed) % len(_WORDS)
    return " ".join(_WORDS[(at + place) % len(_WORDS)] for place in range(words)).capitalize() + "."


def _cut(text: str, tokens: int) -> str:
    pieces = list(_PIECE.finditer(text))
    return text[: pieces[tokens].start()].rstrip() if tokens < len(pieces) else text


def _prompt_tokens(request: dict[str, Any]) -> int:
    tools = request.get("tools")
    total = 3 + (count_tokens(msgspec.json.encode(tools).decode()) if tools else 0)
    for message in request["messages"]:
        total += 3 + count_tokens(_text_of(message))
        for call in message.get("tool_calls") or []:
            total += count_tokens(call["function"]["name"]) + count_tokens(call["function"]["arguments"])
    return total


def _message(answer: _Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text if answer.call is None else None}
    if answer.call is not None:
        message["tool_calls"] = [_tool_call(answer.call)]
    return message


def _tool_call(call: tuple[str, str]) -> dict[str, Any]:
    key = blake2b("\0".join(call).encode(), digest_size=6).hexdigest()
    return {"id": f"call_{key}", "type": "function", "function": {"name": call[0], "arguments": call[1]}}


def _chunks(head: dict[str, Any], answer: _Answer, usage: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The answer in the pieces of a stream: words, or a tool call in two halves; usage, where asked for, comes last."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        extra = {} if usage is None else {"usage": None}
        return {**head, "object": "chat.completion.chunk", "choices": [choice], **extra}

    yield chunk({"role": "assistant", "content": ""})
    if answer.call is not None:
        made = _tool_call(answer.call)
        arguments, half = answer.call[1], len(answer.call[1]) // 2
        made["function"] = {"name": answer.call[0], "arguments": arguments[:half]}
        yield chunk({"tool_calls": [{"index": 0, **made}]})
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments[half:]}}]})
    for piece in re.findall(r"\S+\s*|\s+", answer.text):
        yield chunk({"content": piece})
    yield chunk({}, answer.finish)
    if usage is not None:
        yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _reply(send: Send, status: int, content: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(content)})


async def _stream(send: Send, chunks: list[dict[str, Any]]) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for chunk in chunks:
        data = b"data: " + msgspec.json.encode(chunk) + b"\n\n"
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _config(port: int) -> uvicorn.Config:
    return uvicorn.Config(LanguageModel(), host="127.0.0.1", port=port, log_level="warning", lifespan="off")


class _Guest(uvicorn.Server):
    """A server in a process that has its own way with signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[str]:
    """The base URL of an endpoint on a free port of the loopback address, in this event loop."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Guest(_config(0))
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="language model")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            await asyncio.wait([serving])


def main() -> None:
    reader = argparse.ArgumentParser(description="A language model for the demo and for tests.")
    reader.add_argument("--port", type=int, default=8790)
    uvicorn.Server(_config(reader.parse_args().port)).run()


if __name__ == "__main__":
    main()
