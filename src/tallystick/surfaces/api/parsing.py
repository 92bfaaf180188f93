"""From bytes to wire structs: every way in which a request can be wrong has a name here, and none is a crash."""

import json
from collections.abc import Collection, Mapping, MutableMapping
from functools import cache
from typing import Any, Final, get_args, get_origin
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import UUID

import msgspec
from litestar import Request

from tallystick.domain.texts import as_uuid, has_control_characters
from tallystick.kernel.errors import TallystickError
from tallystick.wire.amounts import request_decoder

_MOST_PARAMETERS: Final = 1000


async def read_body(request: Request[Any, Any, Any], largest: int) -> bytes:
    """The body as it arrived. Raises `bodyTooLarge` as soon as it is known to be, and `clientGone`."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > largest:
        raise _too_large(largest)
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        message: Mapping[str, Any] = await request.receive()
        if message["type"] == "http.disconnect":
            raise TallystickError("clientGone", "The caller went away before all of the body came.")
        piece = message.get("body", b"")
        size += len(piece)
        if size > largest:
            raise _too_large(largest)
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)


def check_content_type(request: Request[Any, Any, Any], consumes: Collection[str]) -> None:
    """Raises `unsupportedMediaType` unless the type is absent, listed, or another spelling of JSON where that is."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = given.startswith("application/") and given.endswith("+json") and "application/json" in consumes
    if given and given not in consumes and not is_json:
        raise TallystickError(
            "unsupportedMediaType", "The body's content type is none of those accepted.", accepted=sorted(consumes)
        )


def decode_body(raw: bytes, shape: type) -> Any:
    """The wire struct of a JSON body.

    Raises `malformedJson` when it is no JSON, `invalidAmount` for NaN, infinities and what else is no amount,
    `invalidText` for a NUL character anywhere, and `invalidRequest`, which names the place, for a wrong shape.
    """
    try:
        if not raw.isascii():
            raw.decode()  # the decoder skips members that it does not know, whatever bytes they hold
        value = _decoder(shape).decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(raw, error) from None
    except RecursionError:
        raise TallystickError("malformedJson", "The body is nested too deeply.") from None
    # PostgreSQL stores no NUL in a text; the search in the raw bytes keeps the walk for those who try.
    if b"\\u0000" in raw and _holds_nul(msgspec.json.decode(raw)):
        raise TallystickError("invalidText", "The body holds a NUL character.")
    return value


def decode_query(query_string: bytes, shape: type) -> Any:
    """The wire struct of a query string; parameters that it does not have are ignored, empty ones are absent.

    A list is given as `key[]=a&key[]=b`; a plain `key=a` is taken as well. Raises `invalidRequest` and `invalidText`.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise TallystickError("invalidRequest", "The query string is not UTF-8, or has too many parts.") from None
    lists = _list_fields(shape)
    values: dict[str, Any] = {}
    for given, text in pairs:
        name = given.removesuffix("[]")
        if name not in lists or text == "":
            continue
        if has_control_characters(text):
            raise TallystickError("invalidText", f"{name} must not contain control characters.", field=name)
        if lists[name]:
            values.setdefault(name, []).append(text)
        else:
            values[name] = text
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


def decode_part(name: str, text: str, kind: type) -> Any:
    """A part of the path, as text or as a UUID. Raises `invalidUuid` or `invalidText`."""
    if kind is UUID:
        value = as_uuid(text)
        if value is None:
            raise TallystickError("invalidUuid", f"{name} in the path must be a UUID.", field=name)
        return value
    if has_control_characters(text):
        raise TallystickError("invalidText", f"{name} in the path must not contain control characters.", field=name)
    return text


def keep_encoded_slashes(scope: MutableMapping[str, Any]) -> None:
    """Let a slash that was sent as `%2F` stay inside its part of the path: a name may hold one, a route may not."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2F" in raw or b"%2f" in raw:
        parts = (unquote_to_bytes(part).decode(errors="replace") for part in raw.split(b"/"))
        scope["path"] = "/".join(part.replace("/", "%2F") for part in parts)


def decode_rest(name: str, raw: bytes) -> str:
    """The end of a path as it was sent, percent signs decoded. Raises `invalidText` when it is not UTF-8."""
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise TallystickError("invalidText", f"{name} in the path must be UTF-8.", field=name) from None


@cache
def _decoder(shape: type) -> msgspec.json.Decoder[Any]:
    return request_decoder(shape)


@cache
def _list_fields(shape: type) -> Mapping[str, bool]:
    """The parameters of a query struct by their name on the wire, and whether each is a list."""
    return {field.encode_name: _is_list(field.type) for field in msgspec.structs.fields(shape)}


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple) or any(get_origin(member) in (list, tuple) for member in get_args(kind))


def _invalid(message: str) -> TallystickError:
    what, _, place = message.partition(" - at ")
    path = place.strip("`").removeprefix("$").removeprefix(".")
    return TallystickError("invalidRequest", f"{what}{f' in {path}' if path else ''}.", path=path)


def _malformed(raw: bytes, error: Exception) -> TallystickError:
    """NaN and Infinity are no JSON, but whoever writes them means an amount: the code says so."""
    constants: list[str] = []
    try:
        json.loads(raw.decode(), parse_constant=constants.append)
    except (ValueError, RecursionError):
        constants.clear()
    if constants:
        return TallystickError("invalidAmount", "NaN and Infinity are not numbers in JSON.", found=constants[0])
    return TallystickError("malformedJson", "The body is not JSON in UTF-8.", position=str(error)[:200])


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(member) for pair in value.items() for member in pair)
    return isinstance(value, list) and any(_holds_nul(member) for member in value)


def _too_large(largest: int) -> TallystickError:
    return TallystickError("bodyTooLarge", f"The body has more than {largest} bytes.", limit=largest)
