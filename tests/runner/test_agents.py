"""An agent's conversation by itself: steps are counted whatever the model asks for, also several at once."""

from collections.abc import Sequence
from typing import Any

import pytest

from tallystick.runner.agents import NO_STEPS_LEFT, Conversation
from tallystick.runner.failures import NodeError
from tallystick.runner.language_models import Answer, Called


class Model:
    """Says one thing after the other; remembers whether it might call tools."""

    def __init__(self, *says: Answer | NodeError) -> None:
        self.says = list(says)
        self.might_call: list[bool] = []

    async def __call__(self, messages: Sequence[Any], may_call: bool) -> Answer:
        self.might_call.append(may_call)
        said = self.says.pop(0)
        if isinstance(said, NodeError):
            raise said
        return said


def wants(*names: str) -> Answer:
    return Answer("", [Called(f"id-{name}", name, '{"q": 1}') for name in names], {}, "tool_calls")


def says(text: str) -> Answer:
    return Answer(text, [], {}, "stop")


async def result_of(name: str, arguments: dict[str, Any]) -> Any:
    return {"name": name, **arguments}


def told(conversation: Conversation) -> list[Any]:
    return [message["content"] for message in conversation.messages if message["role"] == "tool"]


@pytest.mark.parametrize(("most", "called"), [(3, ["a", "b", "c"]), (2, ["a", "b"]), (0, [])])
async def test_calls_that_are_asked_for_at_once_are_steps_each(most: int, called: list[str]) -> None:
    conversation, done = Conversation([], most), []

    async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
        done.append(name)
        return "done"

    model = Model(wants("a", "b", "c"), says("So."))
    assert await conversation.answer(model, call_tool) == ("So." if most else "")
    assert (done, conversation.steps) == (called, most)
    if most:
        assert told(conversation) == ["done"] * most + [NO_STEPS_LEFT] * (3 - most)
        assert model.might_call == [True, False]


async def test_a_model_that_calls_though_it_may_not_has_given_its_answer() -> None:
    conversation = Conversation([], 1)
    stubborn = Answer("Once more.", wants("b").calls, {}, "tool_calls")
    assert await conversation.answer(Model(wants("a"), stubborn), result_of) == "Once more."
    assert conversation.steps == 1


async def test_a_conversation_goes_on_after_a_failure_without_asking_again_what_is_answered() -> None:
    conversation = Conversation([], 5)
    model = Model(wants("a"), NodeError("modelError", "Away."), wants("b"), says("Done."))
    with pytest.raises(NodeError):
        await conversation.answer(model, result_of)
    assert await conversation.answer(model, result_of) == "Done."
    assert conversation.steps == 2
    assert told(conversation) == ['{"name":"a","q":1}', '{"name":"b","q":1}']


async def test_arguments_that_are_no_object_are_told_the_model_and_are_a_step() -> None:
    conversation = Conversation([], 5)
    broken = Answer("", [Called("1", "a", "[1"), Called("2", "a", '"text"')], {}, "tool_calls")
    assert await conversation.answer(Model(broken, says("Sorry.")), result_of) == "Sorry."
    assert conversation.steps == 2
    assert all(text.startswith("The arguments are not as they should be") for text in told(conversation))
