"""The client's rules without a network: when a batch leaves, what is tried again, how an event is written."""

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.batching import Batching, Outbox
from tallystick.client.delivery import NoReply, Outcome, Pause, Post, Reply, Retrying, deliver
from tallystick.client.events import ON_THE_WIRE, EncodedEvent, encode_event
from tallystick.domain.metering.events import EventData

NOON = dt.datetime(2026, 3, 14, 12, 0, 0, 123456, dt.UTC)


def event(number: int, size: int = 10) -> EncodedEvent:
    return EncodedEvent(str(number), b"{" + b"x" * size + b"}")


def encoded(**fields: Any) -> dict[str, Any]:
    made = encode_event("llm.tokens", id_="1", source="s", subject=None, time=NOON, data={}, fields=fields)
    answer: dict[str, Any] = json.loads(made.body)
    return answer


def test_every_field_has_the_name_that_the_server_reads() -> None:
    accepted = {field.encode_name for field in msgspec.structs.fields(EventData)}
    corrections_and_aliases = {"source", "id", "reason", "prompt_tokens", "completion_tokens", "total_tokens"}
    assert set(ON_THE_WIRE.values()) == accepted - corrections_and_aliases


def test_an_event_is_written_with_every_digit() -> None:
    body = encoded(input_tokens=7, quantity=Decimal("1E-9"), cost="0.013317500000000001", agent=None)
    assert body == {
        "specversion": "1.0",
        "id": "1",
        "source": "s",
        "type": "llm.tokens",
        "time": "2026-03-14T12:00:00.123456Z",
        "data": {"inputTokens": 7, "quantity": "0.000000001", "cost": "0.013317500000000001"},
    }


@pytest.mark.parametrize(
    "fields",
    [{"quantity": 0.1}, {"cost": True}, {"input_tokens": "7"}, {"input_tokens": 7.0}, {"inputTokens": 7}],
    ids=str,
)
def test_what_would_lose_digits_or_say_nothing_is_a_mistake_of_the_caller(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        encoded(**fields)


def test_a_time_without_a_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="zone"):
        encode_event("x", id_="1", source="s", subject=None, time=NOON.replace(tzinfo=None), data={}, fields={})


def test_a_batch_leaves_when_it_is_full_or_has_lingered_and_one_at_a_time() -> None:
    outbox = Outbox(Batching(max_events=3, linger=10, max_pending=100))
    assert outbox.due_in(0) is None
    outbox.add(event(1), 0)
    outbox.add(event(2), 4)
    assert (outbox.take(4), outbox.due_in(4)) == (None, 6)
    outbox.add(event(3), 5)
    outbox.add(event(4), 5)
    first = outbox.take(5)
    assert first is not None and [e.id for e in first] == ["1", "2", "3"]
    assert outbox.take(99) is None
    outbox.settle(Outcome())
    assert outbox.due_in(5) == 10
    second = outbox.take(15)
    assert second is not None and [e.id for e in second] == ["4"]


def test_a_flush_sends_what_was_there_and_lets_later_events_linger() -> None:
    outbox = Outbox(Batching(max_events=2, linger=10))
    for number in range(3):
        outbox.add(event(number), 0)
    target = outbox.hurry()
    for _ in range(2):
        assert outbox.take(0) is not None
        outbox.settle(Outcome())
    assert (target, outbox.settled) == (3, 3)
    outbox.add(event(9), 0)
    assert outbox.due_in(0) == 10


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 7), st.integers(20, 90))
def test_events_leave_once_in_order_and_within_the_limits(sizes: list[int], most: int, most_bytes: int) -> None:
    outbox = Outbox(Batching(max_events=most, max_bytes=most_bytes, linger=0))
    for number, size in enumerate(sizes):
        outbox.add(event(number, size), 0)
    sent: list[str] = []
    while (batch := outbox.take(1)) is not None:
        assert len(batch) <= most
        assert len(batch) == 1 or sum(len(e.body) + 1 for e in batch) + 2 <= most_bytes
        sent += [e.id for e in batch]
        outbox.settle(Outcome())
    assert sent == [str(number) for number in range(len(sizes))]
    assert outbox.is_empty and not outbox.abandon()


def answer(**counts: Any) -> Reply:
    body = {"accepted": 0, "duplicates": 0, "conflicts": [], "rejected": [], "chargedCredits": 0, **counts}
    return Reply(200, {}, json.dumps(body).encode())


def drive(events: list[EncodedEvent], replies: list[Reply | NoReply], retrying: Retrying) -> tuple[list[Any], Outcome]:
    """The steps of a delivery that meets these replies, and its outcome."""
    steps: list[Any] = []
    delivery = deliver(events, retrying, lambda: 1.0)
    following = iter(replies)
    try:
        step = next(delivery)
        while True:
            steps.append(step)
            step = delivery.send(next(following) if isinstance(step, Post) else None)
    except StopIteration as end:
        outcome: Outcome = end.value
        return steps, outcome


def test_waits_double_up_to_the_longest_and_heed_the_server() -> None:
    busy = Reply(503, {"retry-after": "2"}, b"")
    steps, _ = drive(
        [event(1)], [NoReply("x"), NoReply("x"), NoReply("x"), busy, answer(accepted=1)], Retrying(first=1, longest=3)
    )
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [1, 2, 3, 3]
    assert Retrying(first=1, longest=9).wait(1, 0.0, 0.0) == 0.5
    assert Retrying(first=1, longest=9).wait(1, 0.0, 4.0) == 4.0


def test_only_what_the_server_asks_for_is_sent_again_and_problems_keep_their_places() -> None:
    rejected = [{"index": 0, "id": "0", "reason": "typeUnknown", "message": "no"}]
    first = answer(accepted=1, rejected=rejected, retry=[{"index": 2, "id": "2"}, {"index": 3, "id": "3"}])
    second = answer(duplicates=1, conflicts=[{"index": 1, "id": "3", "reason": "conflict"}])
    steps, outcome = drive([event(n, n + 1) for n in range(4)], [first, second], Retrying())
    posts = [step.body for step in steps if isinstance(step, Post)]
    assert posts[1] == b"[{xxx},{xxxx}]"
    assert (outcome.accepted, outcome.duplicates) == (1, 1)
    assert [(p.index, p.kind) for p in outcome.problems] == [(0, "rejected"), (3, "conflict")]


def test_a_single_event_that_is_too_large_is_rejected_and_the_rest_goes_on() -> None:
    too_large = Reply(413, {}, b'{"errorMessage":"large","reason":"bodyTooLarge","details":{}}')
    replies: list[Reply | NoReply] = [too_large, too_large, answer(accepted=1)]
    _, outcome = drive([event(0, 99), event(1)], replies, Retrying())
    assert [(p.id, p.kind, p.reason) for p in outcome.problems] == [("0", "rejected", "bodyTooLarge")]
    assert outcome.accepted == 1


def test_importing_the_client_loads_nothing_that_costs() -> None:
    code = "import tallystick.client, sys; print(sorted({'httpx2', 'msgspec', 'asyncio', 'ssl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
