"""Calls about fine-tuning jobs."""

from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.calls import Amount
from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire import fine_tuning as wire
from tallystick.wire.amounts import Credits, answer_decoder, encode

T = TypeVar("T")

_AT: Final = "/v1/fine-tuning-jobs"


def create_fine_tuning_job(
    base_model: str,
    training_tokens: int,
    *,
    epochs: Amount = 1,
    model: str | None = None,
    parameters: int | None = None,
    complexity: wire.Complexity | None = None,
    profile: str | None = None,
    seconds: Amount = 0,
    idempotency_key: str | None = None,
) -> Call[wire.FineTuningJobAnswer]:
    """Begin a job; what it will cost is set aside. Refused with 402.

    `training_tokens` are those of the data, once through; either `parameters`, how many the base model has, or its
    `complexity`. `seconds` is how long the hardware of `profile` will take. Raises `TallystickError` `invalidAmount`.
    """
    body = _body(base_model, training_tokens, epochs, model, parameters, complexity, profile, seconds)
    return _call("POST", _AT, wire.FineTuningJobAnswer, body, idempotency_key)


def preview_fine_tuning_job(
    base_model: str,
    training_tokens: int,
    *,
    epochs: Amount = 1,
    parameters: int | None = None,
    complexity: wire.Complexity | None = None,
    profile: str | None = None,
    seconds: Amount = 0,
) -> Call[wire.FineTuningPreview]:
    """What such a job would cost, and whether it might begin now; nothing is begun.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = _body(base_model, training_tokens, epochs, None, parameters, complexity, profile, seconds)
    return _call("POST", _AT, wire.FineTuningPreview, body, query={"preview": "true"})


def report_fine_tuning_job(
    uuid: UUID | str,
    status: wire.End,
    *,
    training_tokens: int,
    epochs: Amount,
    seconds: Amount = 0,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Call[wire.FineTuningJobAnswer]:
    """End a job with what it really took, which is charged. Raises `TallystickError` with the code `invalidAmount`."""
    body = wire.ReportFineTuningJob(
        status=status,
        training_tokens=training_tokens,
        epochs=_number(epochs, "epochs"),
        seconds=_number(seconds, "seconds"),
        reason=reason,
    )
    return _call("POST", f"{_path(uuid)}/report", wire.FineTuningJobAnswer, body, idempotency_key)


def fine_tuning_job(uuid: UUID | str) -> Call[wire.FineTuningJobAnswer]:
    """One job."""
    return _call("GET", _path(uuid), wire.FineTuningJobAnswer)


def fine_tuning_jobs(
    *, status: wire.Status | None = None, limit: int | None = None, offset: int | None = None
) -> Call[wire.FineTuningJobsAnswer]:
    """A page of the workspace's jobs, newest first."""
    query = {"status": status, "limit": limit, "offset": offset}
    given = {name: str(value) for name, value in query.items() if value is not None}
    return _call("GET", _AT, wire.FineTuningJobsAnswer, query=given)


def _body(
    base_model: str,
    training_tokens: int,
    epochs: Amount,
    model: str | None,
    parameters: int | None,
    complexity: wire.Complexity | None,
    profile: str | None,
    seconds: Amount,
) -> wire.CreateFineTuningJob:
    return wire.CreateFineTuningJob(
        base_model=base_model,
        training_tokens=training_tokens,
        epochs=_number(epochs, "epochs"),
        model=model,
        parameters=parameters,
        complexity=complexity,
        profile=profile,
        seconds=_number(seconds, "seconds"),
    )


def _number(value: Amount, field: str) -> Credits:
    return Credits(parse_credits(value, field=field))


def _path(uuid: UUID | str) -> str:
    return f"{_AT}/{quote(str(uuid), safe='')}"


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _call(
    method: str,
    path: str,
    shape: type[T],
    body: object = None,
    idempotency_key: str | None = None,
    query: dict[str, str] | None = None,
) -> Call[T]:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    decoder = _decoder(cast(Any, shape))
    if body is None:
        return Call(method, path, decoder, headers=headers, query=query or {})
    content = headers | {"content-type": "application/json"}
    return Call(method, path, decoder, body=encode(body), headers=content, query=query or {})
