"""The frame around every route: what a crash shows, what the log holds, what monitoring sees."""

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx2
import pytest
import structlog
from structlog.testing import capture_logs

from tallystick.kernel.errors import TallystickError
from tallystick.runtime import Runtime
from tallystick.settings import load
from tallystick.surfaces.api.app import create_app
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import ANYONE
from tallystick.surfaces.logs import configure
from tallystick.wire.identity import Health
from tests.surfaces.conftest import Caller, House

BROKEN = Routes("Broken")


@BROKEN.get("/broken/crash", ANYONE)
async def crash(call: Call) -> Health:
    """Crash."""
    raise RuntimeError("SELECT secret FROM api_token")


@BROKEN.get("/broken/unlisted", ANYONE)
async def unlisted(call: Call) -> Health:
    """Raise a code that no request should meet."""
    raise TallystickError("databaseNewer", "An inner matter.", path="/var/secret")


@BROKEN.get("/broken/away", ANYONE)
async def away(call: Call) -> Health:
    """Have no database."""
    raise TallystickError("databaseUnavailable", "The database does not answer; nothing was written.")


@pytest.fixture
async def broken(runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app(runtime, BROKEN.endpoints))
    async with httpx2.AsyncClient(transport=transport, base_url="http://tally.test") as client:
        yield client


@pytest.mark.parametrize("path", ["/broken/crash", "/broken/unlisted"])
async def test_a_crash_shows_an_id_and_nothing_else(broken: httpx2.AsyncClient, path: str) -> None:
    with capture_logs() as logs:
        answer = await broken.get(path)
    body = answer.json()
    assert (answer.status_code, body["reason"]) == (500, "internalError")
    assert "secret" not in answer.text
    crashed = next(line for line in logs if line["log_level"] == "error")
    assert crashed["request_id"] == body["details"]["id"] == answer.headers["x-request-id"]
    assert "secret" in repr(crashed["exc_info"]) + str(vars(crashed["exc_info"]))


async def test_a_database_that_is_away_says_when_to_come_back(broken: httpx2.AsyncClient) -> None:
    answer = await broken.get("/broken/away")
    assert (answer.status_code, answer.json()["reason"]) == (503, "databaseUnavailable")
    assert answer.headers["retry-after"] == "1"


async def test_every_answer_forbids_sniffing_framing_and_caching(http: httpx2.AsyncClient, house: House) -> None:
    for answer in (
        await http.get("/healthz"),
        await http.get("/nowhere"),
        await house.owner.get("/v1/userManagement/users/current"),
        await http.get("/v1/balances"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_a_line_of_log_names_the_request_and_no_secret(house: House) -> None:
    with capture_logs() as logs:
        made = await house.owner.post("/v1/workspaceManagement/tokens?token=abc", {"name": "very private"})
        await house.owner.http.get("/v1/balances", headers={"authorization": "Bearer tally_wrong"})
    told = repr(logs)
    first, second = [line for line in logs if line["event"] == "request"]
    assert (first["method"], first["route"], first["status"]) == ("POST", "create_token", 201)
    assert first["actor"].startswith("token:")
    assert (second["status"], second["code"], second["actor"]) == (401, "unauthorized", None)
    for secret in (house.owner.token, made.json()["token"]["token"], "tally_wrong", "very private", "abc"):
        assert secret not in told


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_crash_in_the_log_shows_no_values(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(bearer: str) -> None:
        raise RuntimeError(f"failed with {len(bearer)} characters")

    before = structlog.get_config()
    configure(load({"TALLY_LOG_FORMAT": form}).settings)
    try:
        try:
            fail("tally_" + "very-secret")
        except RuntimeError as error:
            structlog.get_logger("crash").error("unexpected error", exc_info=error)
    finally:
        structlog.configure(**before)
    told = capsys.readouterr().err
    assert "failed with 17 characters" in told
    assert "test_frame.py" in told
    assert "tally_very-secret" not in told


async def test_a_caller_that_goes_away_in_the_middle_of_its_body_is_no_crash(runtime: Runtime, house: House) -> None:
    messages = [{"type": "http.request", "body": b'{"name":', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        """Nobody is there."""

    path = "/v1/workspaceManagement/tokens"
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "client": None,
        "server": ("tally.test", 80),
        "headers": [(b"authorization", f"Bearer {house.owner.token}".encode()), (b"content-length", b"100")],
    }
    with capture_logs() as logs:
        await create_app(runtime)(scope, receive, send)
    assert [(line["log_level"], line.get("code")) for line in logs] == [("info", "clientGone")]


async def test_a_probe_that_is_well_is_no_line_of_the_usual_log(http: httpx2.AsyncClient) -> None:
    with capture_logs() as logs:
        await http.get("/healthz")
        await http.get("/nowhere")
    assert [line["log_level"] for line in logs if line["event"] == "request"] == ["debug", "info"]


async def test_metrics_count_requests_and_time_by_route(operator: Caller, runtime: Runtime) -> None:
    app = create_app(runtime)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://tally.test") as http:
        for _ in range(3):
            await http.get("/healthz")
        await http.get("/nowhere")
        lines = (await http.get("/metrics")).text.splitlines()
    assert 'tally_requests_total{route="get_health",status="200"} 3' in lines
    assert 'tally_requests_total{route="none",status="404"} 1' in lines
    assert 'tally_request_seconds_bucket{route="get_health",le="+Inf"} 3' in lines
    assert 'tally_request_seconds_count{route="get_health"} 3' in lines
    assert "tally_requests_in_flight 1" in lines
    assert "tally_events_queued 0" in lines


async def test_ready_says_what_is_missing(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=create_app(runtime)), base_url="http://tally.test"
    ) as http:
        fine = await http.get("/readyz")
        assert (fine.status_code, fine.json()["ready"]) == (200, True)
        monkeypatch.setattr(runtime.committer, "queued", runtime.settings.queue_events_max)
        full = await http.get("/readyz")
    assert (full.status_code, full.json()["checks"]["queue"]) == (503, False)


def test_a_real_server_answers_on_the_port_it_found_and_ends_when_told(live: str) -> None:
    # The fixture asserts a clean end: exit status 0 after SIGTERM, everything closed.
    answer = httpx2.get(f"{live}/readyz").json()
    # Which jobs are late depends on what worked on this database before: the live server does none.
    assert (answer["ready"], answer["checks"]) == (True, {"database": True, "migrations": True, "queue": True})
    raw = httpx2.get(f"{live}/v1/resources/team/a%2Fb", headers={"authorization": "Bearer tally_x"})
    assert raw.status_code == 401
