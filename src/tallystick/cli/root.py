"""The top of the grammar: names and one sentence each. What stands behind a name is loaded when it is called."""

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS: Final = {
    "billing": ("billing", "Usage metrics and the subscription of a workspace."),
    "usage": ("usage", "What the dashboard shows: overview, tools, models, guardrails, scripts."),
    "orchestration": ("orchestration", "Workflows, runs and batches."),
    "ai": ("discovery", "Agents."),
    "connection": ("discovery", "Connectors: integrations with credentials."),
    "storage": ("discovery", "Models: data tables."),
    "login": ("session", "Keep a token and a server's address for later commands."),
    "whoami": ("session", "Show whose token is used, and for which workspace."),
    "logout": ("session", "Forget what login kept."),
    "events": ("events", "Usage events: import a history from a file."),
    "token": ("access", "API tokens of a workspace: create, list, revoke."),
    "workspace": ("operator", "For operators: create and list workspaces."),
    "clock": ("clocks", "For operators: test clocks, on which a workspace's months pass in seconds."),
    "jobs": ("clocks", "For operators: the background work, and what waits for it."),
    "credits": ("operator", "For operators: grant, correct and end credits and tool runs."),
    "facts": ("telling", "What happened in a workspace: thresholds, grants, limits, deployments."),
    "mail": ("telling", "The outbox of mails: list, show, retry."),
    "notification": ("telling", "Which mails you want from a workspace."),
    "limits": ("limits", "Spending limits of a workspace."),
    "audit": ("audit", "The audit log: every change of money or rights."),
    "payment": ("payments", "For operators: transfers that came, bank statements, refunds."),
    "revenue": ("purchases", "For operators: what bought credits came to, month by month."),
    "price": ("operator", "Prices: list versions, and add one as an operator."),
    "deployment": ("deployments", "Deployments and the hardware they run on: ask, report, scale, take down."),
    "fine-tuning": ("fine_tuning", "Fine-tuning jobs: what one would cost, begin, report how it ended."),
    "webhook": ("webhooks", "Webhooks: endpoints that facts are posted to, signed, and the log of their deliveries."),
    "plan": ("plans", "Plans as versions: list, and as an operator add, retire, migrate, contract."),
    "demo": ("server", "Start a demo workspace with 90 days of usage, in the foreground."),
    "serve": ("server", "Start the server, in the foreground."),
    "runner": ("runner", "Execute workflows apart from the server, in the foreground."),
    "worker": ("server", "Do the background work apart from the server, in the foreground."),
    "operator": ("database", "The operator's own tokens, made where the database is."),
    "db": ("database", "The database: migrate, status, backup, restore."),
    "verify": ("verify", "Compare events, charges, ledger, balances and rollups, and name each difference."),
    "settings": ("server", "List every setting with its value and origin."),
}
"""Name on the command line: the module that holds it, as `<name>_app`, and its help."""


class _Loaded(MutableMapping[str, Any]):
    """The commands by name; reading one imports its module."""

    def __init__(self) -> None:
        self._ready: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._ready:
            module, _ = COMMANDS[name]
            loaded = importlib.import_module(f"tallystick.cli.{module}")
            self._ready[name] = get_command(getattr(loaded, f"{name.replace('-', '_')}_app"))
        return self._ready[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._ready[name] = command

    def __delitem__(self, name: str) -> None:
        del self._ready[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    """A group whose help option is False when it is not given: for None, Typer would load Pydantic to convert it."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


class _Root(_Group):
    """A group that knows its commands' names and help without loading them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(wanted: bool) -> None:
    if wanted:
        from tallystick import __version__

        typer.echo(f'{{"version": "{__version__}"}}')
        raise typer.Exit


def root_command() -> Any:
    """The whole `tally` as one command."""
    app = new_app(_HELP, cls=_Root)

    def root(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    app.callback()(root)
    return get_command(app)


def new_app(help_: str, cls: type[TyperGroup] = _Group) -> typer.Typer:
    """A Typer of our kind: plain text, no completion scripts, errors told by `main`."""
    return typer.Typer(
        cls=cls,
        help=help_,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


_HELP: Final = """Metering, credits and billing for AI-agent platforms.

Answers are JSON on stdout; --format table draws them for people. Exit status: 0 done, 1 failed or refused, 2 usage,
3 not enough credits, 4 server unreachable.

\b
Example:
  tally billing usage get-metrics --from 2026-03-01 --to 2026-03-31 --group-by workflow_uuid
"""
