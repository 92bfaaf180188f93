-- name: grants
-- The newest first; history covers what is past and is nobody's to use.
SELECT id, unit, source, amount, remaining, priority, starts_at, expires_at, created_at, reason, ended_at, expired, kept
FROM credit_grant
WHERE workspace_id = %(workspace_id)s::uuid AND source <> 'history'
    AND (%(ended)s::boolean OR ended_at IS NULL)
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s::int OFFSET %(offset)s::bigint
