-- name: resources_of_kinds
-- Deleted ones are left out here; reports go on naming them.
SELECT id, kind, key, name, description, attributes, created_at, updated_at, deleted_at
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND kind = ANY(%(kinds)s::text[]) AND deleted_at IS NULL
ORDER BY created_at, id
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint
