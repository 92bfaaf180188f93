-- name: claim_idempotency_key
INSERT INTO idempotency_key (workspace_id, route, key, request_hash, response, created_at)
VALUES (%(workspace_id)s::uuid, %(route)s::text, %(key)s::text, %(hash)s::bytea, '{}'::jsonb, %(now)s::timestamptz)
ON CONFLICT (workspace_id, route, key) DO NOTHING
RETURNING key;

-- name: first_answer
SELECT request_hash, response
FROM idempotency_key
WHERE workspace_id = %(workspace_id)s::uuid AND route = %(route)s::text AND key = %(key)s::text;

-- name: keep_answer
UPDATE idempotency_key SET response = %(response)s::jsonb
WHERE workspace_id = %(workspace_id)s::uuid AND route = %(route)s::text AND key = %(key)s::text;
