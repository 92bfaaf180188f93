"""Ids that the server draws: UUIDv7 of the instant, none twice."""

import datetime as dt

from tallystick.kernel.ids import ServerIds

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def test_a_server_s_ids_are_of_the_instant_and_none_comes_twice() -> None:
    ids = ServerIds()
    made = [ids.new(NOW) for _ in range(2_000)]
    assert len(set(made)) == len(made)
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert {one.int >> 80 for one in made} == {int(NOW.timestamp() * 1000)}
    assert ServerIds().new(NOW) not in made
