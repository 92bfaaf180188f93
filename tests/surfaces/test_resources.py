"""Resources through the API: named by uuid or key, the same id everywhere."""

from typing import Any
from uuid import UUID, uuid5

import pytest

from tallystick.domain.metering import resources as domain
from tallystick.flows import resources as flow
from tests.surfaces.conftest import IDS, NOW, House


async def test_put_makes_a_resource_and_put_again_changes_only_what_is_given(house: House) -> None:
    path = "/v1/resources/connector/clearbit"
    made = await house.owner.put(
        path, {"name": "Clearbit", "attributes": {"integrationSlug": "clearbit", "useCredits": False}}
    )
    resource = made.json()["resource"]
    assert made.status_code == 201
    assert UUID(resource["uuid"]) == uuid5(house.uuid, "connector:clearbit")
    again = await house.owner.put(path, {"description": "Companies", "attributes": {"useCredits": None}})
    assert again.status_code == 200
    assert again.json()["resource"] == resource | {
        "description": "Companies",
        "attributes": {"integrationSlug": "clearbit"},
    }
    by_uuid = await house.owner.get(f"/v1/resources/connector/{resource['uuid']}")
    assert by_uuid.json() == again.json()


@pytest.mark.parametrize("key", ["openai/gpt-4o", "a b", "ünïcode ✓", "100%", "trailing/", "a//b", "?x=1#y", "a/../b"])
async def test_a_key_may_hold_any_printable_character(house: House, key: str) -> None:
    from urllib.parse import quote

    made = await house.owner.put(f"/v1/resources/languageModel/{quote(key, safe='')}", {"name": "x"})
    assert made.status_code == 201, made.text
    assert made.json()["resource"]["key"] == key


async def test_a_deleted_resource_keeps_uuid_and_name_and_can_return(house: House) -> None:
    path = "/v1/resources/team/red"
    await house.owner.put(path, {"name": "Red"})
    gone = (await house.owner.put(path, {"deleted": True})).json()["resource"]
    assert gone["deletedAt"] == "2026-03-14T09:41:07Z"
    assert (await house.owner.get("/v1/workspaceManagement/teams/list")).json() == {"resources": []}
    listed = await house.owner.get("/v1/workspaceManagement/teams/list", params={"includeDeleted": "true"})
    assert [team["name"] for team in listed.json()["resources"]] == ["Red"]
    back = (await house.owner.put(path, {"deleted": False})).json()["resource"]
    assert (back["uuid"], back["deletedAt"]) == (gone["uuid"], None)


async def test_a_uuid_of_another_kind_is_a_conflict(house: House) -> None:
    uuid = (await house.owner.put("/v1/resources/play/enrich", {})).json()["resource"]["uuid"]
    answer = await house.owner.put(f"/v1/resources/agent/{uuid}", {"name": "x"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "resourceKindConflict")


async def test_a_new_resource_beyond_the_most_is_refused_and_old_ones_still_change(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "MOST_PER_KIND", 2)
    for key in ("a", "b"):
        assert (await house.owner.put(f"/v1/resources/project/{key}", {})).status_code == 201
    refused = await house.owner.put("/v1/resources/project/c", {})
    assert (refused.status_code, refused.json()["reason"]) == (400, "tooManyResources")
    assert (await house.owner.put("/v1/resources/project/b", {"name": "B"})).status_code == 200
    assert (await house.owner.put("/v1/resources/team/c", {})).status_code == 201


async def test_a_list_is_paged_and_unknown_parameters_are_ignored(house: House) -> None:
    for number in range(5):
        await house.owner.put(f"/v1/resources/script/s{number}", {})
    pages = []
    for offset in (0, 2, 4):
        answer = await house.owner.get(
            "/v1/resources/script", params={"limit": 2, "offset": offset, "whatever[]": "x", "unit": ""}
        )
        pages += [resource["key"] for resource in answer.json()["resources"]]
    assert sorted(pages) == [f"s{number}" for number in range(5)]


async def test_numbers_of_attributes_keep_their_digits(house: House) -> None:
    answer = await house.owner.put(
        "/v1/resources/agent/writer",
        content=b'{"attributes": {"deployedRelease": {"languageModelSlug": "gpt", "maxSteps": 7, "temperature": 0.1}}}',
        headers={"content-type": "application/json"},
    )
    assert answer.json()["resource"]["attributes"]["deployedRelease"]["temperature"] == 0.1
    assert (await house.owner.get("/v1/resources/agent/writer")).json() == answer.json()


@pytest.mark.parametrize(
    "attributes",
    [
        {"useCredits": "no"},
        {"useCredits": 0},
        {"deployedRelease": {"maxSteps": "7"}},
        {"maxSteps": -1},
        {"integrationSlug": 5},
        {"integrationSlug": ""},
        {"note": "x" * 20_001},
        {"x" * 201: 1},
        {"many": [0] * 501},
        {"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}},
        {"big": 10**40},
    ],
)
async def test_attributes_of_the_wrong_type_or_size_are_refused(house: House, attributes: dict[str, Any]) -> None:
    answer = await house.owner.put("/v1/resources/connector/x", {"attributes": attributes})
    assert (answer.status_code, answer.json()["reason"] in ("invalidAttributes", "invalidText")) == (400, True)
    assert (await house.owner.get("/v1/resources/connector/x")).status_code == 404


def test_an_id_is_the_uuid_given_or_uuid5_of_kind_and_key() -> None:
    workspace, given = IDS.new(NOW), IDS.new(NOW)
    assert domain.resource_id(workspace, "tool", str(given)) == given
    assert domain.resource_id(workspace, "tool", str(given).upper()) == given
    assert domain.resource_id(workspace, "tool", given.hex) == uuid5(workspace, f"tool:{given.hex}")
    assert domain.resource_id(workspace, "tool", "é") == uuid5(workspace, "tool:é")
