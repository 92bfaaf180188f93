-- name: record
-- A fact whose id is there already was told before.
INSERT INTO fact (workspace_id, id, kind, at, data, created_at)
SELECT workspace_id, id, kind, at, data, %(now)s::timestamptz
FROM json_to_recordset(%(rows)s::json) AS n (workspace_id uuid, id uuid, kind text, at timestamptz, data jsonb)
ON CONFLICT (workspace_id, id) DO NOTHING;

-- name: lock_waiting
-- Oldest first, so that of a day's mails about one threshold the first fact's is made.
SELECT workspace_id, id, kind, at, data::text AS data
FROM fact
WHERE fanned_at IS NULL
ORDER BY created_at, at, id
LIMIT %(limit)s::int
FOR UPDATE SKIP LOCKED;

-- name: fanned
UPDATE fact AS f SET fanned_at = %(now)s::timestamptz
FROM unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[]) AS n (workspace_id, id)
WHERE f.workspace_id = n.workspace_id AND f.id = n.id
