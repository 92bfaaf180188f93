"""Our own description is true: what it allows is taken, what it forbids is named, and every answer is as it says."""

import json
import re
from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tallystick.surfaces.api.openapi import describe
from tallystick.surfaces.api.routes import endpoints
from tests.surfaces.conftest import Caller, new_house


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode(errors="replace")


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
async def credentials(operator: Caller) -> AsyncIterator[dict[str, str]]:
    house = await new_house(operator)
    yield {"Authorization": f"Bearer {operator.token}", "selected-workspace-uuid": str(house.uuid)}
    # Plans that were made up here are offered to nobody in the tests that follow.
    for plan in (await operator.get("/v1/plans")).json()["plans"]:
        if plan["version"] > 1:
            await operator.post(f"/v1/plans/{plan['uuid']}/retire", json={"reason": "made up"})


schema = schemathesis.openapi.from_dict(describe(endpoints()))


@seed(20260314)
@schema.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_described(case: schemathesis.Case, live: str, credentials: dict[str, str]) -> None:
    # The workspace is fixed: a random one would only ever be answered 404.
    answer = case.call(base_url=live, headers={**(case.headers or {}), **credentials})
    case.validate_response(answer, checks=CHECKS)


async def test_the_server_serves_the_description_of_its_routes(http: httpx2.AsyncClient) -> None:
    served = (await http.get("/openapi.json")).json()
    assert served == json.loads(json.dumps(describe(endpoints())))
    described = {(method.upper(), path) for path, methods in served["paths"].items() for method in methods}
    assert described == {(e.method, re.sub(r":path}", "}", e.path)) for e in endpoints()}


def test_every_operation_has_a_summary_and_names_what_it_refuses() -> None:
    for path, methods in describe(endpoints())["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"].endswith("."), (method, path)
            if operation["security"]:
                assert {"401", "403"} <= set(operation["responses"]), (method, path)


def test_the_ids_of_answers_are_uuids_in_their_usual_form() -> None:
    schemas = describe(endpoints())["components"]["schemas"]
    assert schemas["Workspace"]["properties"]["uuid"] == {"type": "string", "format": "uuid"}
    assert str(UUID(int=0)) == "00000000-0000-0000-0000-000000000000"
