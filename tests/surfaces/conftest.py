"""The HTTP application on the test database, called in this process, and workspaces with every kind of caller."""

import datetime as dt
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tallystick.domain.identity.rights import PERMISSIONS
from tallystick.flows import tokens
from tallystick.kernel.clock import FrozenClock
from tallystick.kernel.ids import SystemIds
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces.api.app import create_app
from tests.conftest import NOW

IDS = SystemIds()


@dataclass(frozen=True)
class Caller:
    """One token; `.get` and the like send with it."""

    http: httpx2.AsyncClient
    token: str
    workspace: UUID | None = None
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token}", **self.headers, **options.pop("headers", {})}
        if self.workspace:
            headers.setdefault("selected-workspace-uuid", str(self.workspace))
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.send("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> httpx2.Response:
        return await self.send("POST", path, json=json, **options)

    async def put(self, path: str, json: Any = None, **options: Any) -> httpx2.Response:
        return await self.send("PUT", path, json=json, **options)

    async def delete(self, path: str, **options: Any) -> httpx2.Response:
        return await self.send("DELETE", path, **options)


@pytest.fixture(scope="session")
async def runtime(database_url: str) -> AsyncIterator[Runtime]:
    runtime = await Runtime.open(Settings(database_url=database_url), clock=FrozenClock(NOW))
    yield runtime
    await runtime.close()


@pytest.fixture(scope="session")
async def http(runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a token. A crash is a failed test, not an answer."""
    transport = httpx2.ASGITransport(app=create_app(runtime))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://tally.test") as client:
        yield client


@pytest.fixture(scope="session")
async def operator(runtime: Runtime, http: httpx2.AsyncClient) -> Caller:
    text = f"tally_{IDS.secret()}"
    await tokens.create_operator(runtime.database, "test", text=text, replace=False, actor="test", now=NOW, ids=IDS)
    return Caller(http, text)


@dataclass(frozen=True)
class House:
    """A workspace with an owner, and whoever is asked for."""

    uuid: UUID
    operator: Caller
    owner: Caller

    async def caller(self, role: str, permissions: tuple[str, ...] = ()) -> Caller:
        """The token of a new member of this role, with all that the member may do."""
        email = f"{role}-{IDS.secret()[:12]}@example.com"
        added = await self.owner.post(
            "/v1/workspaceManagement/members", {"email": email, "role": role, "permissions": list(permissions)}
        )
        assert added.status_code == 201, added.text
        made = await self.owner.post(
            "/v1/workspaceManagement/tokens", {"name": role, "userUuid": added.json()["member"]["uuid"]}
        )
        assert made.status_code == 201, made.text
        return Caller(self.owner.http, made.json()["token"]["token"])


async def new_house(operator: Caller) -> House:
    mark = IDS.secret()[:12]
    made = await operator.post("/v1/workspaces", {"name": f"House {mark}", "email": f"owner-{mark}@example.com"})
    assert made.status_code == 201, made.text
    body = made.json()
    uuid = UUID(body["workspace"]["uuid"])
    return House(uuid, Caller(operator.http, operator.token, uuid), Caller(operator.http, body["adminToken"]))


@pytest.fixture
async def house(operator: Caller) -> House:
    return await new_house(operator)


@pytest.fixture(scope="session")
def live(database_url: str) -> Iterator[str]:
    """The address of a server in a process of its own, on the test database."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.surfaces.live_server", database_url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:"), address
    yield address
    process.terminate()
    ended = process.communicate(timeout=20)[0]
    assert (ended.strip(), process.returncode) == ("ended", 0)


__all__ = ["NOW", "PERMISSIONS", "Caller", "House", "dt", "new_house"]
