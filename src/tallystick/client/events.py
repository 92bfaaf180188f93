"""From keyword arguments to a CloudEvent in JSON, encoded once and sent as it is however often it is retried."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypedDict

import msgspec

from tallystick.kernel.clock import Clock
from tallystick.kernel.ids import Ids


class Target(TypedDict):
    """The identity of an earlier event that this one replaces."""

    source: str
    id: str


class UsageData(TypedDict, total=False):
    """The `data` of a usage event. Counters are whole numbers; `quantity`, `tool_runs`, `epochs`, `cost` (USD) never
    floats."""

    run: str
    batch: str
    node: str
    workflow: str
    agent: str
    connector: str
    integration: str
    action: str
    tool: str
    model: str
    table: str
    user: str
    team: str
    project: str
    api_key: str
    deployment: str
    status: str
    quantity: int | Decimal | str
    cost: int | Decimal | str
    tool_runs: int | Decimal | str
    profile: str
    replicas: int
    complexity: str
    training_tokens: int
    epochs: int | Decimal | str
    kind: str
    label: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    image_input_tokens: int
    requests: int
    searches: int
    replaces: Target


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() if part[0].isalpha() else part for part in rest)


ON_THE_WIRE: Final[Mapping[str, str]] = {name: _camel(name) for name in UsageData.__annotations__}
"""The name of each field in an event's `data`, such as `inputTokens` for `input_tokens`."""

COUNTERS: Final = frozenset(
    wire
    for name, wire in ON_THE_WIRE.items()
    if (name.endswith("_tokens") and name != "training_tokens") or name in ("requests", "searches")
)
"""What is counted of a language model's call, by its name on the wire."""

WHOLE: Final = COUNTERS | {"trainingTokens", "replicas"}
"""Fields that hold whole numbers, by their name on the wire."""

DECIMALS: Final = frozenset({"quantity", "cost", "toolRuns", "epochs"})


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """One event ready to be sent. Its id never changes, so sending it again is safe."""

    id: str
    body: bytes
    type: str = ""


def encode_event(
    type_: str,
    *,
    id_: str,
    source: str,
    subject: str | None,
    time: dt.datetime,
    data: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> EncodedEvent:
    """The event in JSON. `fields` are named as in `UsageData`; `data` is added as it is, for types of your own.

    Raises TypeError for an unknown field, a time without a zone, and a float where digits count.
    """
    if time.tzinfo is None:
        raise TypeError("time needs a zone, such as datetime.UTC")
    content = dict(data)
    for name, value in fields.items():
        wire = ON_THE_WIRE.get(name)
        if wire is None:
            raise TypeError(f"{name!r} is no field of a usage event; put fields of your own into data={{…}}")
        if value is None:
            continue
        if wire in WHOLE and (isinstance(value, bool) or not isinstance(value, int)):
            raise TypeError(f"{name} must be a whole number, not {value!r}")
        content[wire] = _exact(name, value) if wire in DECIMALS else value
    envelope = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": type_,
        "time": time.astimezone(dt.UTC),
        "data": content,
    }
    if subject is not None:
        envelope["subject"] = subject
    return EncodedEvent(id_, msgspec.json.encode(envelope), type_)


def join(events: "list[EncodedEvent]") -> bytes:
    """The body of a request with these events."""
    return b"[" + b",".join(event.body for event in events) + b"]"


def _exact(name: str, value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise TypeError(f"{name} must be an int, a Decimal or decimal text, not {value!r}: a float has lost digits")
    return value if isinstance(value, int) else f"{Decimal(value):f}"


@dataclass(frozen=True, slots=True)
class EventMaker:
    """Gives events what their recorder left out: an id, the time, the client's source and subject."""

    source: str
    subject: str | None
    clock: Clock
    ids: Ids

    def make(
        self,
        type_: str,
        id_: str | None,
        source: str | None,
        subject: str | None,
        time: dt.datetime | None,
        data: Mapping[str, Any] | None,
        fields: Mapping[str, Any],
    ) -> EncodedEvent:
        now = self.clock.now()
        return encode_event(
            type_,
            id_=id_ or str(self.ids.new(now)),
            source=source or self.source,
            subject=subject or self.subject,
            time=time or now,
            data=data or {},
            fields=fields,
        )
