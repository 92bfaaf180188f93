"""A real server with prices for the local models, a workspace for each test, and runners of that workspace alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import pytest

from tallystick.client import AsyncClient, Client
from tallystick.client import orchestration as calls
from tallystick.kernel.addresses import Allowed
from tallystick.runner.nodes import Limits
from tallystick.runner.service import Options, Runner, opened
from tallystick.wire.orchestration import Batch, Run
from tests.runner.outside import Endpoint, Switch, Web, language_model, listening
from tests.serving import House, Shop, serving

ENDED = ("success", "error", "cancelled", "skipped")
NANO = 10**9

# Credits: a token of the small model 0.0002 in and 0.0004 out, of the large one ten times that; a paid call 0.5.
PRICES = {
    "llm.tokens/local/tally-small": ("tokens", {"perMillion": {"inputTokens": "200", "outputTokens": "400"}}),
    "llm.tokens/local/tally-large": ("tokens", {"perMillion": {"inputTokens": "2000", "outputTokens": "4000"}}),
    "llm.tokens/local/tally-thinker": ("tokens", {"perMillion": {"inputTokens": "200", "outputTokens": "400"}}),
    "tool.call/integration:paid": ("unit", {"amount": "0.5"}),
}
EXECUTION = NANO // 100


@pytest.fixture(scope="session")
def house(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with serving(database_url, tmp_path_factory.mktemp("runner")) as house:
        with Client(house.base_url, house.operator_token) as operator:
            for target, (model, rates) in PRICES.items():
                operator.add_price(target, model, rates)
        yield house


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    with language_model() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def web_server() -> Iterator[tuple[Switch, str]]:
    switch = Switch(Web())
    with listening(switch) as url:
        yield switch, url


@pytest.fixture
def web(web_server: tuple[Switch, str]) -> Iterator[Web]:
    web = web_server[0].web = Web()
    yield web
    web.go_on.set()


@pytest.fixture
def web_url(web_server: tuple[Switch, str], web: Web) -> str:
    return web_server[1]


def node(
    slug: str, action: str, config: dict[str, Any] | None = None, /, *children: str, **more: Any
) -> dict[str, Any]:
    """A node of a test's workflow; others are named by slug."""
    fallback = more.pop("fallback", None)
    return {
        "uuid": str(uuid_of(slug)),
        "slug": slug,
        "kind": more.pop("kind", "native"),
        "actionSlug": action,
        "config": config or {},
        "childrenUuids": [str(uuid_of(child)) for child in children],
        "fallbackChildUuid": None if fallback is None else str(uuid_of(fallback)),
        **more,
    }


def uuid_of(slug: str) -> UUID:
    return uuid5(UUID(int=0), slug)


def chat(slug: str, prompt: str, /, *children: str, model: str = "tally-small", **more: Any) -> dict[str, Any]:
    """A language-model node."""
    config = {"model": model, "prompt": prompt, **more.pop("config", {})}
    return node(slug, "chat", config, *children, kind="connector", integrationSlug="local", **more)


def http(slug: str, url: str, /, *children: str, **more: Any) -> dict[str, Any]:
    """A connector node that costs half a credit."""
    config = {"url": url, **more.pop("config", {})}
    return node(slug, "look", config, *children, kind="connector", integrationSlug="paid", **more)


@dataclass
class Bench:
    """A workspace, its client, and runners to execute its runs."""

    shop: Shop
    client: AsyncClient
    endpoint: Endpoint

    def options(self, **more: Any) -> Options:
        limits = {
            "hold_credits": NANO,
            "seconds": 10,
            "model_base_url": self.endpoint.base_url,
            "model_api_key": None,
            "allowed": Allowed(["127.0.0.1"]),
        }
        chosen = {"poll_seconds": 0.02, "hold_wait_seconds": 0}
        mine = {name: more.pop(name) for name in list(more) if name in limits}
        return Options(
            base_url=self.shop.base_url, token=self.shop.token, limits=Limits(**limits | mine), **chosen | more
        )

    @asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[Runner]:
        """A runner within the block."""
        async with opened(self.options(**more)) as runner:
            working = asyncio.create_task(runner.serve())
            try:
                yield runner
            finally:
                runner.stop()
                await working

    async def workflow(self, *nodes: dict[str, Any], **more: Any) -> UUID:
        """The uuid of a tool that runs the nodes."""
        key = f"flow-{self.shop.key}-{nodes[0]['slug']}"
        made = await self.client.send(calls.put_workflow(key, {"kind": "tool", "nodes": list(nodes), **more}))
        return made.workflow.uuid

    async def start(self, *nodes: dict[str, Any], data: dict[str, Any] | None = None, **more: Any) -> UUID:
        """Ask for one run; its uuid."""
        workflow = await self.workflow(*nodes, **more)
        return (await self.client.send(calls.create_run(workflow, data or {}))).run.uuid

    async def get(self, run: UUID) -> Run:
        return (await self.client.send(calls.run(run))).run

    async def ended(self, run: UUID) -> Run:
        """The run once it has ended."""
        async with asyncio.timeout(20):
            while (found := await self.get(run)).status not in ENDED:
                await asyncio.sleep(0.02)
        return found

    async def batch_ended(self, uuid: UUID) -> Batch:
        """The batch once it has ended."""
        async with asyncio.timeout(30):
            while (found := (await self.client.send(calls.batch(uuid))).batch).status not in ENDED:
                await asyncio.sleep(0.05)
        return found

    async def run(self, *nodes: dict[str, Any], data: dict[str, Any] | None = None, **more: Any) -> Run:
        """Run the nodes on one record, to the end."""
        options = {name: more.pop(name) for name in list(more) if name not in ("maxSteps", "concurrencyLimit")}
        uuid = await self.start(*nodes, data=data, **more)
        async with self.running(**options):
            return await self.ended(uuid)

    def charges(self) -> list[dict[str, Any]]:
        """Every booked event of the workspace: type, tokens, credits."""
        import psycopg

        with psycopg.connect(self.shop.database_url, row_factory=psycopg.rows.dict_row) as conn:
            return conn.execute(
                "SELECT source_id, type, slug, run, status, tokens_in, tokens_out, quantity, credits, tool_runs, data "
                "FROM usage_event WHERE workspace_id = %(workspace)s ORDER BY received_at, id",
                {"workspace": self.shop.uuid},
            ).fetchall()


def path_of(run: Run) -> str:
    """Which nodes ran, and how each ended, in the order in which they began."""
    begun = sorted(run.executions, key=lambda one: str(one.started_at))
    return " ".join(f"{one.node_slug}:{one.status}" for one in begun)


@pytest.fixture
async def bench(house: House, endpoint: Endpoint) -> AsyncIterator[Bench]:
    shop = house.shop()
    async with AsyncClient(shop.base_url, shop.token) as client:
        yield Bench(shop, client, endpoint)
        with contextlib.suppress(Exception):
            await client.flush()
