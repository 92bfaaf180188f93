"""`tally billing subscription …`: what changes the subscription."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.operator import IdempotencyKey, Reason, choice

if TYPE_CHECKING:
    from tallystick.client.replies import Call

Plan = Annotated[str | None, typer.Option("--plan", help="free, pro, enterprise, or another key.")]
CreditsCount = Annotated[str | None, typer.Option("--credits-count", help="Credits that the plan includes.")]
Cadence = Annotated[str | None, typer.Option("--cadence", help="monthly, quarterly, semi_annual or annual.")]


def change(
    plan: Plan = None,
    credits_count: CreditsCount = None,
    cadence: Cadence = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what it would cost today.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Change the plan: an upgrade at once with proration, a downgrade with the period's end.

    \b
    Examples:
      tally billing subscription change --plan pro --preview
      tally billing subscription change --plan pro --cadence annual
    """
    from tallystick.client import plans

    if preview:
        return plans.preview_plan(plan=plan, credits_count=credits_count, cadence=cadence)
    return plans.change_plan(plan=plan, credits_count=credits_count, cadence=cadence, idempotency_key=idempotency_key)


def keep(idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """Take back a downgrade or the end that was to come with the period's end.

    \b
    Example:
      tally billing subscription keep
    """
    from tallystick.client import plans

    return plans.revoke_change(idempotency_key=idempotency_key)


def cancel(idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """End the subscription with its period; from then on the workspace is on Free.

    \b
    Example:
      tally billing subscription cancel
    """
    from tallystick.client import plans

    return plans.cancel_subscription(idempotency_key=idempotency_key)


def start_trial(
    plan: Annotated[str, typer.Option("--plan", help="Which plan to try.")] = "pro",
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Try a plan; a workspace has one trial.

    \b
    Example:
      tally billing subscription start-trial
    """
    from tallystick.client import plans

    return plans.start_trial(plan=plan, idempotency_key=idempotency_key)


def set_overage(
    cap: Annotated[
        str | None, typer.Option("--cap", help="Credits beyond the balance in a period, or plan: as the plan has.")
    ] = None,
    action: Annotated[str | None, typer.Option("--action", help="On Enterprise: allow or deny.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Say how far work goes on beyond the credits; that is invoiced with the period's end.

    \b
    Examples:
      tally billing subscription set-overage --cap 5000
      tally billing subscription set-overage --action deny
    """
    from tallystick.client import plans

    if (cap is None) == (action is None):
        raise typer.BadParameter("Give --cap or --action.")
    if action is not None:
        chosen = choice(action, ("allow", "deny"), "--action")
        return plans.put_overage_behaviors(chosen, idempotency_key=idempotency_key)
    return plans.put_overage_cap(None if cap == "plan" else cap, idempotency_key=idempotency_key)


def pause(reason: Reason, idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """For operators: refuse new work until it is resumed.

    \b
    Example:
      tally billing subscription pause --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --reason "abuse"
    """
    from tallystick.client import plans

    return plans.pause_subscription(reason=reason, idempotency_key=idempotency_key)


def resume(reason: Reason, idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """For operators: end a pause at once, also that of a trial which ended unpaid.

    \b
    Example:
      tally billing subscription resume --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --reason "cleared up"
    """
    from tallystick.client import plans

    return plans.resume_subscription(reason=reason, idempotency_key=idempotency_key)


def add_commands(app: typer.Typer) -> None:
    """Give `tally billing subscription` these commands."""
    client_command(app, "change")(change)
    client_command(app, "keep")(keep)
    client_command(app, "cancel")(cancel)
    client_command(app, "start-trial")(start_trial)
    client_command(app, "set-overage")(set_overage)
    client_command(app, "pause", as_operator=True)(pause)
    client_command(app, "resume", as_operator=True)(resume)
