"""The local language model speaks the protocol as the official package understands it, and counts what was said."""

from collections.abc import Iterator

import openai
import pytest

from tallystick.demo.language_model import count_tokens
from tests.runner.outside import Endpoint, language_model

SEARCH = {
    "type": "function",
    "function": {"name": "search", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with language_model() as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=endpoint.base_url, api_key="none", max_retries=0) as client:
        yield client


def test_its_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tally-small", "tally-large", "tally-thinker"]


def test_the_same_messages_get_the_same_answer_and_its_tokens_can_be_counted(client: openai.OpenAI) -> None:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a tally?"}]
    first, second = (client.chat.completions.create(model="tally-small", messages=asked) for _ in range(2))
    text = first.choices[0].message.content
    assert text == second.choices[0].message.content
    # A message is three and its words: Be, brie, f, . and What, is, a, tall, y, ?; the answer's beginning is three.
    assert first.usage.prompt_tokens == (3 + 4) + (3 + 6) + 3
    assert first.usage.completion_tokens == count_tokens(text)
    other = client.chat.completions.create(model="tally-small", messages=[{"role": "user", "content": "And now?"}])
    assert other.choices[0].message.content != text


def test_models_differ_in_how_much_they_say(client: openai.OpenAI) -> None:
    asked = [{"role": "user", "content": "Tell me."}]
    usage = {
        name: client.chat.completions.create(model=name, messages=asked).usage
        for name in ("tally-small", "tally-large", "tally-thinker")
    }
    assert usage["tally-small"].completion_tokens < usage["tally-thinker"].completion_tokens
    assert usage["tally-thinker"].completion_tokens < usage["tally-large"].completion_tokens
    assert usage["tally-thinker"].completion_tokens_details.reasoning_tokens == 60
    assert len({one.prompt_tokens for one in usage.values()}) == 1


def test_a_stream_says_and_counts_the_same(client: openai.OpenAI, endpoint: Endpoint) -> None:
    asked = [{"role": "user", "content": "Stream it. [[cached 4]]"}]
    whole = client.chat.completions.create(model="tally-large", messages=asked)
    pieces = list(
        client.chat.completions.create(
            model="tally-large", messages=asked, stream=True, stream_options={"include_usage": True}
        )
    )
    said = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert said == whole.choices[0].message.content
    assert pieces[-1].usage == whole.usage
    assert pieces[-1].usage.prompt_tokens_details.cached_tokens == 4
    assert pieces[-2].choices[0].finish_reason == "stop"
    plain = list(client.chat.completions.create(model="tally-large", messages=asked, stream=True))
    assert all(piece.usage is None for piece in plain)
    assert {call.completion_tokens for call in endpoint.model.calls[-3:]} == {whole.usage.completion_tokens}


@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_the_tools_that_it_is_told_to_and_then_answers(client: openai.OpenAI, stream: bool) -> None:
    asked: list = [
        {"role": "user", "content": 'Look it up. [[call search {"query": "tally \\"stick\\""}]] [[say Done.]]'}
    ]
    if stream:
        with client.chat.completions.stream(model="tally-small", messages=asked, tools=[SEARCH]) as events:
            for _ in events:
                pass
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model="tally-small", messages=asked, tools=[SEARCH]).choices[0].message
    (call,) = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("search", '{"query": "tally \\"stick\\""}')
    asked += [message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "found"}]
    answer = client.chat.completions.create(model="tally-small", messages=asked, tools=[SEARCH])
    assert answer.choices[0].message.content == "Done."
    assert answer.choices[0].finish_reason == "stop"


def test_it_takes_as_many_steps_as_told_unless_it_may_not_call(client: openai.OpenAI) -> None:
    asked: list = [{"role": "user", "content": "[[steps 2]]"}]
    for step in (1, 2):
        message = client.chat.completions.create(model="tally-small", messages=asked, tools=[SEARCH]).choices[0].message
        (call,) = message.tool_calls
        assert call.function.arguments == f'{{"query":"step {step}"}}'
        asked += [message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "more"}]
    last = client.chat.completions.create(model="tally-small", messages=asked, tools=[SEARCH])
    assert last.choices[0].message.tool_calls is None
    held = client.chat.completions.create(model="tally-small", messages=asked[:1], tools=[SEARCH], tool_choice="none")
    assert held.choices[0].message.tool_calls is None


def test_an_answer_is_cut_where_the_caller_wants_no_more(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tally-large", messages=[{"role": "user", "content": "Go on."}], max_completion_tokens=7
    )
    assert answer.usage.completion_tokens == count_tokens(answer.choices[0].message.content) == 7
    assert answer.choices[0].finish_reason == "length"


def test_it_fails_as_told_and_logs_that_too(client: openai.OpenAI, endpoint: Endpoint) -> None:
    asked = [{"role": "user", "content": "Fail. [[fail 503 first 1]]"}]
    with endpoint.logged() as seen:
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="tally-small", messages=asked)
        client.chat.completions.create(model="tally-small", messages=asked)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-4o", messages=asked)
    assert [call.status for call in seen] == [503, 200, 404]
