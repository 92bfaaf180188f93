"""From what went wrong to an object on stdout and an exit status."""

import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

FAILED: Final = 1
NOT_ENOUGH: Final = 3
UNREACHABLE: Final = 4

_PAYMENT_REQUIRED: Final = 402


def tell(error: Exception) -> int:
    """Print the error and say how the process ends. An error that nobody foresaw keeps its traceback, on stderr."""
    from tallystick.client.errors import ApiError, ServerUnreachableError
    from tallystick.kernel.errors import TallystickError

    if isinstance(error, ApiError):
        _print_answer(error)
        return NOT_ENOUGH if error.status == _PAYMENT_REQUIRED else FAILED
    if isinstance(error, ServerUnreachableError):
        print_error(str(error), "serverUnreachable", {"baseUrl": error.base_url})
        return UNREACHABLE
    if isinstance(error, TallystickError):
        print_error(error.message, error.code, error.details)
        return FAILED
    if isinstance(error, OSError) and error.filename is not None:
        print_error(f"{error.filename}: {error.strerror}.", "fileError", {"path": str(error.filename)})
        return FAILED
    import traceback

    traceback.print_exception(error, file=sys.stderr)
    print_error(f"{type(error).__name__}: {error}", "internalError", {})
    return FAILED


def print_error(message: str, reason: str, details: Mapping[str, Any]) -> None:
    """The error object that HTTP has too."""
    shown = {"errorMessage": message, "reason": reason, "details": dict(details)}
    sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _print_answer(error: Any) -> None:
    """The server's own object, digit by digit; something else that answered is told in our shape."""
    if error.body.lstrip().startswith(b'{"errorMessage"'):
        from tallystick.cli.output import print_json

        print_json(error.body)
        return
    print_error(error.error_message, error.reason or "unexpectedAnswer", {**error.details, "status": error.status})


def _plain(value: object) -> Any:
    return str(value) if isinstance(value, Decimal) else repr(value)
