-- name: tokens_by_hash
-- Each token, with its person's membership of its workspace, and what time it is there.
SELECT t.hash, t.id, t.name, t.last4, t.workspace_id, t.person_id, t.permissions, t.is_operator, t.created_at,
    t.expires_at, t.revoked_at, m.role AS member_role, m.permissions AS member_permissions,
    -- Looked up for each token: a join would read all workspaces, since the planner expects many tokens.
    (SELECT w.clock_at FROM workspace AS w WHERE w.id = t.workspace_id) AS clock_at
FROM api_token AS t
LEFT JOIN member AS m ON m.workspace_id = t.workspace_id AND m.person_id = t.person_id
WHERE t.hash = ANY(%(hashes)s::bytea[]) AND t.revoked_at IS NULL;

-- name: clock
SELECT clock_at FROM workspace WHERE id = %(id)s::uuid AND closed_at IS NULL;

-- name: person
SELECT id, email, first_name, last_name, created_at FROM person WHERE id = %(id)s::uuid;

-- name: workspace
SELECT id, key, name, email, zone, created_at, clock_at FROM workspace WHERE id = %(id)s::uuid AND closed_at IS NULL;

-- name: workspaces
SELECT id, key, name, email, zone, created_at, clock_at
FROM workspace
WHERE closed_at IS NULL AND (%(key)s::text IS NULL OR key = %(key)s::text)
ORDER BY created_at, id
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: members
SELECT m.person_id, m.role, m.permissions, m.created_at AS member_since, p.email, p.first_name, p.last_name
FROM member m
JOIN person p ON p.id = m.person_id
WHERE m.workspace_id = %(workspace_id)s::uuid
ORDER BY m.created_at, m.person_id;

-- name: tokens_of_workspace
SELECT id, name, last4, workspace_id, person_id, permissions, is_operator, created_at, expires_at, revoked_at
FROM api_token
WHERE workspace_id = %(workspace_id)s::uuid AND revoked_at IS NULL
ORDER BY created_at, id;

-- name: resource
SELECT id, kind, key, name, description, attributes, created_at, updated_at, deleted_at
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid AND kind = %(kind)s::text;

-- name: resources
SELECT id, kind, key, name, description, attributes, created_at, updated_at, deleted_at
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND kind = %(kind)s::text
  AND (deleted_at IS NULL OR %(include_deleted)s::boolean)
ORDER BY created_at, id
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;
