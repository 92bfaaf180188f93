"""Objects as Stripe shows them, made of what localstripe knows and of what the front knows better."""

import copy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Json = dict[str, Any]

AUTHENTICATED_ENDINGS = frozenset({"3155", "3184", "3178", "3220", "3063", "1629"})
"""Of the test cards that localstripe asks to be authenticated."""


class Problem(Exception):  # noqa: N818
    """An error answer. `is_kept`: the endpoint had begun, so that its idempotency key keeps the answer."""

    def __init__(self, status: int, *, is_kept: bool = True, **error: Any) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.is_kept = is_kept
        self.error = {"type": "invalid_request_error", **error}


@dataclass
class Kept:
    """What an idempotency key stands for; `answer` is None while the first request runs."""

    asked: str
    answer: tuple[int, Json] | None = None


@dataclass
class Fault:
    """Something that goes wrong once, with the next POST whose path has `on` in it.

    `before`: no answer, nothing done. `lost`: done, and no answer. `error`: 500 before anything begins. `kept_error`:
    500 which the key keeps, nothing done. `done_error`: 500 which the key keeps, though it was done. `limited`: 429.
    `running`: 409, as if the same key ran elsewhere.
    """

    kind: str
    on: str = "/v1/payment_intents"


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    key: str | None
    version: str | None
    params: Json
    replayed: bool = False


@dataclass
class Books:
    """What really happened: every charge that took money, every refund that gave some back."""

    charges: list[Json] = field(default_factory=list)
    refunds: list[Json] = field(default_factory=list)

    @property
    def taken(self) -> list[int]:
        return [charge["amount"] for charge in self.charges]

    @property
    def given_back(self) -> int:
        return sum(refund["amount"] for refund in self.refunds)


def nested(query: str) -> Json:
    """`a[b][0][c]=d` as nested dicts and lists."""
    made: Json = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        *path, last = name.replace("]", "").split("[")
        at = made
        for step in path:
            at = at.setdefault(step, {})
        at[last] = value
    listed = _with_lists(made)
    assert isinstance(listed, dict)
    return listed


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(name.isdigit() for name in value):
        return [_with_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _with_lists(member) for name, member in value.items()}


def flag(params: Json, name: str) -> bool:
    return str(params.get(name, "false")).lower() == "true"


def card_error(code: str, decline_code: str | None, message: str, method: Json | None) -> Json:
    error: Json = {"type": "card_error", "code": code, "message": message}
    if decline_code:
        error["decline_code"] = decline_code
    if method:
        error["payment_method"] = copy.deepcopy(method)
    return error


def listing(url: str, data: list[Json]) -> Json:
    return {"object": "list", "url": url, "has_more": False, "data": data}
