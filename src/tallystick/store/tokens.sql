-- name: insert_token
INSERT INTO api_token (id, hash, last4, name, workspace_id, person_id, permissions, is_operator, created_at, expires_at)
VALUES (%(id)s::uuid, %(hash)s::bytea, %(last4)s::text, %(name)s::text, %(workspace_id)s::uuid, %(person_id)s::uuid,
        %(permissions)s::text[], %(is_operator)s::boolean, %(created_at)s::timestamptz, %(expires_at)s::timestamptz);

-- name: lock_token
SELECT id, name, last4, workspace_id, person_id, permissions, is_operator, created_at, expires_at, revoked_at
FROM api_token
WHERE id = %(id)s::uuid AND workspace_id IS NOT DISTINCT FROM %(workspace_id)s::uuid
FOR UPDATE;

-- name: revoke_token
UPDATE api_token SET revoked_at = %(now)s::timestamptz
WHERE id = %(id)s::uuid AND workspace_id IS NOT DISTINCT FROM %(workspace_id)s::uuid AND revoked_at IS NULL;

-- name: revoke_tokens_named
UPDATE api_token SET revoked_at = %(now)s::timestamptz
WHERE name = %(name)s::text AND workspace_id IS NOT DISTINCT FROM %(workspace_id)s::uuid AND revoked_at IS NULL
RETURNING id;

-- name: has_token_hash
SELECT id FROM api_token WHERE id = %(id)s::uuid AND hash = %(hash)s::bytea;

-- name: revoke_tokens_of_person
UPDATE api_token SET revoked_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND person_id = %(person_id)s::uuid AND revoked_at IS NULL;
