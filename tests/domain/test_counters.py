"""Overlapping counters are made disjoint before pricing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.metering.counters import MAX_COUNT, TokenCounters, disjoint, read_counters
from tallystick.kernel.errors import TallystickError

# reported -> disjoint, in the order of TokenCounters
TABLE: list[tuple[dict[str, Any], TokenCounters]] = [
    ({}, TokenCounters(requests=1)),
    ({"inputTokens": 100, "outputTokens": 20}, TokenCounters(input=100, output=20, requests=1)),
    # OpenAI: cached and reasoning are parts.
    (
        {"inputTokens": 1200, "cachedInputTokens": 1024, "outputTokens": 45, "reasoningTokens": 20},
        TokenCounters(input=176, cached=1024, output=25, reasoning=20, requests=1),
    ),
    # Anthropic: one-hour writes are a part of the writes.
    (
        {"inputTokens": 1000, "cacheWriteTokens": 300, "cacheWrite1hTokens": 100, "cachedInputTokens": 500},
        TokenCounters(input=200, cached=500, cache_write=200, cache_write_1h=100, requests=1),
    ),
    # A reporter that names the one-hour writes alone means the same.
    ({"inputTokens": 100, "cacheWrite1hTokens": 60}, TokenCounters(input=40, cache_write_1h=60, requests=1)),
    (
        {"inputTokens": 100, "cacheWriteTokens": 0, "cacheWrite1hTokens": 60},
        TokenCounters(input=40, cache_write_1h=60, requests=1),
    ),
    (
        {
            "inputTokens": 100,
            "audioInputTokens": 30,
            "imageInputTokens": 20,
            "outputTokens": 50,
            "audioOutputTokens": 40,
        },
        TokenCounters(input=50, audio_input=30, image_input=20, output=10, audio_output=40, requests=1),
    ),
    # 80 cached and 70 audio of 100: at least 50 are cached audio, priced as cached.
    (
        {"inputTokens": 100, "cachedInputTokens": 80, "audioInputTokens": 70},
        TokenCounters(cached=80, audio_input=20, requests=1),
    ),
    (
        {"inputTokens": 100, "cachedInputTokens": 90, "audioInputTokens": 20, "imageInputTokens": 60},
        TokenCounters(cached=90, image_input=10, requests=1),
    ),
    ({"inputTokens": 5, "requests": 0, "searches": 3}, TokenCounters(input=5, searches=3)),
    ({"inputTokens": 5, "outputTokens": None, "requests": None}, TokenCounters(input=5, requests=1)),
    ({"inputTokens": MAX_COUNT, "model": "gpt-4o"}, TokenCounters(input=MAX_COUNT, requests=1)),
]


@pytest.mark.parametrize(("reported", "expected"), TABLE)
def test_parts_are_taken_off_their_wholes(reported: dict[str, Any], expected: TokenCounters) -> None:
    assert read_counters(reported) == expected


IMPOSSIBLE: list[tuple[dict[str, Any], dict[str, int]]] = [
    ({"inputTokens": 10, "cachedInputTokens": 11}, {"cachedInputTokens": 11, "inputTokens": 10}),
    ({"cachedInputTokens": 11}, {"cachedInputTokens": 11, "inputTokens": 0}),
    ({"inputTokens": 10, "cacheWriteTokens": 11}, {"cacheWriteTokens": 11, "inputTokens": 10}),
    ({"inputTokens": 10, "audioInputTokens": 11}, {"audioInputTokens": 11, "inputTokens": 10}),
    ({"inputTokens": 10, "imageInputTokens": 11}, {"imageInputTokens": 11, "inputTokens": 10}),
    ({"outputTokens": 10, "reasoningTokens": 11}, {"reasoningTokens": 11, "outputTokens": 10}),
    ({"outputTokens": 10, "audioOutputTokens": 11}, {"audioOutputTokens": 11, "outputTokens": 10}),
    (
        {"inputTokens": 10, "cacheWriteTokens": 4, "cacheWrite1hTokens": 5},
        {"cacheWrite1hTokens": 5, "cacheWriteTokens": 4},
    ),
    (
        {"inputTokens": 10, "cachedInputTokens": 6, "cacheWriteTokens": 6},
        {"cachedInputTokens+cacheWriteTokens": 12, "inputTokens": 10},
    ),
    (
        {"outputTokens": 10, "reasoningTokens": 6, "audioOutputTokens": 6},
        {"reasoningTokens+audioOutputTokens": 12, "outputTokens": 10},
    ),
]


@pytest.mark.parametrize(("reported", "figures"), IMPOSSIBLE)
def test_impossible_counters_are_refused_with_the_pair_and_its_figures(
    reported: dict[str, Any], figures: dict[str, int]
) -> None:
    with pytest.raises(TallystickError) as caught:
        read_counters(reported)
    assert caught.value.code == "invalidCounters"
    assert caught.value.details["figures"] == figures
    assert all(name in caught.value.message and str(figure) in caught.value.message for name, figure in figures.items())


@pytest.mark.parametrize("value", [-1, 1.0, "5", True, MAX_COUNT + 1, [], 10**30])
def test_a_counter_is_a_whole_number_in_range(value: object) -> None:
    with pytest.raises(TallystickError) as caught:
        read_counters({"inputTokens": value})
    assert caught.value.code == "invalidCounters"
    assert caught.value.details["counter"] == "inputTokens"


PARTS = ("cached", "cache_write", "cache_write_1h", "audio_input", "image_input", "reasoning", "audio_output")
counts = st.integers(0, 2000)


@given(counts, counts, st.fixed_dictionaries(dict.fromkeys(PARTS, counts)))
def test_every_token_is_counted_exactly_once_or_the_report_is_refused(
    input_tokens: int, output_tokens: int, parts: dict[str, int]
) -> None:
    writes = parts["cache_write"] or parts["cache_write_1h"]
    impossible = (
        parts["cache_write_1h"] > writes
        or parts["cached"] + writes > input_tokens
        or parts["audio_input"] + parts["image_input"] > input_tokens
        or parts["reasoning"] + parts["audio_output"] > output_tokens
    )
    if impossible:
        with pytest.raises(TallystickError, match="cannot exceed"):
            disjoint(input_tokens, output_tokens, **parts)
        return
    counters = disjoint(input_tokens, output_tokens, **parts)
    assert min(counters) >= 0
    assert (counters.tokens_in, counters.tokens_out) == (input_tokens, output_tokens)
    assert (counters.cached, counters.reasoning) == (parts["cached"], parts["reasoning"])
