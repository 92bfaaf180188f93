"""What one language-model call used, as reported and as priced: overlapping counters made disjoint.

A report names wholes and parts of them. `inputTokens` holds the cached, cache-write, audio and image tokens,
`outputTokens` the reasoning and audio ones, `cacheWriteTokens` the one-hour ones (`cacheWrite1hTokens`). Each token
is priced once, so the parts are taken off their wholes first. Decisions where emitters differ:

- `cacheWrite1hTokens` is a part of `cacheWriteTokens`, as in Anthropic's `cache_creation_input_tokens`, which totals
  its five-minute and one-hour writes. A reporter that leaves the total out, or gives 0 for it, means the same tokens.
- A token is either read from the cache, written to it, or neither; and it is either text, audio or an image. So cached
  audio is counted in both `cachedInputTokens` and `audioInputTokens` (OpenAI's realtime usage). Where cached, written,
  audio and image tokens together exceed the input, the excess is that overlap: it is priced as cached, and taken off
  audio first, then image.
- `requests` left out means one: an event is a call.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from tallystick.kernel.errors import TallystickError

MAX_COUNT: Final = 10**12
"""Largest value of one counter in one event: sums over millions of events stay inside a bigint."""


class TokenCounters(NamedTuple):
    """Disjoint counters of one call: every token stands in exactly one of the first nine."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    image_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    requests: int = 0
    searches: int = 0

    @property
    def tokens_in(self) -> int:
        """All input tokens, cached, written, audio and image ones included."""
        return sum(self[:6])

    @property
    def tokens_out(self) -> int:
        """All output tokens, reasoning and audio ones included."""
        return sum(self[6:9])


REPORTED: Final = (
    "inputTokens",
    "cachedInputTokens",
    "cacheWriteTokens",
    "cacheWrite1hTokens",
    "audioInputTokens",
    "imageInputTokens",
    "outputTokens",
    "reasoningTokens",
    "audioOutputTokens",
    "requests",
    "searches",
)
"""Names of the counters in an event's data and in a price, in the order of `TokenCounters`."""

_REPORTED_SET = frozenset(REPORTED)


def read_counters(data: Mapping[str, Any]) -> TokenCounters:
    """The disjoint counters of an `llm.tokens` event's `data`; names it does not know are left alone, null is left out.

    Raises `invalidCounters` for a counter that is not an integer from 0 to `MAX_COUNT`, and for parts that exceed
    their whole, naming the pair and both figures.
    """
    for name in data.keys() & _REPORTED_SET:
        value = data[name]
        if value is not None and (type(value) is not int or not 0 <= value <= MAX_COUNT):
            _refuse_value(name, value)
    get = data.get
    requests = get("requests")
    return disjoint(
        get("inputTokens") or 0,
        get("outputTokens") or 0,
        cached=get("cachedInputTokens") or 0,
        cache_write=get("cacheWriteTokens") or 0,
        cache_write_1h=get("cacheWrite1hTokens") or 0,
        audio_input=get("audioInputTokens") or 0,
        image_input=get("imageInputTokens") or 0,
        reasoning=get("reasoningTokens") or 0,
        audio_output=get("audioOutputTokens") or 0,
        requests=1 if requests is None else requests,
        searches=get("searches") or 0,
    )


def disjoint(
    input_tokens: int,
    output_tokens: int,
    *,
    cached: int = 0,
    cache_write: int = 0,
    cache_write_1h: int = 0,
    audio_input: int = 0,
    image_input: int = 0,
    reasoning: int = 0,
    audio_output: int = 0,
    requests: int = 1,
    searches: int = 0,
) -> TokenCounters:
    """Take the parts off their wholes. Arguments are integers >= 0, as reported. Raises `invalidCounters`."""
    if not (cached or cache_write or cache_write_1h or audio_input or image_input or reasoning or audio_output):
        return TokenCounters(input_tokens, 0, 0, 0, 0, 0, output_tokens, 0, 0, requests, searches)
    if cached or cache_write or cache_write_1h or audio_input or image_input:
        cache_write = cache_write or cache_write_1h
        if cache_write_1h > cache_write:
            _refuse("cacheWrite1hTokens", cache_write_1h, "cacheWriteTokens", cache_write)
        if cached + cache_write > input_tokens:
            _refuse_input(input_tokens, cachedInputTokens=cached, cacheWriteTokens=cache_write)
        if audio_input + image_input > input_tokens:
            _refuse_input(input_tokens, audioInputTokens=audio_input, imageInputTokens=image_input)
        plain = input_tokens - cached - cache_write - audio_input - image_input
        if plain < 0:
            overlap, plain = -plain, 0
            from_audio = min(overlap, audio_input)
            audio_input -= from_audio
            image_input -= overlap - from_audio
        cache_write -= cache_write_1h
    else:
        plain = input_tokens
    if reasoning + audio_output > output_tokens:
        _refuse_parts("outputTokens", output_tokens, reasoningTokens=reasoning, audioOutputTokens=audio_output)
    return TokenCounters(
        plain,
        cached,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        output_tokens - reasoning - audio_output,
        reasoning,
        audio_output,
        requests,
        searches,
    )


def _refuse_input(whole: int, **parts: int) -> NoReturn:
    _refuse_parts("inputTokens", whole, **parts)


def _refuse_parts(whole_name: str, whole: int, **parts: int) -> NoReturn:
    for name, part in parts.items():
        if part > whole:
            _refuse(name, part, whole_name, whole)
    _refuse("+".join(parts), sum(parts.values()), whole_name, whole)


def _refuse(part_name: str, part: int, whole_name: str, whole: int) -> NoReturn:
    raise TallystickError(
        "invalidCounters",
        f"{part_name} ({part}) cannot exceed {whole_name} ({whole}), of which it is a part.",
        part=part_name,
        whole=whole_name,
        figures={part_name: part, whole_name: whole},
    )


def _refuse_value(name: str, value: object) -> NoReturn:
    raise TallystickError(
        "invalidCounters",
        f"{name} must be an integer from 0 to {MAX_COUNT}.",
        counter=name,
        value=str(value)[:64],
    )
