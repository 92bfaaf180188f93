"""`tally usage report`: the tabs of the dashboard, as JSON or as tables."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

usage_app = new_app("What the dashboard shows: overview, tools, models, guardrails, scripts.")


@usage_app.callback()
def _group() -> None:
    """A name in front of its one command."""


_TABS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "overview": (("category", "shown under", "credits"), ("category", "group", "credits")),
    "tools": (
        ("tool", "runs", "owner", "last active", "status"),
        ("name", "runs", "owner", "lastActiveOn", "status"),
    ),
    "models": (
        ("model", "type", "credits", "last deployed"),
        ("name", "type", "credits", "lastDeployedAt"),
    ),
    "guardrails": (
        ("guardrail", "credits", "time", "last deployed", "status"),
        ("name", "credits", "seconds", "lastDeployedAt", "status"),
    ),
    "scripts": (
        ("script", "language", "version", "credits", "last active", "status"),
        ("name", "language", "version", "credits", "lastActiveOn", "status"),
    ),
}
"""Headings and fields of each tab."""

_MODEL: Final = (
    ("deployment", "type", "credits", "last updated", "status"),
    ("name", "type", "credits", "lastUpdatedAt", "status"),
)
_HARDWARE: Final = ("hardware", "CPU", "count", "memory GB", "time", "credits")


def _columns(answer: Any) -> tuple[str, ...]:
    if not answer.get("panel"):
        return _TABS[answer["tab"]][0]
    return _MODEL[0] if answer["tab"] == "models" else _HARDWARE


def _rows(answer: Any) -> list[list[object]]:
    panel = answer.get("panel")
    if panel and answer["tab"] == "models":
        return [*_listed(panel["rows"], _MODEL[1]), ["total", "", panel["credits"], "", ""]]
    if panel:
        return _hardware(panel)
    if answer["tab"] == "overview":
        used = [[f"{one['unit']} used", "", f"{one['used']} of {one['granted']}"] for one in answer["balances"]]
        return [*_listed(answer["categories"], _TABS["overview"][1]), ["total", "", answer["totals"]["credits"]], *used]
    return [*_listed(answer["rows"], _TABS[answer["tab"]][1]), _total(answer)]


def _total(answer: Any) -> list[object]:
    totals = answer["totals"]
    found = {
        "name": "total",
        "runs": totals.get("runs", ""),
        "credits": totals.get("credits", totals.get("hostingCredits", "")),
        "seconds": _time(totals["seconds"]) if "seconds" in totals else "",
    }
    return [found.get(name, "") for name in _TABS[answer["tab"]][1]]


def _listed(rows: Any, fields: tuple[str, ...]) -> list[list[object]]:
    return [[_time(row[name]) if name == "seconds" else row[name] for name in fields] for row in rows]


def _hardware(panel: Any) -> list[list[object]]:
    rows: list[list[object]] = [
        [one["name"], one["cpuType"], one["cpuCount"], one["memoryGb"], _time(one["seconds"]), one["credits"]]
        for one in panel["hardware"]
    ]
    parts: list[list[object]] = [[one["component"], "", "", "", "", one["credits"]] for one in panel["components"]]
    return [*rows, *parts, ["total", "", "", "", _time(panel["seconds"]), panel["credits"]]]


def _time(seconds: Any) -> str:
    """Hours and minutes as people read them."""
    minutes = int(seconds) // 60
    return f"{minutes // 60} h {minutes % 60} min"


@client_command(usage_app, "report", table=Table(_columns, _rows))
def report(
    tab: Annotated[str, typer.Option("--tab", help="overview, tools, models, guardrails or scripts.")],
    range_: Annotated[
        str | None, typer.Option("--range", help="24h, 7d, 30d or 90d, until now; the last 30 days if nothing is said.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="First UTC day, instead.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Last UTC day, counted too.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Add the totals of the range before.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="Deployments of this model, by uuid or key.")] = None,
    guardrail: Annotated[str | None, typer.Option("--guardrail", help="Hardware of this guardrail.")] = None,
    script: Annotated[str | None, typer.Option("--script", help="Hardware of this script, by component.")] = None,
) -> "Call[Any]":
    """Print one tab of the dashboard: its totals and rows in a range of time.

    \b
    Examples:
      tally usage report --tab overview --range 7d --compare
      tally usage report --tab scripts --from 2026-03-01 --to 2026-03-31 --format table
      tally usage report --tab models --model llama-8b --format table
    """
    from tallystick.client import tabs

    chosen: Any = tab
    within: Any = range_
    return tabs.usage_tab(
        chosen,
        range_=within,
        from_=from_,
        to=to,
        compare=compare,
        model=model,
        guardrail=guardrail,
        script=script,
    )
