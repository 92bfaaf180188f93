"""Amounts on the wire: JSON numbers with every digit of the integer, both ways, never through a float."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec

from tallystick.kernel.credits import NANO, format_credits, parse_credits
from tallystick.kernel.errors import TallystickError

T = TypeVar("T")


class Credits:
    """An amount of credits or tool runs, held in nano-units; on the wire a number such as `0.01` or `75`.

    Use it as the type of a field of a wire struct. No dataclass on purpose: msgspec would write one as an object.
    """

    __slots__ = ("nano",)

    def __init__(self, nano: int) -> None:
        self.nano = nano

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credits) and other.nano == self.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __repr__(self) -> str:
        return f"Credits({format_credits(self.nano)})"


def encode(value: object) -> bytes:
    """JSON of wire structs, dicts and lists; `Credits` and decimals become numbers with all their digits."""
    return _ENCODER.encode(value)


def request_decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    """Decodes a request. An amount that is no decimal with at most nine places raises `invalidAmount`."""
    return msgspec.json.Decoder(shape, dec_hook=_read_requested, float_hook=_exact)


def answer_decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    """Decodes an answer of the server, whose sums may be larger than any amount that a request may name."""
    return msgspec.json.Decoder(shape, dec_hook=_read_answered, float_hook=_exact)


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON schema of a type that msgspec does not know by itself, for `msgspec.json.schema_components`."""
    if kind is Credits:
        return {
            "description": "A decimal with at most nine places; a request may give a number or a string.",
            "anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]{1,9}(\.[0-9]{1,9})?$"}],
        }
    raise NotImplementedError(kind)


def _write(value: object) -> Any:
    if isinstance(value, Credits):
        return msgspec.Raw(format_credits(value.nano).encode())
    raise NotImplementedError(f"{type(value).__name__} has no form on the wire")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_write, decimal_format="number")


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise TallystickError("invalidAmount", "A number is outside every range.", value=text[:64]) from None


def _read_requested(kind: type, value: object) -> Any:
    if kind is not Credits:
        raise NotImplementedError(kind)
    return Credits(parse_credits(value, signed=True))


def _read_answered(kind: type, value: object) -> Any:
    if kind is not Credits:
        raise NotImplementedError(kind)
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("an amount is a number")
    nano = Decimal(value) * NANO
    if nano != nano.to_integral_value():
        raise ValueError("an amount has at most nine decimals")
    return Credits(int(nano))
