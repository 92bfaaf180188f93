"""`tally billing`: usage metrics and the subscription."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli import banners, budgets, documents, estimates, holds, invoices, payments, purchases, subscriptions
from tallystick.cli.commands import client_command
from tallystick.cli.output import Table
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.client.replies import Call

billing_app = new_app("Usage metrics and the subscription of a workspace.")
usage_app = new_app("What was used, day by day.")
subscription_app = new_app("The plan, its period and its credits.")
billing_app.add_typer(usage_app, name="usage")
billing_app.add_typer(subscription_app, name="subscription")


def _usage_rows(answer: Any) -> list[list[object]]:
    rows: list[list[object]] = [
        [day["date"][:10], item["slug"], item["groupBy"], item["count"]]
        for day in answer["metrics"]
        for item in day["items"]
    ]
    return [*rows, ["total", "", "", answer["totalUsage"]]]


def _names_of_groups(given: "Mapping[str, Any]") -> "list[Call[Any]]":
    """The lists that name what the answer is grouped by."""
    from tallystick.client import calls

    lists = {
        "workflow_uuid": (calls.plays, calls.tools),
        "connector_uuid": (calls.connectors,),
        "model_uuid": (calls.models,),
        "agent_uuid": (calls.agents,),
    }
    return [call() for call in lists.get(given.get("group_by") or "", ())]


@client_command(usage_app, "get-metrics", table=Table(("day", "slug", "group", "count"), _usage_rows, _names_of_groups))
def get_metrics(
    from_: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First UTC day.")],
    to: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last UTC day, counted too.")],
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            help="workflow_uuid, connector_uuid, model_uuid, integration_slug, agent_uuid, user_uuid, "
            "language_model or category.",
        ),
    ] = None,
    workflow_uuid: Annotated[str | None, typer.Option("--workflow-uuid", help="Only this play or tool.")] = None,
    model_uuid: Annotated[str | None, typer.Option("--model-uuid", help="Only this model (data table).")] = None,
    connector_uuid: Annotated[str | None, typer.Option("--connector-uuid", help="Only this connector.")] = None,
    integration_slug: Annotated[str | None, typer.Option("--integration-slug", help="Only this integration.")] = None,
    slug: Annotated[str | None, typer.Option("--slug", help="Only items with exactly this slug.")] = None,
    agent_uuid: Annotated[str | None, typer.Option("--agent-uuid", help="Only this agent.")] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="credits, storage.records or orchestration.executions; else all.")
    ] = None,
) -> "Call[Any]":
    """Print usage of each day in a range, at most 366 days, and its total.

    \b
    Examples:
      tally billing usage get-metrics --from 2026-03-01 --to 2026-03-31 --group-by workflow_uuid
      tally billing usage get-metrics --from 2026-03-14 --to 2026-03-14 --unit credits --format table
    """
    from tallystick.client import calls

    return calls.usage_metrics(
        from_,
        to,
        group_by=group_by,
        unit=unit,
        workflow_uuid=workflow_uuid,
        model_uuid=model_uuid,
        connector_uuid=connector_uuid,
        agent_uuid=agent_uuid,
        integration_slug=integration_slug,
        slug=slug,
    )


@client_command(subscription_app, "get")
def get_subscription() -> "Call[Any]":
    """Print the subscription: plan, period, credits available and used.

    Remaining credits are subscriptionAvailableCreditsCount - subscriptionCreditsUsedCount, and bought ones beside.

    \b
    Example:
      tally billing subscription get
    """
    from tallystick.client import calls

    return calls.subscription()


estimates.add_commands(billing_app)
budgets.add_commands(billing_app)
holds.add_commands(billing_app)
banners.add_commands(billing_app)
invoices.add_commands(billing_app, subscription_app)
subscriptions.add_commands(subscription_app)
documents.add_commands(invoices.invoices_app)
payments.add_commands(billing_app, subscription_app)
purchases.add_commands(billing_app)
