"""`tally orchestration`: workflows, runs and batches as commands, with a runner of our own behind the server."""

import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tallystick.client import Client
from tallystick.wire.orchestration import FinishedStatus, FinishRun
from tests.cli.conftest import Shell
from tests.serving import TALLY, House, Shop

NODE = "00000000-0000-4000-8000-000000000001"
DEFINITION = {
    "key": "qualify",
    "name": "Qualify leads",
    "maxSteps": 4,
    "nodes": [{"uuid": NODE, "slug": "write", "kind": "agent", "config": {"share": 0.1}}],
}


@contextmanager
def running(shop: Shop, status: FinishedStatus = "success", reason: str | None = None) -> Iterator[None]:
    """A runner that ends each of the workspace's runs in this way."""
    stop = threading.Event()

    def work() -> None:
        with Client(shop.base_url, shop.token) as client:
            while not stop.is_set():
                for task in client.claim_runs("test", limit=10).tasks:
                    client.finish_run(task.run.uuid, FinishRun(status=status, reason=reason, lease=task.lease))
                stop.wait(0.1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def workflow(tally: Shell) -> str:
    (tally.folder / "qualify.json").write_text(json.dumps(DEFINITION))
    done = tally("orchestration", "workflow", "put", "qualify.json")
    assert (done.status, done.stderr) == (0, "")
    uuid: str = done.answer["workflow"]["uuid"]
    return uuid


def test_a_workflow_comes_from_a_file_and_is_shown_again(tally: Shell, workflow: str) -> None:
    shown = tally("orchestration", "workflow", "get", "qualify").answer["workflow"]
    assert (shown["uuid"], shown["name"], shown["maxSteps"], shown["version"]) == (workflow, "Qualify leads", 4, 1)
    again = tally("orchestration", "workflow", "put", "qualify.json", "--workflow-uuid", workflow)
    assert again.answer["workflow"] == shown
    assert "write" in tally("orchestration", "workflow", "get", workflow, "--format", "table").stdout
    [listed] = tally("orchestration", "tool", "list").answer["tools"]
    assert listed["workflowUuid"] == workflow


def test_a_run_is_made_listed_shown_and_cancelled(tally: Shell, workflow: str) -> None:
    made = tally("orchestration", "run", "create", "--workflow-uuid", workflow, "--data", '{"age": 40.50}')
    assert (made.status, made.stderr) == (0, "")
    run = made.answer["run"]
    assert run["status"] == "pending"
    assert '"age": 40.50' in made.stdout
    for name in ((run["uuid"],), ("--run-uuid", run["uuid"])):
        assert tally("orchestration", "run", "get", *name).answer["run"] == run
    listed = tally("orchestration", "run", "list", "--workflow-uuid", workflow, "--status", "pending").answer["runs"]
    assert listed == [run]
    cancelled = tally("orchestration", "run", "cancel", run["uuid"])
    assert cancelled.answer["runs"][0]["status"] == "cancelled"
    table = tally("orchestration", "run", "list", "--format", "table").stdout
    assert run["uuid"] in table
    assert "cancelled" in tally("orchestration", "run", "get", run["uuid"], "--format", "table").stdout
    assert tally("orchestration", "run", "list", "--status", "nonsense").status == 1


@pytest.mark.parametrize(
    ("ending", "reason", "status"),
    [("success", None, 0), ("error", "nodeFailed", 1), ("skipped", "notEnoughCredits", 3), ("skipped", "filtered", 1)],
)
def test_waiting_for_a_run_tells_by_the_exit_status_how_it_ended(
    tally: Shell, shop: Shop, workflow: str, ending: FinishedStatus, reason: str | None, status: int
) -> None:
    with running(shop, ending, reason):
        done = tally("orchestration", "run", "create", "--workflow-uuid", workflow, "--wait-until-finished")
    assert (done.status, done.stderr, done.answer["run"]["status"]) == (status, "", ending)


def test_a_batch_is_made_from_a_file_waited_for_and_shown(tally: Shell, shop: Shop, workflow: str) -> None:
    (tally.folder / "leads.jsonl").write_text('{"n": 1}\n\n{"n": 2}\n')
    create = ("orchestration", "batch", "create", "--workflow-uuid", workflow)
    with running(shop):
        done = tally(*create, "--data-file", "leads.jsonl", "--wait-until-finished")
    batch = done.answer["batch"]
    assert (done.status, done.stderr, batch["status"], batch["executedRunsCount"]) == (0, "", "success", 2)
    for name in ((batch["uuid"],), ("--batch-uuid", batch["uuid"])):
        assert tally("orchestration", "batch", "get", *name).answer["batch"] == batch
    runs = tally("orchestration", "run", "list", "--batch-uuid", batch["uuid"]).answer["runs"]
    assert [run["data"] for run in runs] == [{"n": 1}, {"n": 2}]
    waiting = tally(*create, "--data", "-", input='[{"n": 3}]').answer["batch"]
    assert tally("orchestration", "batch", "cancel", waiting["uuid"]).answer["batch"]["status"] == "cancelled"
    with running(shop, "error"):
        failed = tally(*create, "--data", "[{}]", "--wait-until-finished")
    assert (failed.status, failed.answer["batch"]["status"]) == (1, "error")
    listed = tally("orchestration", "batch", "list").answer["batches"]
    assert [one["status"] for one in listed] == ["error", "cancelled", "success"]


def test_a_refusal_for_money_is_exit_status_3_with_the_figures(tally: Shell, workflow: str) -> None:
    row = '{"time": "2024-05-02T08:00:00Z", "type": "direct.charge", "quantity": 75}\n'
    (tally.folder / "all.jsonl").write_text(row)
    assert tally("events", "import", "all.jsonl", "--debit").status == 0
    done = tally("orchestration", "run", "create", "--workflow-uuid", workflow)
    assert (done.status, done.answer["reason"]) == (3, "notEnoughCredits")
    assert done.answer["details"]["available"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "create", "--workflow-uuid", "x", "--data", "{"),
        ("batch", "create", "--workflow-uuid", "x"),
        ("batch", "create", "--workflow-uuid", "x", "--data", "[", "--data-file", "x"),
        ("workflow", "put", "list.json"),
        ("workflow", "put", "nameless.json"),
        ("run", "get"),
    ],
)
def test_what_is_typed_wrong_is_told_before_anything_is_sent(tally: Shell, arguments: tuple[str, ...]) -> None:
    (tally.folder / "list.json").write_text("[]")
    (tally.folder / "nameless.json").write_text("{}")
    done = tally("orchestration", *arguments)
    assert (done.status, done.answer["reason"]) == (2, "usage")


def test_at_a_terminal_a_bar_on_stderr_shows_how_far_it_is(
    house: House, shop: Shop, tally: Shell, workflow: str
) -> None:
    primary, secondary = pty.openpty()
    own = {"TALLY_BASE_URL": house.base_url, "TALLY_TOKEN": shop.token, "TERM": "xterm"}
    command = (*TALLY, "orchestration", "batch", "create", "--workflow-uuid", workflow, "--data", "[{}, {}]")
    with running(shop):
        process = subprocess.Popen(
            [*command, "--wait-until-finished"],
            env=house.environment() | own,
            stdout=subprocess.PIPE,
            stderr=secondary,
            cwd=tally.folder,
        )
        os.close(secondary)
        shown = b"".join(_output(primary))
        answer: Any = json.loads(process.communicate(timeout=60)[0])
    assert (process.returncode, answer["batch"]["status"]) == (0, "success")
    assert b"/2" in shown


def _output(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # the other end has closed
            return
        if not piece:
            return
        yield piece
