"""Calls to Stripe: the key of each, and what goes wrong: what is not known, what was refused for good, what the
operator has to mend."""

import re
from collections.abc import Awaitable, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec
import stripe
import structlog

from tallystick.kernel.errors import TallystickError

_LOG: Final = structlog.get_logger("tallystick.stripe")

_LONGEST_KEY: Final = 255
_ID: Final = re.compile(r"[a-z]{2,10}_[A-Za-z0-9_]{1,200}")


def options(*key: str) -> stripe.RequestOptions:
    """Those of a call that changes something: its idempotency key, joined of these parts."""
    joined = ":".join(key)
    return {"idempotency_key": joined if len(joined) <= _LONGEST_KEY else sha256(joined.encode()).hexdigest()}


def digest(parameters: Mapping[str, Any]) -> str:
    """A short text that differs where parameters do."""
    return sha256(msgspec.json.encode(parameters, order="deterministic")).hexdigest()[:16]


def is_id(text: str) -> bool:
    """Whether this may be an id of Stripe's: what a caller gives becomes part of an address."""
    return _ID.fullmatch(text) is not None


class Refused(Exception):  # noqa: N818 - an answer more than an error
    """Stripe understood and said no. `error` is the object it said it with."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("code") or error.get("type") or "refused"))
        self.error = error

    @property
    def code(self) -> str:
        return str(self)


class KeyTaken(Exception):  # noqa: N818 - an answer more than an error
    """The idempotency key was used with other parameters: something was asked for under it before."""


async def ask(operation: str, call: Awaitable[stripe.StripeObject]) -> dict[str, Any]:
    """The answer to a call as plain data.

    Raises `Refused`, `KeyTaken`, `paymentProviderUnavailable` where it can't be known whether something was done, and
    `paymentProviderMisconfigured` where the key is wrong or may not do this. The log has the operation, the status and
    the request's id; messages of Stripe may hold parts of keys and are not written down.
    """
    try:
        answer = await call
    except stripe.IdempotencyError as error:
        raise KeyTaken(operation) from error
    except (stripe.CardError, stripe.InvalidRequestError) as error:
        raise Refused(_told(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        _write("stripe refused our key", operation, error)
        raise misconfigured() from None
    except stripe.StripeError as error:
        _write("stripe not available", operation, error)
        raise unavailable() from error
    return answer.to_dict()


def unavailable() -> TallystickError:
    """Nobody knows whether it was done: to be asked again."""
    return TallystickError(
        "paymentProviderUnavailable", "The payment provider does not answer; it is asked again by itself."
    )


def misconfigured(code: str = "unauthorized") -> TallystickError:
    """It was not done, and asking again does not help before the operator has mended the settings."""
    return TallystickError(
        "paymentProviderMisconfigured",
        "Payments are not set up properly; the operator has to see to it.",
        providerCode=code,
    )


def _told(error: stripe.StripeError) -> Mapping[str, Any]:
    body = error.json_body
    told = body.get("error") if isinstance(body, Mapping) else None
    return told if isinstance(told, Mapping) else {"code": error.code}


def _write(what: str, operation: str, error: stripe.StripeError) -> None:
    _LOG.warning(
        what, operation=operation, kind=type(error).__name__, status=error.http_status, request_id=error.request_id
    )
