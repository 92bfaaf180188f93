-- name: announce_connector_change
-- Locks what ingest locks first; its caches of connectors see the number move and read again.
UPDATE balance SET resources_no = resources_no + 1
WHERE workspace_id = %(workspace_id)s::uuid AND unit = 'credits';

-- name: lock_resource
SELECT id, kind, key, name, description, attributes, created_at, updated_at, deleted_at
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid
FOR UPDATE;

-- name: count_resources
SELECT count(*) AS found
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND kind = %(kind)s::text;

-- name: insert_resource
INSERT INTO resource (workspace_id, id, kind, key, name, description, attributes, created_at, updated_at, deleted_at)
VALUES (%(workspace_id)s::uuid, %(id)s::uuid, %(kind)s::text, %(key)s::text, %(name)s::text, %(description)s::text,
        %(attributes)s::jsonb, %(created_at)s::timestamptz, %(updated_at)s::timestamptz, %(deleted_at)s::timestamptz)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: update_resource
UPDATE resource
SET name = %(name)s::text, description = %(description)s::text, attributes = %(attributes)s::jsonb,
    updated_at = %(updated_at)s::timestamptz, deleted_at = %(deleted_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid;
