-- name: page
SELECT workspace_id, id, name, scope, subject, per, unit, amount, created_at
FROM budget
WHERE workspace_id = %(workspace_id)s::uuid AND ended_at IS NULL
ORDER BY created_at, id
LIMIT %(limit)s::int OFFSET %(offset)s::int

-- name: one
SELECT workspace_id, id, name, scope, subject, per, unit, amount, created_at
FROM budget
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid AND ended_at IS NULL
