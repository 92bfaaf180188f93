"""The one error that the layers below the surfaces raise: a code of the public error list, a sentence and details."""

from collections.abc import Mapping
from typing import Any


class TallystickError(Exception):
    """`code` is the camelCase reason that every surface shows; `details` name the blocking thing and the figures."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Mapping[str, Any] = details

    def __repr__(self) -> str:
        return f"TallystickError({self.code!r}, {self.message!r}, {self.details!r})"
