"""Text that people and programs give us: how long it may be, and which characters no name or key may hold."""

import unicodedata
from typing import Final
from uuid import UUID

from tallystick.kernel.errors import TallystickError

LONGEST_KEY: Final = 200
LONGEST_NAME: Final = 200
LONGEST_DESCRIPTION: Final = 2000
_LONGEST_EMAIL: Final = 254


def check_text(value: str, *, field: str, longest: int = LONGEST_NAME, may_be_empty: bool = False) -> str:
    """`value` itself. Raises `invalidText` when it is empty, longer than `longest` characters, or unprintable."""
    if not value.strip() and not may_be_empty:
        raise _invalid(field, "must not be empty")
    if len(value) > longest:
        raise _invalid(field, f"must have at most {longest} characters")
    if has_control_characters(value):
        raise _invalid(field, "must not contain control characters or lone surrogates")
    return value


def check_key(value: str, *, field: str = "key") -> str:
    """`value` itself. Raises `invalidKey` unless it has 1 to 200 characters, none of them a control character."""
    if not value.strip() or len(value) > LONGEST_KEY or has_control_characters(value):
        raise TallystickError(
            "invalidKey",
            f"{field} must have 1 to {LONGEST_KEY} characters and no control characters.",
            field=field,
        )
    return value


def check_email(value: str) -> str:
    """The address in lower case. Raises `invalidText` unless it looks like one."""
    address = check_text(value.strip().lower(), field="email", longest=_LONGEST_EMAIL)
    local, at, host = address.rpartition("@")
    if not (local and at and host) or any(character.isspace() for character in address):
        raise _invalid("email", "must be an e-mail address")
    return address


def as_uuid(text: str) -> UUID | None:
    """The UUID that `text` spells in its usual form of 36 characters, else None."""
    if len(text) != 36:
        return None
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def has_control_characters(value: str) -> bool:
    """Whether `value` holds a control character, NUL among them, or a lone surrogate, which no database stores."""
    return not value.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in value)


def _invalid(field: str, what: str) -> TallystickError:
    return TallystickError("invalidText", f"{field} {what}.", field=field)
