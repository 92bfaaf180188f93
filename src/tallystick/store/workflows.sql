-- name: lock
SELECT id, release_id, concurrency_limit, created_at, updated_at
FROM workflow
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid
FOR UPDATE

-- name: insert
INSERT INTO workflow (workspace_id, id, release_id, concurrency_limit, created_at, updated_at)
VALUES (%(workspace_id)s::uuid, %(id)s::uuid, %(release_id)s::uuid, %(concurrency_limit)s::int,
    %(created_at)s::timestamptz, %(updated_at)s::timestamptz)

-- name: update
UPDATE workflow
SET release_id = %(release_id)s::uuid, concurrency_limit = %(concurrency_limit)s::int,
    updated_at = %(updated_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: insert_release
INSERT INTO workflow_release (workspace_id, id, workflow_id, version, nodes, max_steps, created_at)
VALUES (%(workspace_id)s::uuid, %(id)s::uuid, %(workflow_id)s::uuid, %(version)s::int, %(nodes)s::json,
    %(max_steps)s::int, %(created_at)s::timestamptz)

-- name: with_newest_release
-- Of each workflow what runs now; a deleted one is none.
SELECT w.workspace_id, w.id, r.kind, r.name, r.attributes -> 'isEnabled' IS DISTINCT FROM 'false'::jsonb AS is_enabled,
    w.concurrency_limit, w.release_id, v.version, v.max_steps, v.nodes::text AS nodes, w.created_at, w.updated_at
FROM workflow AS w
JOIN resource AS r ON r.workspace_id = w.workspace_id AND r.id = w.id AND r.deleted_at IS NULL
JOIN workflow_release AS v ON v.workspace_id = w.workspace_id AND v.id = w.release_id
WHERE w.workspace_id = %(workspace_id)s::uuid AND w.id = ANY(%(ids)s::uuid[])

-- name: with_releases
-- Of each of these releases what its runs run, whatever has happened to the workflow since.
SELECT w.workspace_id, w.id, r.kind, r.name, r.attributes -> 'isEnabled' IS DISTINCT FROM 'false'::jsonb AS is_enabled,
    w.concurrency_limit, v.id AS release_id, v.version, v.max_steps, v.nodes::text AS nodes, w.created_at, w.updated_at
FROM workflow_release AS v
JOIN workflow AS w ON w.workspace_id = v.workspace_id AND w.id = v.workflow_id
JOIN resource AS r ON r.workspace_id = w.workspace_id AND r.id = w.id
WHERE v.workspace_id = %(workspace_id)s::uuid AND v.id = ANY(%(ids)s::uuid[])

-- name: of_key
-- A play and a tool may share a key; where both are there the play is the workflow, as for events.
SELECT id, kind
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND kind IN ('play', 'tool') AND key = %(key)s::text
ORDER BY kind

-- name: lock_limited
-- Those of the workflows that bound how many runs go on at once: whoever claims runs of one holds its row.
SELECT id, concurrency_limit
FROM workflow
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[]) AND concurrency_limit IS NOT NULL
ORDER BY id
FOR UPDATE

-- name: is_known
SELECT id FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid AND kind IN ('play', 'tool') AND deleted_at IS NULL
