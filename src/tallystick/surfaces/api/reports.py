"""Usage events as they arrive: compressed or not, one or many, CloudEvents in any of their JSON modes."""

import datetime as dt
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import msgspec
import zstandard

from tallystick.domain.metering.events import UsageEvent, Window, decode_base64, read_event
from tallystick.kernel.errors import TallystickError
from tallystick.wire.events import CloudEvent

ONE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"
ACCEPTED: Final = (BATCH, ONE, JSON, NDJSON)

_one = msgspec.json.Decoder(CloudEvent)
_many = msgspec.json.Decoder(list[CloudEvent])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()
_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class ReportLimits:
    """How many events and bytes (after decompression) one request may hold, and how large one event's data may be."""

    events: int
    body_bytes: int
    event_bytes: int
    window: Window


@dataclass(slots=True)
class Malformed:
    """An event that could not be read: its id where one could be made out, and why."""

    id: str | None
    error: TallystickError


Report = UsageEvent | Malformed
Decoded = CloudEvent | Malformed


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """The body as it was before compression. Raises `invalidEncoding`, and `bodyTooLarge` past `most` bytes."""
    if encoding in ("", "identity"):
        return body
    try:
        if encoding in ("gzip", "x-gzip"):
            return _gunzip(body, most)
        if encoding == "zstd":
            return _unzstd(body, most)
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise TallystickError("invalidEncoding", f"The body is not {encoding}.") from None
    raise TallystickError("invalidEncoding", "Content-Encoding must be gzip, zstd or identity.", value=encoding[:32])


def _gunzip(body: bytes, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while body:
        inflate = zlib.decompressobj(wbits=31)
        while not inflate.eof:
            piece = inflate.decompress(body, most - size + 1)
            size += len(piece)
            if size > most:
                raise _too_large(most)
            pieces.append(piece)
            body = inflate.unconsumed_tail
            if not piece and not body and not inflate.eof:
                raise EOFError
        body = inflate.unused_data
    return b"".join(pieces)


def _unzstd(body: bytes, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body, read_across_frames=True) as reader:
        while piece := reader.read(_CHUNK):
            size += len(piece)
            if size > most:
                raise _too_large(most)
            pieces.append(piece)
    return b"".join(pieces)


def _too_large(most: int) -> TallystickError:
    return TallystickError("bodyTooLarge", f"The body has more than {most} bytes.", limit=most)


def check_reports(
    decoded: list[Decoded], now: Callable[[str | None], dt.datetime], limits: ReportLimits
) -> list[Report]:
    """What was decoded as usage events, in its order; `now` is what time it is for the workspace that a subject names.

    One that can't be read stands in its place as `Malformed`.
    """
    return [one if isinstance(one, Malformed) else _read(one, now(one.subject), limits) for one in decoded]


def decode_reports(body: bytes, content_type: str, headers: Mapping[str, str], limits: ReportLimits) -> list[Decoded]:
    """Every event of a body as it was sent.

    Raises `malformedJson` for a body that is no JSON at all, `tooManyEvents`, and `unsupportedMediaType`.
    """
    if "ce-specversion" in headers:
        return [_binary(body, headers)]
    if content_type == NDJSON:
        lines = [line for line in body.splitlines() if line.strip()]
        _check_count(len(lines), limits)
        return [_decode_raw(line) for line in lines]
    if content_type not in (ONE, BATCH, JSON, ""):
        raise TallystickError(
            "unsupportedMediaType", "The body's content type is none of those accepted.", accepted=list(ACCEPTED)
        )
    if body.lstrip()[:1] != b"[":
        _check_json(body)
        return [_decode_raw(body)]
    return _decode_many(body, limits)


def read_events(events: list[CloudEvent], now: dt.datetime, limits: ReportLimits) -> list[Report]:
    """The same of events that stand within another body. Raises `tooManyEvents`."""
    _check_count(len(events), limits)
    return [_read(event, now, limits) for event in events]


def _decode_many(body: bytes, limits: ReportLimits) -> list[Decoded]:
    events: list[Decoded]
    try:
        events = list(_many.decode(body))
    except (msgspec.ValidationError, UnicodeDecodeError):
        # Some are not as they should be: the good ones are kept, so each is read by itself.
        events = [_decode_raw(raw) for raw in _split(body)]
    except (msgspec.DecodeError, RecursionError):
        raise _malformed() from None
    _check_count(len(events), limits)
    return events


def _split(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _raw_list.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _malformed() from None


def _check_json(body: bytes) -> None:
    try:
        _anything.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _malformed() from None


def _malformed() -> TallystickError:
    return TallystickError("malformedJson", "The body is not JSON in UTF-8.")


def _check_count(count: int, limits: ReportLimits) -> None:
    if count > limits.events:
        raise TallystickError(
            "tooManyEvents", f"One request holds at most {limits.events} events.", limit=limits.events, found=count
        )


def _decode_raw(raw: bytes) -> Decoded:
    try:
        return _one.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = str(error)[:200] or "It nests too deeply."
        return Malformed(_id_in(raw), TallystickError("invalidEvent", f"Not a CloudEvent: {message}"))


def _id_in(raw: bytes) -> str | None:
    try:
        value = _anything.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found[:256] if isinstance(found, str) else None


def _read(event: CloudEvent, now: dt.datetime, limits: ReportLimits) -> Report:
    try:
        data = bytes(event.data) if event.data_base64 is None else decode_base64(event.data_base64)
        if len(data) > limits.event_bytes:
            raise TallystickError("eventTooLarge", f"An event's data has at most {limits.event_bytes} bytes.")
        return read_event(
            specversion=event.specversion,
            source=event.source,
            source_id=event.id,
            type_=event.type,
            subject=event.subject,
            time=event.time,
            data=b"{}" if data == b"null" else data,
            now=now,
            window=limits.window,
        )
    except TallystickError as error:
        return Malformed(event.id[:256], error)


def _binary(body: bytes, headers: Mapping[str, str]) -> CloudEvent:
    """CloudEvents' binary mode: the envelope in headers, percent-encoded where not ASCII, the data as the body."""
    envelope = {name: unquote(headers[f"ce-{name}"]) for name in _ENVELOPE if f"ce-{name}" in headers}
    try:
        event = msgspec.convert(envelope, CloudEvent, strict=False)
    except msgspec.ValidationError as error:
        raise TallystickError("invalidEvent", f"Not a CloudEvent: {error}") from None
    event.data = msgspec.Raw(body or b"{}")
    return event


_ENVELOPE: Final = ("specversion", "id", "source", "type", "subject", "time")
