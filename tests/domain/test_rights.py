"""Rights as a table, and that nobody can give what they do not have."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.identity.rights import (
    PERMISSIONS,
    ROLES,
    Membership,
    Principal,
    Role,
    check_may_change,
    check_may_give,
    effective,
    known_permissions,
)
from tallystick.kernel.errors import TallystickError

SOMEBODY = UUID(int=1)
roles = st.sampled_from(sorted(ROLES))
rights = st.frozensets(st.sampled_from(sorted(PERMISSIONS)))


def principal(role: Role | None, permissions: frozenset[str], kind: str = "token") -> Principal:
    return Principal(
        kind="operator" if kind == "operator" else "token",
        token_id=UUID(int=2),
        token_name="test",
        person_id=SOMEBODY,
        workspace_id=UUID(int=3),
        role=role,
        permissions=permissions,
    )


def refusal_of(asking: Principal, before: Membership | None, after: Membership | None) -> str:
    try:
        check_may_change(asking, before, after)
    except TallystickError as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        ("owner", PERMISSIONS),
        ("admin", PERMISSIONS),
        ("member", {"events:write", "holds:write"}),
        ("viewer", set()),
    ],
)
def test_a_role_has_exactly_these_permissions(role: Role, permissions: set[str]) -> None:
    assert ROLES[role] == permissions


def test_there_are_eight_permissions() -> None:
    assert sorted(PERMISSIONS) == [
        "billing:read",
        "billing:write",
        "events:write",
        "holds:write",
        "members:write",
        "resources:read",
        "resources:write",
        "runs:write",
    ]


@given(token=rights, role=roles, custom=rights)
def test_a_token_never_does_more_than_its_person(token: frozenset[str], role: Role, custom: frozenset[str]) -> None:
    member = Membership(SOMEBODY, role, custom)
    assert effective(token, member) == token & (ROLES[role] | custom)
    assert effective([*token, "no:such"], None) == token


@given(own=rights, before=roles, after=roles, given_rights=rights)
def test_a_change_that_is_allowed_moves_only_rights_of_ones_own(
    own: frozenset[str], before: Role, after: Role, given_rights: frozenset[str]
) -> None:
    was, becomes = Membership(SOMEBODY, before, frozenset()), Membership(SOMEBODY, after, given_rights)
    if "owner" in (before, after):
        refusal = "ownerRequired"
    else:
        refusal = "" if was.permissions | becomes.permissions <= own else "rightsExceeded"
    assert refusal_of(principal("admin", own), was, becomes) == refusal
    check_may_change(principal(None, frozenset(), "operator"), was, becomes)


def test_an_owners_token_changes_owners_only_with_all_their_rights() -> None:
    owner = Membership(SOMEBODY, "owner", frozenset())
    check_may_change(principal("owner", PERMISSIONS), owner, None)
    with pytest.raises(TallystickError, match="more than your own"):
        check_may_change(principal("owner", frozenset({"members:write"})), owner, None)


def test_giving_names_what_is_missing() -> None:
    with pytest.raises(TallystickError) as caught:
        check_may_give(principal("admin", frozenset({"events:write"})), frozenset({"events:write", "billing:read"}))
    assert (caught.value.code, caught.value.details["missing"]) == ("rightsExceeded", ["billing:read"])


def test_a_permission_that_does_not_exist_is_named() -> None:
    with pytest.raises(TallystickError) as caught:
        known_permissions(["billing:read", "billing:all"])
    assert (caught.value.code, caught.value.details["unknown"]) == ("unknownPermission", ["billing:all"])


def test_a_token_asks_about_its_own_workspace_only_and_an_operator_about_any() -> None:
    token, operator = principal("owner", PERMISSIONS), principal(None, PERMISSIONS, "operator")
    assert token.within(UUID(int=3)) == token
    with pytest.raises(TallystickError, match="forbidden"):
        token.within(UUID(int=4))
    assert operator.within(UUID(int=4)).workspace_id == UUID(int=4)
