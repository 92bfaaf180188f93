-- name: insert_workspace
INSERT INTO workspace (id, key, name, email, zone, created_at, clock_at)
VALUES (
    %(id)s::uuid, %(key)s::text, %(name)s::text, %(email)s::text, %(zone)s::text, %(created_at)s::timestamptz,
    %(clock_at)s::timestamptz
)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- name: workspace_by_id
SELECT id, key, name, email, zone, created_at, clock_at
FROM workspace
WHERE id = %(id)s::uuid AND closed_at IS NULL;
