-- name: dismiss
INSERT INTO dismissal (workspace_id, person_id, banner, dismissed_at)
VALUES (%(workspace_id)s::uuid, %(person_id)s::uuid, %(banner)s::text, %(now)s::timestamptz)
ON CONFLICT (workspace_id, person_id, banner) DO NOTHING
