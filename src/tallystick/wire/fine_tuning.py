"""Fine-tuning jobs on the wire."""

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Page, Wire

Complexity = Literal["small", "medium", "large"]
End = Literal["succeeded", "failed", "cancelled"]
Status = Literal["running", "succeeded", "failed", "cancelled"]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**14)]
Parameters = Annotated[int, msgspec.Meta(ge=1, le=10**15)]


class CreateFineTuningJob(Wire, forbid_unknown_fields=True):
    """A job to begin. `model` is the key or uuid of the model that it makes, made up where it is left out.

    Either `parameters`, how many the base model has, or its class of `complexity`: small to 10 billion, medium to
    40 billion, large above. `profile` is the hardware, left out where it is not paid for here; `seconds` how long that
    will take, all machines together. `epochs` may have a fraction.
    """

    base_model: Name
    training_tokens: Count
    epochs: Credits = msgspec.field(default_factory=lambda: Credits(10**9))
    model: Name | None = None
    parameters: Parameters | None = None
    complexity: Complexity | None = None
    profile: Name | None = None
    seconds: Credits = msgspec.field(default_factory=lambda: Credits(0))


class CreateFineTuningJobQuery(Wire):
    """With `preview` true nothing is begun: the answer is what it would cost, and whether it might begin."""

    preview: bool = False


class ReportFineTuningJob(Wire, forbid_unknown_fields=True):
    """How a job ended, and what it really took; that is charged, also where it failed."""

    status: End
    training_tokens: Count
    epochs: Credits
    seconds: Credits = msgspec.field(default_factory=lambda: Credits(0))
    reason: str = ""


class FineTuningWork(Wire):
    """`trainedTokens` are those of the data times `epochs`."""

    training_tokens: int
    epochs: Credits
    trained_tokens: Credits
    seconds: Credits


class FineTuningJob(Wire):
    """`asked` is the work as announced, `estimate` what that costs; `reported` and `credits` are null until it ended.

    `holdUuid` is the hold that sets the estimate aside; a job that outlasts it may extend it.
    """

    uuid: UUID
    base_model: str
    model: str
    model_uuid: UUID
    status: Status
    complexity: Complexity
    profile: str | None
    asked: FineTuningWork
    estimate: Credits
    hold_uuid: UUID | None
    reported: FineTuningWork | None
    credits: Credits | None
    reason: str
    created_at: dt.datetime
    finished_at: dt.datetime | None


class FineTuningJobAnswer(Wire):
    job: FineTuningJob


class FineTuningJobsQuery(Page):
    """Which jobs: of a status, or all."""

    status: Status | None = None


class FineTuningJobsAnswer(Wire):
    jobs: list[FineTuningJob]


class FineTuningPart(Wire):
    """One charge that the job will make: `quantity` is in tokens or seconds, `price` the target of the price version
    in force, null where nothing prices it yet."""

    type: str
    quantity: Credits
    credits: Credits
    price: str | None


class FineTuningPreview(Wire):
    """What a job would cost, and whether it might begin now; `reason`, `message` and `details` say why not."""

    credits: Credits
    complexity: Complexity
    parts: list[FineTuningPart]
    allowed: bool
    reason: str | None
    message: str
    details: dict[str, Any]
