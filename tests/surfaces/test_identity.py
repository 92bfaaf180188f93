"""Workspaces, members and tokens through the API: rights follow a change at the very next request."""

import asyncio
import datetime as dt
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tallystick.queries import identity
from tallystick.runtime import Runtime
from tests.conftest import NOW
from tests.surfaces.conftest import IDS, Caller, House, new_house

MEMBERS = "/v1/workspaceManagement/members"
TOKENS = "/v1/workspaceManagement/tokens"
ME = "/v1/userManagement/users/current"


async def balances(runtime: Runtime, workspace: str) -> dict[str, int]:
    async with runtime.database.read() as conn:
        cursor = await conn.execute("SELECT unit, posted FROM balance WHERE workspace_id = %s", [workspace])
        return {row["unit"]: row["posted"] // 10**9 for row in await cursor.fetchall()}


async def actions(runtime: Runtime, workspace: UUID) -> list[str]:
    async with runtime.database.read() as conn:
        cursor = await conn.execute("SELECT action FROM audit_entry WHERE workspace_id = %s ORDER BY id", [workspace])
        return [row["action"] for row in await cursor.fetchall()]


async def member_of(house: House, role: str, permissions: tuple[str, ...] = ()) -> tuple[Caller, str]:
    caller = await house.caller(role, permissions)
    return caller, (await caller.get(ME)).json()["user"]["uuid"]


async def test_a_new_workspace_gets_the_free_grants_and_an_owner(operator: Caller, runtime: Runtime) -> None:
    mark = IDS.secret()[:8]
    answer = await operator.post("/v1/workspaces", {"name": "Acme", "key": f"k-{mark}", "email": f"{mark}@Example.com"})
    body = answer.json()
    assert answer.status_code == 201
    assert await balances(runtime, body["workspace"]["uuid"]) == {"credits": 75, "tool_runs": 10_000}
    me = (await Caller(operator.http, body["adminToken"]).get(ME)).json()["user"]
    assert (me["email"], me["role"]) == (f"{mark}@example.com".lower(), "owner")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {"credits": 0, "tool_runs": 0}),
        ([{"unit": "credits", "amount": "3"}], {"credits": 3, "tool_runs": 0}),
        (
            [{"unit": "toolRuns", "amount": 5}, {"unit": "credits", "amount": 1}, {"unit": "credits", "amount": 1}],
            {"credits": 2, "tool_runs": 5},
        ),
    ],
)
async def test_grants_given_replace_the_free_ones(
    operator: Caller, runtime: Runtime, given: list[Any], expected: dict[str, int]
) -> None:
    answer = await operator.post("/v1/workspaces", {"name": "Acme", "grants": given})
    assert await balances(runtime, answer.json()["workspace"]["uuid"]) == expected


async def test_a_taken_key_is_refused_and_leaves_nothing_behind(operator: Caller, runtime: Runtime) -> None:
    body = {"name": "Acme", "key": f"taken-{IDS.secret()[:8]}", "email": f"{IDS.secret()[:8]}@example.com"}
    assert (await operator.post("/v1/workspaces", body)).status_code == 201
    again = await operator.post("/v1/workspaces", body | {"email": "nobody-else@example.com"})
    assert (again.status_code, again.json()["reason"]) == (409, "workspaceKeyTaken")
    async with runtime.database.read() as conn:
        cursor = await conn.execute("SELECT 1 FROM person WHERE email = 'nobody-else@example.com'")
        assert await cursor.fetchone() is None


async def test_the_same_idempotency_key_makes_one_workspace_and_shows_the_same_token(operator: Caller) -> None:
    headers = {"Idempotency-Key": IDS.secret()}
    body = {"name": "Once"}
    answers = await asyncio.gather(*(operator.post("/v1/workspaces", body, headers=headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    token = answers[0].json()["adminToken"]
    assert (await Caller(operator.http, token).get(ME)).status_code == 200
    other = await operator.post("/v1/workspaces", {"name": "Twice"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")


async def test_another_operator_repeating_a_request_is_not_shown_the_token(operator: Caller, runtime: Runtime) -> None:
    from tallystick.flows import tokens

    text = f"tally_{IDS.secret()}"
    await tokens.create_operator(runtime.database, "other", text=text, replace=False, actor="test", now=NOW, ids=IDS)
    headers = {"Idempotency-Key": IDS.secret()}
    first = await operator.post("/v1/workspaces", {"name": "Once"}, headers=headers)
    second = await Caller(operator.http, text).post("/v1/workspaces", {"name": "Once"}, headers=headers)
    assert second.json() == {"workspace": first.json()["workspace"], "adminToken": None}


async def test_a_failed_request_leaves_its_idempotency_key_free(operator: Caller) -> None:
    headers = {"Idempotency-Key": IDS.secret()}
    refused = {"name": "Acme", "grants": [{"unit": "credits", "amount": 0}]}
    assert (await operator.post("/v1/workspaces", refused, headers=headers)).json()["reason"] == "invalidAmount"
    assert (await operator.post("/v1/workspaces", {"name": "Acme"}, headers=headers)).status_code == 201


async def test_a_grant_is_given_once_per_idempotency_key(house: House, runtime: Runtime) -> None:
    headers = {"Idempotency-Key": IDS.secret()}
    body = {"workspaceUuid": str(house.uuid), "unit": "credits", "amount": "1.000000001", "reason": "sorry"}
    answers = await asyncio.gather(*(house.operator.post("/v1/grants", body, headers=headers) for _ in range(6)))
    assert len({answer.text for answer in answers}) == 1
    assert '"amount":1.000000001,' in answers[0].text
    assert await balances(runtime, str(house.uuid)) == {"credits": 76, "tool_runs": 10_000}
    assert (await actions(runtime, house.uuid)).count("grant.issued") == 1


async def test_a_revoked_token_is_out_at_the_next_request(house: House) -> None:
    made = (await house.owner.post(TOKENS, {"name": "ci"})).json()["token"]
    ci = Caller(house.owner.http, made["token"])
    assert (await ci.get(ME)).status_code == 200
    assert (await house.owner.delete(f"{TOKENS}/{made['uuid']}")).status_code == 200
    answer = await ci.get(ME)
    assert (answer.status_code, answer.content) == (401, b'{"errorMessage":"unauthorized"}')
    listed = (await house.owner.get(f"{TOKENS}/list")).json()["tokens"]
    assert made["uuid"] not in [token["uuid"] for token in listed]


async def test_a_tokens_secret_is_shown_once_and_never_stored(house: House, runtime: Runtime) -> None:
    made = (await house.owner.post(TOKENS, {"name": "ci"})).json()["token"]
    listed = (await house.owner.get(f"{TOKENS}/list")).text
    assert made["token"] not in listed
    assert made["last4"] == made["token"][-4:]
    async with runtime.database.read() as conn:
        cursor = await conn.execute("SELECT api_token::text AS all_of_it FROM api_token")
        assert made["token"] not in "".join(row["all_of_it"] for row in await cursor.fetchall())


async def test_anybody_may_give_up_the_token_in_use_and_no_other(house: House) -> None:
    viewer = await house.caller("viewer")
    tokens = (await house.owner.get(f"{TOKENS}/list")).json()["tokens"]
    own = next(token["uuid"] for token in tokens if token["name"] == "viewer")
    first = next(token["uuid"] for token in tokens if token["name"] == "admin")
    assert (await viewer.delete(f"{TOKENS}/{first}")).status_code == 403
    assert (await viewer.delete(f"{TOKENS}/{own}")).status_code == 200
    assert (await viewer.get(ME)).status_code == 401


async def test_a_token_expires(house: House, runtime: Runtime) -> None:
    ends = NOW + dt.timedelta(hours=1)
    made = (await house.owner.post(TOKENS, {"name": "ci", "expiresAt": ends.isoformat()})).json()["token"]
    just_before = ends - dt.timedelta(microseconds=1)
    principal = await runtime.authenticator.principal(made["token"], just_before)
    assert principal.workspace_id == house.uuid
    with pytest.raises(Exception, match="unauthorized"):
        await runtime.authenticator.principal(made["token"], ends)
    past = await house.owner.post(TOKENS, {"name": "ci", "expiresAt": NOW.isoformat()})
    assert past.json()["reason"] == "invalidExpiry"


async def test_a_token_carries_a_subset_of_its_makers_rights(house: House) -> None:
    made = await house.owner.post(TOKENS, {"name": "narrow", "permissions": ["members:write", "events:write"]})
    narrow = Caller(house.owner.http, made.json()["token"]["token"])
    wide = await narrow.post(TOKENS, {"name": "wide", "permissions": ["billing:read"]})
    assert (wide.status_code, wide.json()["reason"]) == (403, "rightsExceeded")
    same = await narrow.post(TOKENS, {"name": "same"})
    assert same.json()["token"]["permissions"] == ["events:write", "members:write"]
    # Nor by way of somebody else's rights: naming an admin, or acting as the owner.
    admin = await narrow.post(MEMBERS, {"email": f"{IDS.secret()[:8]}@example.com", "role": "admin"})
    assert (admin.status_code, admin.json()["reason"]) == (403, "rightsExceeded")
    unknown = await house.owner.post(TOKENS, {"name": "x", "permissions": ["billing:everything"]})
    assert (unknown.status_code, unknown.json()["reason"]) == (400, "unknownPermission")


async def test_demoting_a_member_weakens_their_tokens_at_once(house: House) -> None:
    admin, person = await member_of(house, "admin")
    assert (await admin.get(f"{MEMBERS}/list")).status_code == 200
    changed = await house.owner.put(f"{MEMBERS}/{person}", {"role": "viewer"})
    assert changed.json()["member"]["role"] == "viewer"
    answer = await admin.get(f"{MEMBERS}/list")
    assert (answer.status_code, answer.content) == (403, b'{"errorMessage":"forbidden"}')
    await house.owner.put(f"{MEMBERS}/{person}", {"permissions": ["members:write"]})
    assert (await admin.get(f"{MEMBERS}/list")).status_code == 200


async def test_a_removed_members_token_fails_and_stays_dead_when_they_return(house: House) -> None:
    admin, person = await member_of(house, "admin")
    email = (await admin.get(ME)).json()["user"]["email"]
    assert (await house.owner.delete(f"{MEMBERS}/{person}")).status_code == 204
    assert (await admin.get(ME)).status_code == 401
    assert (await house.owner.post(MEMBERS, {"email": email, "role": "admin"})).status_code == 201
    assert (await admin.get(ME)).status_code == 401
    assert (await house.owner.delete(f"{MEMBERS}/{IDS.new(NOW)}")).json()["reason"] == "memberNotFound"


async def test_only_an_owner_names_owners_and_the_last_one_stays(house: House) -> None:
    admin, _ = await member_of(house, "admin")
    owner = (await house.owner.get(ME)).json()["user"]["uuid"]
    new = {"email": f"{IDS.secret()[:8]}@example.com", "role": "owner"}
    for refused in (
        await admin.post(MEMBERS, new),
        await admin.put(f"{MEMBERS}/{owner}", {"role": "viewer"}),
        await admin.delete(f"{MEMBERS}/{owner}"),
        await admin.post(TOKENS, {"name": "as the owner", "userUuid": owner}),
    ):
        assert (refused.status_code, refused.json()["reason"]) == (403, "ownerRequired")
    for last in (
        await house.owner.delete(f"{MEMBERS}/{owner}"),
        await house.owner.put(f"{MEMBERS}/{owner}", {"role": "admin"}),
    ):
        assert (last.status_code, last.json()["reason"]) == (409, "lastOwner")
    assert (await house.owner.post(MEMBERS, new)).status_code == 201
    assert (await house.owner.put(f"{MEMBERS}/{owner}", {"role": "admin"})).status_code == 200


async def test_two_owners_leaving_at_once_leave_one_behind(house: House) -> None:
    _, person = await member_of(house, "owner")
    owner = (await house.owner.get(ME)).json()["user"]["uuid"]
    answers = await asyncio.gather(
        house.operator.delete(f"{MEMBERS}/{owner}"), house.operator.delete(f"{MEMBERS}/{person}")
    )
    assert sorted(answer.status_code for answer in answers) == [204, 409]


async def test_one_person_in_two_workspaces_has_two_sets_of_rights(operator: Caller) -> None:
    first, second = await new_house(operator), await new_house(operator)
    email = f"{IDS.secret()[:8]}@example.com"
    for house, role in ((first, "admin"), (second, "viewer")):
        added = await house.owner.post(MEMBERS, {"email": email, "role": role, "firstName": "Ada"})
        assert added.status_code == 201
    person = added.json()["member"]["uuid"]
    made = await second.owner.post(TOKENS, {"name": "hers", "userUuid": person})
    hers = Caller(operator.http, made.json()["token"]["token"])
    assert (await hers.get(f"{MEMBERS}/list")).status_code == 403
    twice = await first.owner.post(MEMBERS, {"email": email.upper(), "role": "viewer"})
    assert (twice.status_code, twice.json()["reason"]) == (409, "memberAlreadyExists")


async def test_every_change_of_rights_is_on_the_record(house: House, runtime: Runtime) -> None:
    _, person = await member_of(house, "member")
    await house.owner.put(f"{MEMBERS}/{person}", {"role": "viewer"})
    await house.owner.delete(f"{MEMBERS}/{person}")
    assert sorted(await actions(runtime, house.uuid)) == sorted(
        [
            "workspace.created",
            "member.added",  # the owner
            "token.created",  # the first one
            "member.added",
            "token.created",
            "member.changed",
            "member.removed",
        ]
    )


async def test_tokens_that_arrive_together_are_read_together(
    house: House, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    real = identity._tokens_by_hash

    async def counted(conn: Any, hashes: list[bytes]) -> Any:
        reads.append(len(hashes))
        return await real(conn, hashes)

    monkeypatch.setattr(identity, "_tokens_by_hash", counted)
    authenticator = identity.Authenticator(runtime.database)
    good = house.owner.token
    texts = [good, f"tally_{IDS.secret()}"] * 50
    found = await asyncio.gather(*(authenticator.principal(text, NOW) for text in texts), return_exceptions=True)
    assert [isinstance(one, Exception) for one in found] == [False, True] * 50
    assert len(reads) <= 2


async def test_a_lookup_that_fails_fails_its_callers_and_not_the_next(
    house: House, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(conn: Any, hashes: list[bytes]) -> Any:
        raise RuntimeError("the disk is gone")

    authenticator = identity.Authenticator(runtime.database)
    with monkeypatch.context() as patched:
        patched.setattr(identity, "_tokens_by_hash", broken)
        with pytest.raises(RuntimeError):
            await authenticator.principal(house.owner.token, NOW)
    assert (await authenticator.principal(house.owner.token, NOW)).workspace_id == house.uuid


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dGFsbHk6", "tally_x", "Bearer tally_nope", "Bearer " + "x" * 5000, "Bearer é"],
)
async def test_a_header_that_is_no_token_is_unauthorized(http: httpx2.AsyncClient, header: str) -> None:
    answer = await http.get(ME, headers=[(b"authorization", header.encode())])
    assert (answer.status_code, answer.content) == (401, b'{"errorMessage":"unauthorized"}')
    assert answer.headers["www-authenticate"] == "Bearer"
