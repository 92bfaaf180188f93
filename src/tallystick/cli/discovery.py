"""`tally orchestration play | tool`, `ai`, `connection`, `storage`: the resources whose UUIDs usage metrics take."""

from typing import TYPE_CHECKING, Any

from tallystick.cli.commands import client_command
from tallystick.cli.output import listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

play_app = new_app("Workflows that run by themselves.")
tool_app = new_app("Workflows that are called.")

ai_app = new_app("Agents.")
agent_app = new_app("What thinks and calls tools.")
ai_app.add_typer(agent_app, name="agent")

connection_app = new_app("Connectors: integrations with credentials.")
connector_app = new_app("Integrations with credentials.")
connection_app.add_typer(connector_app, name="connector")

storage_app = new_app("Models: data tables.")
model_app = new_app("Data tables, not language models.")
storage_app.add_typer(model_app, name="model")


@client_command(play_app, "list", table=listed("plays", "name", "workflowUuid", "isEnabled", "description"))
def list_plays() -> "Call[Any]":
    """Print all plays, with name and workflowUuid.

    \b
    Example:
      tally orchestration play list --format table
    """
    from tallystick.client import calls

    return calls.plays()


@client_command(tool_app, "list", table=listed("tools", "name", "workflowUuid", "description"))
def list_tools() -> "Call[Any]":
    """Print all tools, with name, workflowUuid and creditsCost.

    \b
    Example:
      tally orchestration tool list
    """
    from tallystick.client import calls

    return calls.tools()


@client_command(agent_app, "list", table=listed("agents", "name", "uuid", "description"))
def list_agents() -> "Call[Any]":
    """Print all agents, with uuid and name.

    \b
    Example:
      tally ai agent list
    """
    from tallystick.client import calls

    return calls.agents()


@client_command(connector_app, "list", table=listed("connectors", "name", "uuid", "integrationSlug", "useCredits"))
def list_connectors() -> "Call[Any]":
    """Print all connectors, with uuid, name, integrationSlug and useCredits.

    \b
    Example:
      tally connection connector list
    """
    from tallystick.client import calls

    return calls.connectors()


@client_command(model_app, "list", table=listed("models", "name", "uuid", "slug"))
def list_models() -> "Call[Any]":
    """Print all models, which are data tables, with uuid, name and slug.

    \b
    Example:
      tally storage model list
    """
    from tallystick.client import calls

    return calls.models()
