-- name: hold
SELECT *
FROM hold
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: holds
SELECT *
FROM hold
WHERE workspace_id = %(workspace_id)s::uuid
    AND (%(status)s::text IS NULL OR status = %(status)s::text)
    AND (%(run)s::text IS NULL OR run = %(run)s::text)
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s::int OFFSET %(offset)s::int
