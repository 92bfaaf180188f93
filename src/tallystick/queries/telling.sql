-- name: facts
-- A page of a workspace's facts, newest first.
SELECT workspace_id, id, kind, at, data::text AS data, created_at, fanned_at
FROM fact
WHERE workspace_id = %(workspace_id)s::uuid
    AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
    AND (%(start)s::timestamptz IS NULL OR at >= %(start)s::timestamptz)
    AND (%(end)s::timestamptz IS NULL OR at < %(end)s::timestamptz)
ORDER BY at DESC, created_at DESC, id DESC
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: mails
-- A page of the outbox, newest first: one workspace's, or for the operator all of them. Without the parts, which are long.
SELECT workspace_id, id, fact_id, person_id, kind, dedup, to_address, message_id, subject, '' AS html, '' AS plain,
    status, attempts, next_at, error, created_at, sent_at
FROM mail
WHERE (%(workspace_id)s::uuid IS NULL OR workspace_id = %(workspace_id)s::uuid)
    AND (%(status)s::text IS NULL OR status = %(status)s::text)
    AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: mail
SELECT workspace_id, id, fact_id, person_id, kind, dedup, to_address, message_id, subject, html, plain,
    status, attempts, next_at, error, created_at, sent_at
FROM mail
WHERE id = %(id)s::uuid AND (%(workspace_id)s::uuid IS NULL OR workspace_id = %(workspace_id)s::uuid);

-- name: preferences
SELECT topic, mail
FROM notification_preference
WHERE workspace_id = %(workspace_id)s::uuid AND person_id = %(person_id)s::uuid
ORDER BY topic
