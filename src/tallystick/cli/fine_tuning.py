"""`tally fine-tuning`: jobs that make a language model of another, what they cost and how they ended."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

fine_tuning_app = new_app("Fine-tuning jobs: what one would cost, begin, report how it ended.")

_COLUMNS: Final = ("uuid", "model", "base model", "status", "estimate", "credits", "created")
_FIELDS: Final = ("uuid", "model", "baseModel", "status", "estimate", "credits", "createdAt")


def _job_rows(answer: Any) -> list[list[object]]:
    return [[job[name] for name in _FIELDS] for job in answer.get("jobs", [answer.get("job")])]


def _preview_rows(answer: Any) -> list[list[object]]:
    parts = [[part["type"], part["quantity"], part["price"], part["credits"]] for part in answer["parts"]]
    return [*parts, ["total", "", "may begin" if answer["allowed"] else answer["message"], answer["credits"]]]


_JOBS: Final = Table(_COLUMNS, _job_rows)
_PREVIEW: Final = Table(("part", "quantity", "price", "credits"), _preview_rows)

Uuid = Annotated[str, typer.Argument(help="The job's UUID, from `tally fine-tuning list`.")]
BaseModel = Annotated[str, typer.Option("--base-model", help="The model that is trained on.")]
TrainingTokens = Annotated[int, typer.Option("--training-tokens", min=0, help="Tokens of the data, once through.")]
Epochs = Annotated[str, typer.Option("--epochs", help="How often the data is gone through; may have a fraction.")]
Parameters = Annotated[
    int | None, typer.Option("--parameters", min=1, help="How many the base model has; says its complexity.")
]
Complexity = Annotated[str | None, typer.Option("--complexity", help="small, medium or large, in place of that.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Hardware profile, where hardware is paid for here.")]
Seconds = Annotated[str, typer.Option("--seconds", help="Seconds of that hardware, all machines together.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeating a command with the same key changes nothing more.")
]


@client_command(fine_tuning_app, "create", table=_JOBS)
def create_job(
    base_model: BaseModel,
    training_tokens: TrainingTokens,
    epochs: Epochs = "1",
    model: Annotated[str | None, typer.Option("--model", help="Key of the model it makes; else made up.")] = None,
    parameters: Parameters = None,
    complexity: Complexity = None,
    profile: Profile = None,
    seconds: Seconds = "0",
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Begin a job; what it will cost is set aside. The exit status is 3 when the credits don't allow it.

    \b
    Example:
      tally fine-tuning create --base-model llama-8b --model support --training-tokens 500000 --epochs 3 \\
        --parameters 8000000000 --profile gpu-l4 --seconds 1800
    """
    from tallystick.client import fine_tuning

    chosen: Any = complexity
    return fine_tuning.create_fine_tuning_job(
        base_model,
        training_tokens,
        epochs=epochs,
        model=model,
        parameters=parameters,
        complexity=chosen,
        profile=profile,
        seconds=seconds,
        idempotency_key=idempotency_key,
    )


@client_command(fine_tuning_app, "preview", table=_PREVIEW)
def preview_job(
    base_model: BaseModel,
    training_tokens: TrainingTokens,
    epochs: Epochs = "1",
    parameters: Parameters = None,
    complexity: Complexity = None,
    profile: Profile = None,
    seconds: Seconds = "0",
) -> "Call[Any]":
    """Print what a job would cost, part by part, and whether it might begin; nothing is begun.

    \b
    Example:
      tally fine-tuning preview --base-model llama-8b --training-tokens 500000 --epochs 3 --complexity small
    """
    from tallystick.client import fine_tuning

    chosen: Any = complexity
    return fine_tuning.preview_fine_tuning_job(
        base_model,
        training_tokens,
        epochs=epochs,
        parameters=parameters,
        complexity=chosen,
        profile=profile,
        seconds=seconds,
    )


@client_command(fine_tuning_app, "report", table=_JOBS)
def report_job(
    uuid: Uuid,
    status: Annotated[str, typer.Option("--status", help="succeeded, failed or cancelled.")],
    training_tokens: TrainingTokens,
    epochs: Annotated[str, typer.Option("--epochs", help="How often the data was gone through.")],
    seconds: Seconds = "0",
    reason: Annotated[str, typer.Option("--reason", help="Why it failed or was cancelled.")] = "",
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """End a job with what it really took: that is charged, also where it failed. Twice the same changes nothing.

    \b
    Example:
      tally fine-tuning report 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --status succeeded --training-tokens 500000 \\
        --epochs 3 --seconds 1720
    """
    from tallystick.client import fine_tuning

    chosen: Any = status
    return fine_tuning.report_fine_tuning_job(
        uuid,
        chosen,
        training_tokens=training_tokens,
        epochs=epochs,
        seconds=seconds,
        reason=reason,
        idempotency_key=idempotency_key,
    )


@client_command(fine_tuning_app, "get", table=_JOBS)
def get_job(uuid: Uuid) -> "Call[Any]":
    """Print one job.

    \b
    Example:
      tally fine-tuning get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import fine_tuning

    return fine_tuning.fine_tuning_job(uuid)


@client_command(fine_tuning_app, "list", table=_JOBS)
def list_jobs(
    status: Annotated[str | None, typer.Option("--status", help="Only running, succeeded, failed, cancelled.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")] = None,
) -> "Call[Any]":
    """Print the jobs, newest first.

    \b
    Example:
      tally fine-tuning list --status running --format table
    """
    from tallystick.client import fine_tuning

    chosen: Any = status
    return fine_tuning.fine_tuning_jobs(status=chosen, limit=limit, offset=offset)
