"""Commands as processes: JSON on stdout and nothing else, the exit statuses, and whose credentials are used."""

import json
import socket
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.client.gateway import Answer, Gateway
from tests.serving import House, Shop

LISTS = {
    "orchestration play list": "plays",
    "orchestration tool list": "tools",
    "ai agent list": "agents",
    "connection connector list": "connectors",
    "storage model list": "models",
    "token list": "tokens",
    "price list --target orchestration": "prices",
    "plan list": "plans",
}


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize(("command", "key"), LISTS.items(), ids=LISTS)
def test_lists_print_the_servers_json(tally: Shell, command: str, key: str) -> None:
    done = tally(*command.split())
    assert (done.status, done.stderr) == (0, "")
    assert isinstance(done.answer[key], list)


def test_metrics_have_every_option_of_the_grammar_and_every_digit(tally: Shell, shop: Shop) -> None:
    rows = '{"time": "2024-05-02T08:00:00Z", "type": "direct.charge", "quantity": "90071992.547409931"}\n'
    (tally.folder / "one.jsonl").write_text(rows)
    assert tally("events", "import", "one.jsonl").status == 0
    days = ("--from", "2024-05-01", "--to", "2024-05-02")
    done = tally("billing", "usage", "get-metrics", *days)
    assert done.status == 0
    assert '"totalUsage": 90071992.547409931' in done.stdout
    assert done.answer["metrics"][0] == {"date": "2024-05-01T00:00:00.000Z", "items": []}
    none = "00000000-0000-4000-8000-000000000000"
    filters = [f"--{name}-uuid={none}" for name in ("workflow", "model", "connector", "agent")]
    for option in [*filters, "--integration-slug=x", "--slug=native.execution", "--unit=storage.records"]:
        filtered = tally("billing", "usage", "get-metrics", *days, option)
        assert (filtered.status, filtered.answer["totalUsage"]) == (0, 0), option
    chosen = ("--slug=native.direct", "--unit=credits", "--group-by=workflow_uuid")
    item = tally("billing", "usage", "get-metrics", *days, *chosen).answer["metrics"][1]["items"][0]
    assert (item["slug"], item["groupBy"]) == ("native.direct", None)


def test_a_table_is_for_people_and_keeps_the_digits_too(tally: Shell) -> None:
    rows = '{"time": "2024-05-02T08:00:00Z", "type": "direct.charge", "quantity": "1.000000001"}\n'
    (tally.folder / "one.jsonl").write_text(rows)
    tally("events", "import", "one.jsonl")
    days = ("--from", "2024-05-01", "--to", "2024-05-02")
    done = tally("billing", "usage", "get-metrics", *days, "--format", "table")
    assert done.status == 0
    cells = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert cells[0] == ["day", "slug", "group", "count"]
    assert ["2024-05-02", "native.direct", "1.000000001"] in cells
    assert cells[-1] == ["total", "1.000000001"]
    for command in LISTS:
        assert tally(*command.split(), "--format", "table").status == 0, command


def test_a_table_shows_groups_by_their_names_and_json_by_their_uuids(tally: Shell) -> None:
    row = '{"time": "2024-05-02T08:00:00Z", "type": "tool.call", "agent": "support", "integration": "crm"}\n'
    (tally.folder / "one.jsonl").write_text(row)
    tally("events", "import", "one.jsonl")
    command = ("billing", "usage", "get-metrics", "--from=2024-05-02", "--to=2024-05-02", "--group-by=agent_uuid")
    drawn = tally(*command, "--format", "table").stdout
    assert ["2024-05-02", "integration.crm.action.unknown", "support", "0"] in [
        line.split() for line in drawn.splitlines()
    ]
    [agent] = tally("ai", "agent", "list").answer["agents"]
    assert tally(*command).answer["metrics"][0]["items"][0]["groupBy"] == agent["uuid"]


def test_subscription_and_whoami_answer_as_documented(tally: Shell, shop: Shop) -> None:
    subscription = tally("billing", "subscription", "get").answer["subscription"]
    assert (subscription["planKey"], subscription["subscriptionAvailableCreditsCount"]) == ("free", 75)
    who = tally("whoami").answer
    assert set(who) == {"user", "workspace"}
    assert who["workspace"]["uuid"] == str(shop.uuid)


def test_refusals_print_the_servers_object_and_exit_1(tally: Shell) -> None:
    unit = tally("billing", "usage", "get-metrics", "--from", "2024-05-01", "--to", "2024-05-01", "--unit", "x")
    assert (unit.status, unit.answer["reason"]) == (1, "invalidUnit")
    wrong = tally("whoami", TALLY_TOKEN="tally_wrong")
    assert (wrong.status, wrong.answer) == (1, {"errorMessage": "unauthorized"})
    poor = tally("token", "create", "--name", "poor", "--permission", "resources:read").answer["token"]["token"]
    for command in ("billing subscription get", "orchestration play list", "events import nothing.csv"):
        (tally.folder / "nothing.csv").write_text("time,type\n2024-05-01T00:00:00Z,direct.charge\n")
        refused = tally(*command.split(), TALLY_TOKEN=poor)
        assert (refused.status, refused.answer) == (1, {"errorMessage": "forbidden"}), command


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["billing"],
        ["nonsense"],
        ["billing", "usage", "get-metrics", "--from", "2024-05-01"],
        ["billing", "usage", "get-metrics", "--from", "2024-05-01", "--to", "2024-05-01", "--bananas"],
        ["billing", "subscription", "get", "--format", "xml"],
        ["credits", "grant", "--workspace-uuid", "no-uuid", "--amount", "1", "--reason", "r"],
        ["token", "create", "--name", "n", "--expires-at", "2026-03-14T00:00:00"],
        ["price", "add", "--target", "t", "--model", "unit", "--rates", "not json"],
        ["events", "import", "x.csv", "--input-format", "parquet"],
        ["events", "import", "x.csv", "--batch-size", "0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_with_an_object_on_stdout_and_help_on_stderr(tally: Shell, arguments: list[str]) -> None:
    done = tally(*arguments)
    assert done.status == 2, done.stdout
    assert done.answer["reason"] == "usage"
    assert done.answer["errorMessage"]
    assert "Usage: tally" in done.stderr


def test_a_server_that_is_not_there_exits_4_with_a_sentence(tally: Shell) -> None:
    address = f"http://127.0.0.1:{refused_port()}"
    done = tally("billing", "subscription", "get", TALLY_BASE_URL=address)
    assert (done.status, done.answer["reason"]) == (4, "serverUnreachable")
    assert address in done.answer["errorMessage"]
    assert done.stderr == ""


def test_not_enough_credits_exits_3_and_an_answer_of_something_else_is_told_in_our_shape(
    tally: Shell, gateway: Gateway
) -> None:
    refusal = b'{"errorMessage":"Not enough.","reason":"notEnoughCredits","details":{"needed":0.100000000}}'
    gateway.script.extend([Answer(402, refusal), Answer(502)])
    create = ("token", "create", "--name", "n")
    poor = tally(*create, TALLY_BASE_URL=gateway.url)
    assert (poor.status, poor.answer["reason"]) == (3, "notEnoughCredits")
    assert '"needed": 0.100000000' in poor.stdout
    odd = tally(*create, TALLY_BASE_URL=gateway.url)
    assert (odd.status, odd.answer["reason"], odd.answer["details"]["status"]) == (1, "unexpectedAnswer", 502)


def test_without_any_token_a_command_says_how_to_log_in(tally: Shell) -> None:
    done = tally("whoami", TALLY_TOKEN="")
    assert (done.status, done.answer["reason"]) == (1, "notLoggedIn")
    assert "tally login" in done.answer["errorMessage"]


def test_login_keeps_a_token_for_its_owner_alone_and_logout_forgets_it(tally: Shell, house: House, shop: Shop) -> None:
    nobody = {"TALLY_TOKEN": "", "TALLY_BASE_URL": ""}
    wrong = tally("login", "--token", "tally_wrong", "--base-url", house.base_url, **nobody)
    assert (wrong.status, wrong.answer) == (1, {"errorMessage": "unauthorized"})
    assert not (tally.folder / "config").exists()
    done = tally("login", "--token", "-", "--base-url", house.base_url, input=shop.token + "\n", **nobody)
    assert (done.status, done.answer["workspace"]["uuid"]) == (0, str(shop.uuid))
    assert shop.token not in done.stdout
    kept = Path(done.answer["savedIn"])
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert tally("whoami", **nobody).answer["workspace"]["uuid"] == str(shop.uuid)
    assert tally("logout", **nobody).answer == {"loggedOut": True}
    assert not kept.exists()
    assert tally("logout", **nobody).answer == {"loggedOut": False}
    assert tally("whoami", **nobody).status == 1


def test_credentials_are_taken_in_order(tally: Shell, house: House) -> None:
    option, variable, login, demo = (house.shop() for _ in range(4))
    (tally.folder / "home").mkdir()
    tokens = {"baseUrl": house.base_url, "adminToken": demo.token, "operatorToken": house.operator_token}
    (tally.folder / "home" / "demo.json").write_text(json.dumps(tokens))
    nothing = {"TALLY_TOKEN": "", "TALLY_BASE_URL": ""}

    def workspace(*arguments: str, **environment: str) -> str:
        answer: str = tally("whoami", *arguments, **environment).answer["workspace"]["uuid"]
        return answer

    assert workspace(**nothing) == str(demo.uuid)
    assert tally("workspace", "list", "--limit", "1", **nothing).status == 0
    assert tally("login", "--token", login.token, **nothing).status == 0
    assert workspace(**nothing) == str(login.uuid)
    assert workspace(TALLY_TOKEN=variable.token, TALLY_BASE_URL="") == str(variable.uuid)
    assert workspace("--token", option.token, TALLY_TOKEN=variable.token) == str(option.uuid)


def test_an_operator_selects_a_workspace_grants_and_prices(tally: Shell, house: House) -> None:
    operator = {"TALLY_TOKEN": house.operator_token}
    made = tally("workspace", "create", "--name", "Acme", "--no-grants", **operator).answer
    uuid = made["workspace"]["uuid"]
    assert tally("whoami", **operator).answer["workspace"] is None
    assert tally("whoami", "--workspace-uuid", uuid, **operator).answer["workspace"]["name"] == "Acme"
    grant = tally(
        *("credits", "grant", "--workspace-uuid", uuid, "--amount", "0.000000001", "--reason", "offer"),
        *("--expires-at", "never", "--priority", "5"),
        **operator,
    )
    assert '"amount": 0.000000001' in grant.stdout
    assert (grant.answer["grant"]["source"], grant.answer["grant"]["expiresAt"]) == ("promotion", None)
    adjusted = ("credits", "adjust", "--workspace-uuid", uuid, "--amount", "2", "--unit", "toolRuns", "--reason", "r")
    assert tally(*adjusted, **operator).answer["grant"]["source"] == "adjustment"
    amount = ("credits", "grant", "--workspace-uuid", uuid, "--amount", "1e30", "--reason", "too much")
    too_much = tally(*amount, **operator)
    assert (too_much.status, too_much.answer["reason"]) == (1, "invalidAmount")
    target = f"tool.call/integration:x{uuid[-12:]}"
    price = ("price", "add", "--target", target, "--model", "unit", "--rates", '{"amount": "0.5"}')
    assert tally(*price, **operator).answer["price"]["target"] == target
    assert tally("price", "list", "--target", target, **operator).answer["prices"][0]["rates"]["amount"] == "0.5"


def test_commands_on_the_database_work_without_a_server(tally: Shell) -> None:
    status = tally("db", "status").answer
    assert set(status) == {"url", "version", "migration", "embedded"}
    assert status["embedded"] is False
    assert tally("db", "migrate").answer == {"applied": []}
    settings = {row["name"]: row for row in tally("settings").answer["settings"]}
    assert settings["TALLY_DATABASE_URL"]["value"] == "(set)"
    wrong = tally("settings", TALLY_PORT="many")
    assert (wrong.status, wrong.answer["reason"]) == (1, "invalidSetting")
    missing = tally("db", "restore", "nothing.backup")
    assert (missing.status, missing.answer["reason"]) == (1, "backupNotFound")


def test_verify_is_clean_after_an_import_and_names_a_changed_charge_by_id_and_amount(tally: Shell, shop: Shop) -> None:
    rows = '{"time": "2024-05-02T08:00:00Z", "type": "direct.charge", "quantity": 2}\n'
    (tally.folder / "one.jsonl").write_text(rows)
    tally("events", "import", "one.jsonl")
    only = ("--workspace-uuid", str(shop.uuid))
    clean = tally("verify", *only)
    assert (clean.status, clean.answer["clean"], clean.answer["differences"]) == (0, True, [])
    assert clean.answer["checked"]["events"] == 1
    changed = shop.one(
        "UPDATE usage_event SET credits = 3000000001 WHERE workspace_id = %(workspace)s RETURNING id::text AS id"
    )
    broken = tally("verify", *only)
    assert (broken.status, broken.answer["clean"]) == (1, False)
    assert broken.answer["count"] == len(broken.answer["differences"]) > 0
    assert changed["id"] in broken.stdout
    assert '"expected":2,"found":3.000000001' in broken.stdout
    unknown = tally("verify", "--workspace-uuid", "00000000-0000-4000-8000-000000000000")
    assert (unknown.status, unknown.answer["reason"]) == (1, "workspaceNotFound")
