-- name: record
-- A fact whose id is there already was told before.
INSERT INTO fact (workspace_id, id, kind, at, data, created_at)
SELECT workspace_id, id, kind, at, data, %(now)s::timestamptz
FROM json_to_recordset(%(rows)s::json) AS n (workspace_id uuid, id uuid, kind text, at timestamptz, data jsonb)
ON CONFLICT (workspace_id, id) DO NOTHING
