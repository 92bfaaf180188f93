"""`tally orchestration run receipt | refund`: what a run came to, as JSON or drawn as a tree, and taking it back."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import BaseUrl, OutputFormat, Token, WorkspaceUuid, client_command, connect
from tallystick.cli.output import Format, cell, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.tree import Tree

    from tallystick.client.replies import Call

RunName = Annotated[str, typer.Option("--run-uuid", help="The run, by uuid or as events name it.")]


def add_receipt(app: typer.Typer) -> None:
    """Make `receipt` and `refund` commands of `tally orchestration run`."""
    app.command("receipt")(show_receipt)
    client_command(app, "refund", as_operator=True)(refund_run)


def show_receipt(
    run_uuid: RunName,
    workspace_uuid: WorkspaceUuid = None,
    token: Token = None,
    base_url: BaseUrl = None,
    format: OutputFormat = Format.json,  # noqa: A002 - the option's name
) -> None:
    """Print what a run came to: every charge with its price version and arithmetic, in its span, and the sums.

    \b
    Example:
      tally orchestration run receipt --run-uuid 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --format table
    """
    from tallystick.client import costs

    with connect(token=token, base_url=base_url, workspace_uuid=workspace_uuid) as client:
        answer = client.send_raw(costs.receipt(run_uuid))
    if format is Format.json:
        print_json(answer)
    else:
        _draw(answer)


def refund_run(
    run_uuid: RunName,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")],
    workspace_uuid: Annotated[str, typer.Option("--workspace-uuid", help="The workspace that was charged.")],
    idempotency_key: Annotated[str | None, typer.Option("--idempotency-key", help="The same key does it once.")] = None,
) -> "Call[Any]":
    """For operators: take back every charge of a run that still stands, line by line.

    \b
    Example:
      tally orchestration run refund --run-uuid r-81 --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --reason loop
    """
    from tallystick.client import costs

    return costs.refund_run(run_uuid, reason=reason, idempotency_key=idempotency_key)


def _draw(answer: bytes) -> None:
    import sys
    from decimal import Decimal

    import msgspec
    from rich.console import Console
    from rich.tree import Tree

    receipt = msgspec.json.Decoder(float_hook=Decimal).decode(answer)["receipt"]
    root = Tree(f"receipt of run {receipt['run']}: {_sum(receipt['totals'])}")
    prices = {price["uuid"]: price for price in receipt["prices"]}
    lines = root.add("line items")
    for line in receipt["lines"]:
        branch = lines.add(f"{line['category']}: {_sum(line)}")
        for item in line["items"]:
            quantity = f"{_number(item['quantity'])} in {item['charges']}"
            leaf = branch.add(f"{item['name']}: {_sum(item)}, {quantity} charge{'' if item['charges'] == 1 else 's'}")
            for text in _counters(item["counters"], item):
                leaf.add(text)
    _add_span(root, receipt["span"], prices, receipt["names"])
    for text in _flags(receipt["totals"]):
        root.add(text)
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 500
    console.print(root)


def _add_span(tree: "Tree", span: "Mapping[str, Any]", prices: "Mapping[str, Any]", names: "Mapping[str, str]") -> None:
    """A span with what is inside, in order of time: inner spans where they begin, charges where they stand."""
    branch = tree.add(f"{span['kind']} {names.get(span['name'], span['name'])}: {_sum(span)}")
    inside = [(one["startedAt"], 0, one) for one in span["spans"]]
    inside += [(one["usedAt"], 1, one) for one in span["charges"]]
    for _, is_charge, one in sorted(inside, key=lambda entry: entry[:2]):
        if is_charge:
            _add_charge(branch, one, prices)
        else:
            _add_span(branch, one, prices, names)


def _add_charge(tree: "Tree", charge: "Mapping[str, Any]", prices: "Mapping[str, Any]") -> None:
    what = [charge["kind"] if charge["kind"] != "charge" else "", charge["slug"], charge["languageModel"] or ""]
    named = " ".join(word for word in what if word)
    price = prices.get(charge["priceVersionUuid"])
    by = f", {price['target']} {_since(price)}" if price else f", {charge['state']}"
    flags = [name for name, key in (("overdrawn", "overdrawn"), ("over budget", "overBudget")) if charge[key]]
    leaf = tree.add(f"{charge['usedAt']} {named}: {_sum(charge)}{by}{''.join(f', {flag}' for flag in flags)}")
    how = charge["calculation"]
    if how is None:
        return
    if how["counters"]:
        for text in _counters(how["counters"], how):
            leaf.add(text)
    elif how["owedAfter"] is not None:
        leaf.add(
            f"{_number(how['after'])} units owe {_number(how['owedAfter'])}, "
            f"{_number(how['before'])} owed {_number(how['owedBefore'])}"
        )
    elif price is not None and how["model"] != "tokens":
        leaf.add(f"{_factors(charge, how, price['rates'])} = {how['exact'] or 'not known exactly'}")
        if how["rounding"] not in (None, "0"):
            leaf.add(f"rounded by {how['rounding']}")


def _factors(charge: "Mapping[str, Any]", how: "Mapping[str, Any]", rates: "Mapping[str, Any]") -> str:
    """What is multiplied, of a price without tiers."""
    if how["model"] == "percentage":
        cost = f"${how['cost']}" if how["cost"] is not None else "the provider's cost"
        return f"{rates['percent']} % of {cost} × {rates['creditsPerUsd']}"
    if how["model"] == "unit":
        per = f" / {rates['per']}" if rates["per"] != 1 else ""
        return f"{_number(charge['quantity'])} × {rates['amount']}{per}"
    return f"{rates['amount']} an event"


def _counters(counters: "list[Mapping[str, Any]]", sums: "Mapping[str, Any]") -> "Iterator[str]":
    for one in counters:
        rate = _number(one["creditsPerMillion"])
        yield f"{one['counter']}: {one['count']} × {rate} / 1,000,000 = {one['credits']}"
    if counters and sums["rounding"] not in (None, "0"):
        yield f"{sums['exact']} rounded by {sums['rounding']}"


def _sum(sums: "Mapping[str, Any]") -> str:
    runs = sums["toolRuns"]
    tool_runs = f", {_number(runs)} tool run{'' if runs == 1 else 's'}" if runs else ""
    cost = sums.get("providerCost")
    paid = f", provider ${_number(cost)}" if cost is not None else ""
    return f"{_number(sums['credits'])} credits{tool_runs}{paid}"


def _flags(totals: "Mapping[str, Any]") -> "Iterator[str]":
    for key, text in (
        ("unpriced", "without a price yet"),
        ("waived", "through the workspace's own keys, so free"),
        ("overdrawn", "beyond the balance, or beyond what was set aside for them"),
        ("overBudget", "over a budget"),
    ):
        if totals[key]:
            yield f"{totals[key]} charge{'' if totals[key] == 1 else 's'} {text}"


def _since(price: "Mapping[str, Any]") -> str:
    return f"since {price['validFrom']}" if price["validFrom"] else "from the beginning"


def _number(value: Any) -> str:
    return cell(value)
