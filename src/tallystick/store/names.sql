-- name: workspaces
SELECT w.id, w.key
FROM workspace AS w
WHERE (w.id = ANY(%(ids)s::uuid[]) OR w.key = ANY(%(keys)s::text[])) AND w.closed_at IS NULL

-- name: births
SELECT id, created_at
FROM workspace
WHERE id = ANY(%(ids)s::uuid[])

-- name: resources_no
SELECT workspace_id, resources_no
FROM balance
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND unit = 'credits'

-- name: by_key
SELECT r.workspace_id, r.kind, r.key, r.id, r.attributes
FROM resource AS r
JOIN unnest(%(workspace_ids)s::uuid[], %(kinds)s::text[], %(keys)s::text[]) AS n (workspace_id, kind, key)
    ON r.workspace_id = n.workspace_id AND r.kind = n.kind AND r.key = n.key
WHERE r.workspace_id = ANY(%(workspace_ids)s::uuid[])

-- name: by_id
SELECT r.workspace_id, r.kind, r.key, r.id, r.attributes
FROM resource AS r
JOIN unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[]) AS n (workspace_id, id)
    ON r.workspace_id = n.workspace_id AND r.id = n.id
WHERE r.workspace_id = ANY(%(workspace_ids)s::uuid[])

-- name: existing
SELECT r.workspace_id, r.id
FROM resource AS r
JOIN unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[]) AS n (workspace_id, id)
    ON r.workspace_id = n.workspace_id AND r.id = n.id
WHERE r.workspace_id = ANY(%(workspace_ids)s::uuid[])

-- name: counts
SELECT workspace_id, kind, count(*) AS found
FROM resource
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND kind = ANY(%(kinds)s::text[])
GROUP BY workspace_id, kind

-- name: insert
INSERT INTO resource (workspace_id, id, kind, key, name, attributes, created_at, updated_at)
SELECT workspace_id, id, kind, key, key, attributes, %(now)s::timestamptz, %(now)s::timestamptz
FROM unnest(
    %(workspace_ids)s::uuid[], %(ids)s::uuid[], %(kinds)s::text[], %(keys)s::text[], %(attributes)s::jsonb[]
) AS n (workspace_id, id, kind, key, attributes)
ON CONFLICT DO NOTHING
