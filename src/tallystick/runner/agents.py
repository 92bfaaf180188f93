"""An agent: a language model that may call tools until it has its answer, or until its steps are used up.

Its conversation outlives a failed attempt: the next one goes on where it broke off, and counts on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tallystick.runner.failures import NodeError
from tallystick.runner.language_models import Answer, Called

NO_STEPS_LEFT: Final = "Not called: there are no steps left. Answer with what you have."

Ask = Callable[[Sequence[Mapping[str, Any]], bool], Awaitable[Answer]]
"""Asks the model, given the messages so far and whether it may call tools."""

CallTool = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Calls a tool by name with its arguments. Raises `NodeError`."""


@dataclass(slots=True)
class Conversation:
    """`steps` counts the tool calls so far; `max_steps` bounds them, the final answer is no step."""

    messages: list[Mapping[str, Any]]
    max_steps: int
    steps: int = 0
    _waiting: list[Called] = field(default_factory=list)

    async def answer(self, ask: Ask, call_tool: CallTool) -> str:
        """The final answer. What `ask` and stopping the run raise goes through; a tool's failure is told the model."""
        while True:
            while self._waiting:
                content = await self._result(self._waiting[0], call_tool)
                self.messages.append({"role": "tool", "tool_call_id": self._waiting[0].id, "content": content})
                del self._waiting[0]
            may_call = self.steps < self.max_steps
            said = await ask(self.messages, may_call)
            if not said.calls or not may_call:
                return said.text
            self.messages.append(said.message())
            self._waiting = list(said.calls)

    async def _result(self, call: Called, call_tool: CallTool) -> str:
        if self.steps >= self.max_steps:
            return NO_STEPS_LEFT
        self.steps += 1
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
            result = await call_tool(call.name, arguments)
        except msgspec.MsgspecError as error:
            return f"The arguments are not as they should be: {error}."
        except NodeError as failure:
            return f"{failure.code}: {failure.message}"
        return result if isinstance(result, str) else msgspec.json.encode(result).decode()
