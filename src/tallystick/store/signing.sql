-- name: keys
-- The newest first: it signs, the others only check.
SELECT k.id, k.secret
FROM signing_key AS k
WHERE k.retired_at IS NULL
ORDER BY k.created_at DESC, k.id DESC

-- name: insert
INSERT INTO signing_key (id, secret, created_at)
VALUES (%(id)s::uuid, %(secret)s::bytea, %(now)s::timestamptz)
