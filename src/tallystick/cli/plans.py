"""`tally plan`: plans as versions."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.operator import choice, uuid
from tallystick.cli.output import listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

plan_app = new_app("Plans as versions: list, and as an operator add, retire, migrate, contract.")

_CADENCES: Final = ("monthly", "quarterly", "semi_annual", "annual")
_PLANS: Final = listed(
    "plans", "plan", "version", "price", "currency", "cadence", "includedCredits", "includedToolRuns", "runQuota"
)
_ENTITLEMENTS: Final = listed("entitlements", "key", "value", "used", "enforcedBy")

Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")]
Price = Annotated[int, typer.Option("--price", help="Minor units (cents) a period.")]
Cadence = Annotated[str, typer.Option("--cadence", help="monthly, quarterly, semi_annual or annual.")]
Currency = Annotated[str, typer.Option("--currency", help="ISO 4217 code.")]
Credits = Annotated[str, typer.Option("--included-credits", help="Credits that a period includes.")]
ToolRuns = Annotated[str, typer.Option("--included-tool-runs", help="Tool runs that a period includes.")]
RunQuota = Annotated[int | None, typer.Option("--run-quota", help="Runs in a period; left out: not counted.")]
AtZero = Annotated[str, typer.Option("--at-zero", help="deny, or invoice what goes beyond the credits.")]
OveragePrice = Annotated[
    str | None, typer.Option("--overage-price", help="Minor units for a credit beyond; left out: the list price.")
]
Rollover = Annotated[
    int, typer.Option("--rollover-ppm", help="Share of unused included credits that goes on, in parts per million.")
]
Features = Annotated[str, typer.Option("--features", help='JSON object, such as \'{"support": "email"}\'.')]
Version = Annotated[str, typer.Argument(help="The version's UUID, from `tally plan list`.")]


@client_command(plan_app, "list", table=_PLANS, as_operator=True)
def list_plans() -> "Call[Any]":
    """Print what a workspace may choose; for an operator without --workspace-uuid every version.

    \b
    Example:
      tally plan list --format table
    """
    from tallystick.client import plans

    return plans.plans()


@client_command(plan_app, "add", as_operator=True)
def add_plan(
    plan: Annotated[str, typer.Option("--plan", help="free, pro, or a key of your own.")],
    name: Annotated[str, typer.Option("--name", help="What people read.")],
    price: Price,
    cadence: Cadence = "monthly",
    currency: Currency = "usd",
    included_credits: Credits = "0",
    included_tool_runs: ToolRuns = "0",
    run_quota: RunQuota = None,
    at_zero: AtZero = "deny",
    overage_price: OveragePrice = None,
    rollover_ppm: Rollover = 0,
    trial_days: Annotated[
        int | None, typer.Option("--trial-days", help="Days that it may be tried; left out: TALLY_TRIAL_DAYS.")
    ] = None,
    features: Features = "{}",
    reason: Reason = "",
) -> "Call[Any]":
    """Add a version of a plan. Who is on an older one stays on it: see `tally plan migrate`.

    \b
    Example:
      tally plan add --plan pro --name Pro --price 10900 --included-credits 11000 --included-tool-runs 100000
    """
    from tallystick.client import plans

    return plans.add_plan(
        plan,
        name,
        price,
        cadence=choice(cadence, _CADENCES, "--cadence"),
        currency=currency,
        included_credits=included_credits,
        included_tool_runs=included_tool_runs,
        run_quota=run_quota,
        at_zero=choice(at_zero, ("deny", "invoice"), "--at-zero"),
        rollover_share_ppm=rollover_ppm,
        features=_features(features),
        overage_price=overage_price,
        trial_days=trial_days,
        reason=reason,
    )


@client_command(plan_app, "contract", as_operator=True)
def add_contract(
    workspace_uuid: Annotated[str, typer.Option("--workspace-uuid", help="Workspace whose contract it is.")],
    price: Price,
    reason: Reason,
    name: Annotated[str, typer.Option("--name", help="What people read.")] = "Enterprise",
    cadence: Cadence = "annual",
    currency: Currency = "usd",
    included_credits: Credits = "0",
    included_tool_runs: ToolRuns = "0",
    run_quota: RunQuota = None,
    at_zero: AtZero = "invoice",
    overage_price: OveragePrice = None,
    rollover_ppm: Rollover = 0,
    features: Features = '{"workspaces": null, "support": "dedicated", "integrations": "all", "sso": true}',
) -> "Call[Any]":
    """Write one workspace's contract on Enterprise. It begins with `tally billing subscription change`.

    \b
    Example:
      tally plan contract --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --price 4800000 --cadence annual \\
        --included-credits 2000000 --overage-price 0.8 --reason "Contract 2026-17"
    """
    from tallystick.client import plans

    return plans.add_plan(
        "enterprise",
        name,
        price,
        cadence=choice(cadence, _CADENCES, "--cadence"),
        currency=currency,
        included_credits=included_credits,
        included_tool_runs=included_tool_runs,
        run_quota=run_quota,
        at_zero=choice(at_zero, ("deny", "invoice"), "--at-zero"),
        rollover_share_ppm=rollover_ppm,
        features=_features(features),
        overage_price=overage_price,
        workspace_uuid=uuid(workspace_uuid, "--workspace-uuid"),
        reason=reason,
    )


@client_command(plan_app, "retire", as_operator=True)
def retire_plan(version: Version, reason: Reason) -> "Call[Any]":
    """Offer a version to nobody new; those on it stay.

    \b
    Example:
      tally plan retire 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --reason "replaced by version 2"
    """
    from tallystick.client import plans

    return plans.retire_plan(uuid(version, "VERSION"), reason=reason)


@client_command(plan_app, "migrate", as_operator=True)
def migrate_plan(
    version: Version,
    reason: Reason,
    workspace: Annotated[
        list[str] | None, typer.Option("--workspace", help="Only this one, by UUID; may be given again.")
    ] = None,
) -> "Call[Any]":
    """Put workspaces on older versions of the same plan and cadence on this one, from their next period on.

    \b
    Example:
      tally plan migrate 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --reason "price of 2027"
    """
    from tallystick.client import plans

    chosen = None if not workspace else [uuid(one, "--workspace") for one in workspace]
    return plans.migrate_plan(uuid(version, "VERSION"), reason=reason, workspace_uuids=chosen)


@client_command(plan_app, "entitlements", table=_ENTITLEMENTS)
def entitlements() -> "Call[Any]":
    """Print what the workspace's plan lets it do, how much of it is used, and who sees to it.

    \b
    Example:
      tally plan entitlements --format table
    """
    from tallystick.client import plans

    return plans.entitlements()


def _features(text: str) -> dict[str, Any]:
    import msgspec

    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"not a JSON object: {error}.", param_hint="--features") from None
