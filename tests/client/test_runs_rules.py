"""The rules of runs without a network: which request follows which answer, what waits, what a lease allows."""

import datetime as dt
import json
import threading
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.asking import Ask, Record, Rules, RunPolicy, Steps, Tell
from tallystick.client.batching import Batching
from tallystick.client.collecting import Collected
from tallystick.client.delivery import NoReply, Outcome, Pause, Reply, Retrying
from tallystick.client.errors import ApiError, BufferFullError, EventProblem, ServerUnreachableError
from tallystick.client.events import EncodedEvent
from tallystick.client.holding import RunState
from tallystick.client.holds import Terms
from tallystick.client.leases import CREDITS, TOOL_RUNS, Lease, LeaseAccount, Share
from tallystick.kernel.credits import NANO

AT = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)
LOST = NoReply("lost")


class World:
    """A clock that stands still until it is moved, and the state of one run that is driven by hand."""

    def __init__(self, *, attempts: int = 3, lease: Lease | None = None, settling: Batching | None = None) -> None:
        self.now = 1000.0
        self.account = None if lease is None else LeaseAccount(lease)
        policy = RunPolicy(Retrying(attempts, first=1, longest=8), settling or Batching(max_events=3, linger=10))
        rules = Rules("http://server", policy, self.account, lambda: self.now, lambda: 1.0)
        self.state = RunState(rules, Terms({"run": "r"}, {CREDITS: 5 * NANO}, "key", AT))
        self.steps: list[Any] = []

    def drive(self, steps: Steps[Any], *replies: Reply | NoReply) -> list[str]:
        """What the steps ask for, in short; `replies` are given in turn, and have to be used up."""
        following = iter(replies)
        said: list[str] = []
        answer: Reply | NoReply | None = None
        try:
            while True:
                step = steps.send(answer)
                self.steps.append(step)
                said.append(self._short(step))
                answer = next(following) if isinstance(step, Ask) else None
        except StopIteration:
            assert list(following) == []
            return said

    @staticmethod
    def _short(step: Any) -> str:
        match step:
            case Ask():
                path = step.call.path.removeprefix("/v1/")
                if not path.endswith("/settle"):
                    return str(path)
                body = json.loads(step.call.body)
                ids = [event["id"] for event in body["events"]]
                return f"{path} {' '.join(ids)}{' final' if body['final'] else ''}"
            case Pause():
                return f"pause {step.seconds:g}"
            case Record():
                return f"record {' '.join(event.id for event in step.events)}{' on trust' if step.share else ''}"
            case Tell():
                return f"tell {' '.join(f'{one.id}:{one.kind}' for one in step.problems)}"
        raise AssertionError(step)

    def collect(self, *ids: str, type_: str = "direct.charge") -> None:
        for id_ in ids:
            assert self.state.collect(event(id_, type_))


def event(id_: str, type_: str = "direct.charge") -> EncodedEvent:
    return EncodedEvent(id_, json.dumps({"id": id_}).encode(), type_)


def hold(
    number: int, open_: float = 5, *, settled: float = 0, status: str = "held", unit: str = CREDITS, age: int = 0
) -> Reply:
    body = {
        "hold": {
            "id": str(UUID(int=number)),
            "status": status,
            "amounts": {unit: 5},
            "open": {unit: open_},
            "settled": {unit: settled},
            "run": "r",
            "createdAt": (AT - dt.timedelta(seconds=age)).isoformat(),
            "expiresAt": (AT - dt.timedelta(seconds=age) + dt.timedelta(seconds=100)).isoformat(),
            "finishedAt": None,
        },
        "balances": [],
        "usage": {"accepted": 0, "duplicates": 0, "conflicts": [], "rejected": [], "chargedCredits": 0},
    }
    return Reply(200, {}, json.dumps(body).encode())


def holds(*numbers: int) -> Reply:
    return Reply(200, {}, json.dumps({"holds": [json.loads(hold(number).body)["hold"] for number in numbers]}).encode())


def refused(status: int, reason: str = "why") -> Reply:
    return Reply(status, {}, json.dumps({"errorMessage": "no", "reason": reason, "details": {}}).encode())


ONE, TWO = f"holds/{UUID(int=1)}", f"holds/{UUID(int=2)}"


def test_waits_for_the_server_double_and_the_request_stays_the_same() -> None:
    world = World()
    busy = Reply(503, {"retry-after": "5"}, b"")
    assert world.drive(world.state.open(), LOST, busy, hold(1)) == ["holds", "pause 1", "holds", "pause 5", "holds"]
    assert len({(step.call.body, *step.call.headers.items()) for step in world.steps if isinstance(step, Ask)}) == 1


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([LOST, LOST, LOST], ServerUnreachableError),
        ([refused(500)] * 3, ServerUnreachableError),
        ([Reply(200, {}, b"<html>")] * 3, ServerUnreachableError),
        ([refused(429)] * 3, ApiError),
        ([refused(402)], ApiError),
        ([refused(401)], ApiError),
        ([LOST, refused(409)], ApiError),
    ],
)
def test_a_run_does_not_start_without_an_answer_or_against_it(
    replies: list[Reply | NoReply], error: type[Exception]
) -> None:
    world = World()
    with pytest.raises(error):
        world.drive(world.state.open(), *replies)
    assert list(world.state.holds) == []


def test_usage_leaves_when_it_is_much_or_old_and_the_last_of_it_with_the_end() -> None:
    world = World()
    world.drive(world.state.open(), hold(1))
    world.collect("a", "b")
    assert world.state.due_at() == 1010
    world.collect("c")
    assert world.state.due_at() == 1000
    assert world.drive(world.state.upkeep(), hold(1, 4, settled=1)) == [f"{ONE}/settle a b c"]
    assert world.state.due_at() == 1050
    world.collect("d", "e", "f", "g")
    said = world.drive(world.state.finish(), hold(1, 1, settled=4), hold(1, 0, settled=4, status="settled"))
    assert said == [f"{ONE}/settle d e f", f"{ONE}/settle g final"]
    assert (world.state.settled(CREDITS), world.state.due_at()) == (4, None)
    assert not world.state.collect(event("late"))


def test_a_hold_is_extended_at_half_its_life_and_sooner_again_when_that_fails() -> None:
    world = World()
    world.drive(world.state.open(), hold(1))
    assert world.state.due_at() == 1050
    world.now = 1050
    assert world.drive(world.state.upkeep(), LOST) == [f"{ONE}/extend"]
    assert world.state.due_at() == 1060
    world.now = 1060
    assert world.drive(world.state.upkeep(), hold(1)) == [f"{ONE}/extend"]
    assert world.state.due_at() == 1110
    world.now = 1110
    assert world.drive(world.state.upkeep(), refused(409, "holdNotOpen")) == [f"{ONE}/extend"]
    world.collect("a")
    assert world.drive(world.state.finish()) == ["record a"]


def test_a_hold_that_was_placed_before_is_extended_at_once() -> None:
    world = World()
    world.drive(world.state.open(), hold(1, age=90))
    assert world.state.due_at() == 1000
    assert world.drive(world.state.upkeep(), hold(1, age=90)) == [f"{ONE}/extend"]
    assert world.state.due_at() == 1050


def test_usage_that_can_not_be_settled_now_waits_and_is_settled_with_the_next() -> None:
    world = World()
    world.drive(world.state.open(), hold(1))
    world.collect("a", "b", "c")
    assert world.drive(world.state.upkeep(), LOST) == [f"{ONE}/settle a b c"]
    assert world.state.due_at() == 1008
    world.collect("d")
    said = world.drive(world.state.finish(), hold(1), hold(1, 0, settled=4))
    assert said == [f"{ONE}/settle a b c", f"{ONE}/settle d final"]


def test_an_end_that_nobody_answered_is_recorded_and_said_again_until_the_hold_has_expired() -> None:
    world = World(attempts=1)
    world.drive(world.state.open(), hold(1))
    world.drive(world.state.reserve({CREDITS: NANO}), hold(2))
    world.collect("a")
    assert world.drive(world.state.finish(), LOST, LOST) == [f"{TWO}/settle a final", "record a", f"{ONE}/void"]
    assert world.state.due_at() == 1010
    world.now = 1010
    assert world.drive(world.state.upkeep(), LOST, LOST) == [f"{TWO}/settle a final", f"{ONE}/void"]
    world.now = 1020
    again = world.drive(world.state.upkeep(), hold(2, 0, settled=1), refused(409))
    assert again == [f"{TWO}/settle a final", f"{ONE}/void"]
    ends = [step.call for step in world.steps if isinstance(step, Ask) and step.call.path.endswith("settle")]
    assert len({(end.body, end.headers["idempotency-key"]) for end in ends}) == 1
    assert (world.state.due_at(), world.state.settled(CREDITS)) == (None, 1)


def test_a_hold_that_may_have_been_placed_in_vain_is_found_by_its_key_and_released() -> None:
    world = World(attempts=1)
    with pytest.raises(ServerUnreachableError):
        world.drive(world.state.open(), LOST)
    assert (world.state.has_ended, world.state.due_at()) == (True, 1008)
    world.now = 1008
    assert world.drive(world.state.upkeep(), LOST) == ["holds"]
    assert world.state.due_at() == 1023
    world.now = 1023
    assert world.drive(world.state.upkeep(), holds(1), hold(1), LOST) == ["holds", "holds", f"{ONE}/void"]
    world.now = 1038
    assert world.drive(world.state.upkeep(), holds(1), hold(1), hold(1, 0)) == ["holds", "holds", f"{ONE}/void"]
    assert world.state.due_at() is None
    asked = [step.call for step in world.steps if step.call.path == "/v1/holds" and step.call.method == "POST"]
    assert len({(call.body, call.headers["idempotency-key"]) for call in asked}) == 1


def test_a_hold_that_nobody_waits_for_any_more_is_looked_for() -> None:
    world = World()
    opening = world.state.open()
    assert isinstance(next(opening), Ask)
    opening.close()
    assert (world.state.has_ended, world.state.due_at()) == (True, 1008)
    world.now = 1008
    assert world.drive(world.state.end_rest(), holds(1), hold(1), hold(1, 0)) == ["holds", "holds", f"{ONE}/void"]


def test_a_question_that_never_left_or_was_refused_later_leaves_nothing_behind() -> None:
    world = World(attempts=1)
    with pytest.raises(ServerUnreachableError):
        world.drive(world.state.open(), NoReply("connection refused", was_sent=False))
    assert world.state.due_at() is None
    world = World(attempts=1)
    with pytest.raises(ServerUnreachableError):
        world.drive(world.state.open(), LOST)
    world.now = 1008
    assert world.drive(world.state.upkeep(), holds()) == ["holds"]
    assert world.state.due_at() is None


def test_an_end_is_not_said_for_ever() -> None:
    world = World(attempts=1)
    world.drive(world.state.open(), hold(1))
    world.drive(world.state.finish(), LOST)
    world.now = 1100
    assert world.drive(world.state.upkeep()) == []
    assert world.state.due_at() is None


def test_a_settle_that_is_refused_leaves_its_events_to_the_recorder_and_releases_the_hold() -> None:
    world = World()
    world.drive(world.state.open(), hold(1))
    world.collect("a", "b", "c", "d")
    said = world.drive(world.state.finish(), refused(400), refused(413), hold(1))
    assert said == [f"{ONE}/settle a b c", "record a b c", f"{ONE}/settle d final", "record d", f"{ONE}/void"]


def test_what_a_settle_does_not_take_is_told_and_what_it_could_not_do_is_recorded() -> None:
    world = World()
    world.drive(world.state.open(), hold(1))
    world.collect("a", "b", "c")
    body = json.loads(hold(1, 0, settled=1).body)
    body["usage"] = {
        "accepted": 0,
        "duplicates": 0,
        "conflicts": [{"index": 0, "id": "a", "reason": "conflict"}],
        "rejected": [{"index": 2, "id": "c", "reason": "unknownType"}],
        "chargedCredits": 0,
        "retry": [{"index": 1, "id": "b"}],
    }
    said = world.drive(world.state.finish(), Reply(200, {}, json.dumps(body).encode()))
    assert said == [f"{ONE}/settle a b c final", "tell a:conflict c:rejected", "record b"]


def test_each_hold_pays_for_what_it_was_set_aside_for_the_newest_first() -> None:
    world = World(settling=Batching(max_events=10, linger=10))
    world.drive(world.state.open(), hold(1))
    world.drive(world.state.reserve({TOOL_RUNS: NANO}), hold(2, 1, unit=TOOL_RUNS))
    world.collect("llm-1")
    world.collect("tool-1", type_="tool.call")
    world.collect("llm-2")
    said = world.drive(world.state.finish(), hold(1, 0, settled=2), hold(2, 0, settled=1, unit=TOOL_RUNS))
    assert said == [f"{ONE}/settle llm-1 llm-2 final", f"{TWO}/settle tool-1 final"]
    assert (world.state.settled(CREDITS), world.state.settled(TOOL_RUNS)) == (2, 1)


def test_a_reservation_is_told_first_what_was_used_so_that_caps_see_it() -> None:
    world = World()
    world.drive(world.state.open(), hold(1))
    world.collect("a")
    assert world.drive(world.state.reserve({CREDITS: NANO}), hold(1, 4, settled=1), hold(2)) == [
        f"{ONE}/settle a",
        "holds",
    ]
    keys = [step.call.headers["idempotency-key"] for step in world.steps if step.call.path == "/v1/holds"]
    assert keys == ["key", "key/1"]


def test_on_trust_one_question_is_enough_and_all_is_recorded() -> None:
    world = World(lease=Lease(10, 60))
    assert world.drive(world.state.open(), LOST, LOST, LOST)[-1] == "holds"
    world.collect("a")
    assert world.state.due_at() == 1000
    assert world.drive(world.state.upkeep()) == ["record a on trust"]
    assert world.drive(world.state.reserve({CREDITS: NANO}), LOST) == ["holds"]
    with pytest.raises(ServerUnreachableError, match="there are 4 left"):
        world.drive(world.state.reserve({CREDITS: 5 * NANO}), LOST)
    world.collect("b")
    assert world.drive(world.state.finish()) == ["record b on trust"]


def test_a_run_that_is_given_up_hands_out_everything_also_what_was_under_way() -> None:
    world = World()
    world.drive(world.state.open(), hold(1))
    world.collect("a", "b", "c", "d")
    ending = world.state.finish()
    assert isinstance(next(ending), Ask)
    ending.close()
    assert [one.id for one in world.state.abandon()] == ["a", "b", "c", "d"]
    assert world.state.abandon() == []


@given(
    st.lists(st.one_of(st.integers(1, 60), st.sampled_from(["take", "done", "put back"])), max_size=60),
    st.integers(1, 5),
    st.integers(10, 200),
)
def test_collected_events_leave_once_within_the_limits_of_a_request(
    script: list[int | str], max_events: int, max_bytes: int
) -> None:
    collected = Collected(Batching(max_events=max_events, max_bytes=max_bytes, max_pending=10_000))
    added, settled, under_way = 0, [], []
    for step in script:
        if isinstance(step, int):
            assert collected.add(EncodedEvent(str(added), b"x" * step, "odd" if step % 2 else "even"), 0.0)
            added += 1
        elif step == "take" and not under_way:
            under_way = collected.take(lambda one: one.type, 0.0)
            assert len(under_way) <= max_events
            assert len({one.type for one in under_way}) <= 1
            assert len(under_way) <= 1 or sum(len(one.body) + 1 for one in under_way) <= max_bytes
        elif step == "done":
            settled += under_way
            under_way = []
            collected.done()
        elif step == "put back":
            under_way = []
            collected.put_back()
    rest = collected.abandon()
    assert {one.id for one in [*settled, *rest]} == {str(number) for number in range(added)}
    assert len(settled) + len(rest) == added
    assert not collected.add(event("late"), 0.0)


def test_a_run_that_nobody_settles_keeps_only_so_many_events() -> None:
    collected = Collected(Batching(max_pending=2))
    assert collected.add(event("a"), 0.0)
    assert collected.add(event("b"), 0.0)
    with pytest.raises(BufferFullError):
        collected.add(event("c"), 0.0)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_a_lease_is_never_exceeded_and_all_of_it_comes_back_but_for_what_was_lost(
    runs: list[tuple[int, int, bool, bool]],
) -> None:
    account = LeaseAccount(Lease(credits=10, seconds=60, tool_runs=4))
    taken = {CREDITS: 0, TOOL_RUNS: 0}
    lost = 0
    for number, (credits_, tool_runs, ends_first, is_lost) in enumerate(runs):
        share = Share()
        refusal = account.take(share, {CREDITS: credits_ * NANO, TOOL_RUNS: tool_runs * NANO}, 0.0)
        fits = taken[CREDITS] + credits_ <= 10 and taken[TOOL_RUNS] + tool_runs <= 4
        assert (refusal is None) == fits
        if refusal is not None:
            continue
        events = [event(f"{number}-{one}") for one in range(2)]
        account.expect(share, events)
        problems = [EventProblem(events[0].id, "unsent", "x", "", b"", 0)] if is_lost else []
        if ends_first:
            account.ended(share)
        account.booked(events, Outcome(accepted=2, charged=NANO, problems=problems))
        if not ends_first:
            account.ended(share)
        if is_lost:
            taken[CREDITS] += credits_
            taken[TOOL_RUNS] += tool_runs
            lost += credits_
        assert account.outstanding == taken[CREDITS] <= 10
    assert account.outstanding == lost


def test_the_seconds_of_a_lease_count_from_the_first_start_until_the_server_answers() -> None:
    account = LeaseAccount(Lease(credits=10, seconds=60))
    amounts = {CREDITS: NANO}
    assert account.take(Share(), amounts, 100.0) is None
    assert account.take(Share(), amounts, 160.0) is None
    assert account.take(Share(), amounts, 160.5) is not None
    account.reached()
    assert account.take(Share(), amounts, 200.0) is None


def test_threads_take_no_more_than_the_lease_together() -> None:
    account = LeaseAccount(Lease(credits=100, seconds=60))
    begun = threading.Barrier(8)
    granted: list[int] = []

    def take() -> None:
        begun.wait(20)
        granted.append(sum(account.take(Share(), {CREDITS: NANO}, 0.0) is None for _ in range(50)))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (sum(granted), account.outstanding) == (100, 100)


def test_a_lease_has_exact_bounds() -> None:
    for wrong in ({"credits": 0.5, "seconds": 1}, {"credits": -1, "seconds": 1}, {"credits": 1, "seconds": 0}):
        with pytest.raises(Exception, match=r"decimal|seconds"):
            Lease(**wrong)  # type: ignore[arg-type]
    assert LeaseAccount(Lease(1, 60)).lasting(Retrying(attempts=5, longest=10)).attempts == 17
