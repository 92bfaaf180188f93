"""Usage events: what a report must look like, and what makes two reports the same one."""

import datetime as dt
import re
from base64 import b64decode
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from operator import attrgetter
from typing import Annotated, Any, Final, get_args

import msgspec

from tallystick.domain.metering.counters import MAX_COUNT
from tallystick.domain.texts import has_control_characters
from tallystick.kernel.credits import is_decimal
from tallystick.kernel.errors import TallystickError

CANCELLED: Final = "event.cancelled"
LITELLM: Final = "litellm_tokens"
RUNNING_SOURCE: Final = "tallystick/deployments"
"""Where events of deployments' running time come from; nobody else may report or correct in its name."""
FINE_TUNING_SOURCE: Final = "tallystick/fine-tuning"
"""Where events of fine-tuning jobs come from; nobody else may report in its name."""
_OURS: Final = frozenset({RUNNING_SOURCE, FINE_TUNING_SOURCE})
LONGEST_ID_BYTES: Final = 1024
LONGEST_NAME: Final = 200
QUANTITY_MAX: Final = Decimal(10) ** 15

_Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] | None
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] | None


class Target(msgspec.Struct, frozen=True):
    """The identity of an earlier event, as named by a correction."""

    source: str
    id: str


class EventData(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The `data` of an event, as `interfaces.md` lists it. An empty name means the same as an absent one."""

    run: _Name = None
    batch: _Name = None
    node: _Name = None
    workflow: _Name = None
    agent: _Name = None
    connector: _Name = None
    integration: _Name = None
    action: _Name = None
    tool: _Name = None
    model: _Name = None
    table: _Name = None
    user: _Name = None
    team: _Name = None
    project: _Name = None
    api_key: _Name = None
    deployment: _Name = None
    status: str | None = None
    quantity: Decimal | None = None
    cost: Decimal | None = None
    tool_runs: Decimal | None = None
    profile: _Name = None
    replicas: _Count = None
    complexity: _Name = None
    training_tokens: _Count = None
    epochs: Decimal | None = None
    kind: _Name = None
    label: _Name = None
    input_tokens: _Count = None
    output_tokens: _Count = None
    cached_input_tokens: _Count = None
    cache_write_tokens: _Count = None
    cache_write1h_tokens: _Count = msgspec.field(name="cacheWrite1hTokens", default=None)
    reasoning_tokens: _Count = None
    audio_input_tokens: _Count = None
    audio_output_tokens: _Count = None
    image_input_tokens: _Count = None
    requests: _Count = None
    searches: _Count = None
    replaces: Target | None = None
    source: str | None = None
    id: str | None = None
    reason: str | None = None
    prompt_tokens: _Count = msgspec.field(name="prompt_tokens", default=None)
    completion_tokens: _Count = msgspec.field(name="completion_tokens", default=None)
    total_tokens: _Count = msgspec.field(name="total_tokens", default=None)


class _PlainData(EventData, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The same where all of it is known, so that what was read can be written again."""


class UsageEvent(msgspec.Struct, gc=False):
    """One well-formed report. `data` is canonical JSON; `hash` covers type, subject and data, nothing else."""

    source: str
    source_id: str
    type: str
    subject: str
    time: dt.datetime
    data: str
    hash: bytes
    facts: EventData


@dataclass(frozen=True, slots=True)
class Window:
    """How far an event's time may lie from now (rule M2); `oldest` is None where any past is welcome (imports)."""

    oldest: dt.timedelta | None
    ahead: dt.timedelta


_UNIX_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# An escaped NUL: a backslash that is not escaped itself stands before the u.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_typed = msgspec.json.Decoder(EventData)
_plain = msgspec.json.Decoder(_PlainData)
# What one value of may be written in several ways: fractions, and what holds members of its own.
_VARIED: Final = tuple(
    field.name for field in msgspec.structs.fields(EventData) if {Decimal, Target} & set(get_args(field.type))
)
_many_spellings = attrgetter(*_VARIED)
_NONE_OF_THEM: Final = (None,) * len(_VARIED)
_encode = msgspec.json.Encoder(order="deterministic").encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def _exact_number(text: str) -> Any:
    """A number with a fraction as its exact value: 1.0, 1.00 and 1 are one value, 0.1 keeps its digits."""
    value = Decimal(text)
    if not value.is_finite() or abs(value.adjusted()) > 400:
        raise TallystickError("invalidData", "A number is out of range.", value=text[:64])
    whole = value.to_integral_value()
    return int(whole) if value == whole and abs(value.adjusted()) < 30 else str(value.normalize())


_generic = msgspec.json.Decoder(float_hook=_exact_number)


def read_event(
    *,
    specversion: str,
    source: str,
    source_id: str,
    type_: str,
    subject: str | None,
    time: dt.datetime | None,
    data: bytes,
    now: dt.datetime,
    window: Window,
) -> UsageEvent:
    """Check one report and give it its identity. `data` is the JSON of the event's data.

    Raises `invalidEvent` (envelope), `invalidData`, `timeInFuture` or `timeTooOld` (rule M2).
    """
    if specversion != "1.0":
        raise TallystickError("invalidEvent", "specversion must be 1.0.", field="specversion")
    _check_identifier(source_id, "id")
    _check_identifier(source, "source")
    if source in _OURS:
        raise TallystickError("invalidEvent", f"{source} is no source for others.", field="source")
    if not type_:
        raise TallystickError("invalidEvent", "type must not be empty.", field="type")
    facts, canonical = read_data(data)
    if facts.status is not None and facts.status not in ("success", "error", ""):
        raise TallystickError("invalidData", "status must be success or error.", field="status")
    named = subject or ""
    return UsageEvent(
        source,
        source_id,
        type_,
        named,
        check_time(time, now, window),
        canonical.decode(),
        event_hash(type_, named, canonical),
        facts,
    )


def event_hash(type_: str, subject: str, canonical: bytes) -> bytes:
    """16 bytes over what makes two reports of one identity the same: type, subject and canonical data."""
    return blake2b(b"\0".join((type_.encode(), subject.encode(), canonical)), digest_size=16).digest()


def read_data(data: bytes) -> tuple[EventData, bytes]:
    """The typed facts of an event's data, and its canonical JSON: keys sorted, numbers in one form. `invalidData`."""
    # Most data holds nothing but names and counts that we know: then the facts say all of it, and it is read once.
    # A null is kept as it was sent, and a fraction has many spellings: those go the long way, as does what is unknown.
    if b"null" not in data:
        try:
            known = _plain.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if _many_spellings(known) == _NONE_OF_THEM:
                return known, _checked(_encode_sorted(known))
    return _read_data_whole(data)


def _read_data_whole(data: bytes) -> tuple[EventData, bytes]:
    try:
        facts = _typed.decode(data)
        plain = _generic.decode(data)
        canonical = _encode(plain)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TallystickError("invalidData", f"data is not as it should be: {_short(error)}") from None
    _checked(canonical)
    for name in ("quantity", "cost", "toolRuns", "epochs"):
        given = plain.get(name)
        if type(given) is str and not is_decimal(given):
            raise TallystickError("invalidData", f"{name} must be a number or a decimal string.", field=name)
    return facts, canonical


def _checked(canonical: bytes) -> bytes:
    # The plain search first: it costs a hundredth of the exact one.
    if b"\\u0000" in canonical and _NUL.search(canonical):
        raise TallystickError("invalidData", "data must not contain NUL characters.")
    return canonical


def check_time(time: dt.datetime | None, now: dt.datetime, window: Window) -> dt.datetime:
    """The event's time in UTC; `now` when it gives none. Raises `timeInFuture` or `timeTooOld` (rule M2)."""
    if time is None:
        return now
    if time.tzinfo is None:
        time = time.replace(tzinfo=dt.UTC)
    if time > now + window.ahead:
        raise TallystickError("timeInFuture", "The event's time lies too far ahead.", time=time.isoformat())
    if time < (_UNIX_EPOCH if window.oldest is None else now - window.oldest):
        raise TallystickError("timeTooOld", "The event's time lies too far back.", time=time.isoformat())
    return time.astimezone(dt.UTC)


def quantity_of(facts: EventData) -> int | Decimal:
    """The event's quantity, 1 by default, as an int where it is whole; of training data the tokens times the epochs.

    Raises `invalidQuantity`.
    """
    quantity = facts.quantity
    if quantity is None:
        if facts.training_tokens is None:
            return 1
        quantity = facts.training_tokens * (Decimal(1) if facts.epochs is None else facts.epochs)
    if not quantity.is_finite() or quantity < 0 or quantity > QUANTITY_MAX:
        raise TallystickError("invalidQuantity", f"quantity must lie between 0 and {QUANTITY_MAX:f}.")
    if quantity != round(quantity, 9):
        raise TallystickError("invalidQuantity", "quantity has at most nine decimals.")
    whole = int(quantity)
    return whole if whole == quantity else quantity


def decode_base64(text: str) -> bytes:
    """The bytes of `data_base64`. Raises `invalidData`."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise TallystickError("invalidData", "data_base64 is not base64.") from None


def _check_identifier(text: str, field: str) -> None:
    if not text or len(text) > LONGEST_ID_BYTES or (not text.isprintable() and has_control_characters(text)):
        raise TallystickError("invalidEvent", f"{field} must be 1 to {LONGEST_ID_BYTES} bytes of text.", field=field)
    if not text.isascii() and len(text.encode()) > LONGEST_ID_BYTES:
        raise TallystickError("invalidEvent", f"{field} must be 1 to {LONGEST_ID_BYTES} bytes of text.", field=field)


def _short(error: Exception) -> str:
    return str(error)[:200] or "it nests too deeply"
