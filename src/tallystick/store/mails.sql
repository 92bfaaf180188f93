-- name: recipients
-- Everybody who may get mails of these workspaces, with the topics that they turned off.
SELECT m.workspace_id, m.person_id, m.role, p.email, p.first_name,
    coalesce(array_agg(n.topic ORDER BY n.topic) FILTER (WHERE NOT n.mail), '{}') AS muted
FROM member AS m
JOIN person AS p ON p.id = m.person_id
LEFT JOIN notification_preference AS n ON n.workspace_id = m.workspace_id AND n.person_id = m.person_id
WHERE m.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND m.role IN ('owner', 'admin')
GROUP BY m.workspace_id, m.person_id, m.role, p.email, p.first_name, m.created_at
ORDER BY m.workspace_id, m.created_at, m.person_id;

-- name: accounts
-- Both balances of these workspaces, and whose they are, as letters show them.
SELECT w.id AS workspace_id, w.name, w.zone, b.unit, b.posted, b.allocation
FROM workspace AS w
JOIN balance AS b ON b.workspace_id = w.id
WHERE w.id = ANY(%(workspace_ids)s::uuid[])
ORDER BY w.id, b.unit;

-- name: add
-- A second mail about the same to the same person is none, whether it is the same mail or another of that day.
INSERT INTO mail (workspace_id, id, fact_id, person_id, kind, dedup, to_address, message_id, subject, html, plain,
                  status, attempts, next_at, created_at)
SELECT workspace_id, id, fact_id, person_id, kind, dedup, to_address, message_id, subject, html, plain,
    status, 0, %(now)s::timestamptz, %(now)s::timestamptz
FROM json_to_recordset(%(rows)s::json) AS n (
    workspace_id uuid, id uuid, fact_id uuid, person_id uuid, kind text, dedup text, to_address text, message_id text,
    subject text, html text, plain text, status text)
ON CONFLICT DO NOTHING;

-- name: told_already
-- Which of these have a mail already, so that none is written only to be thrown away.
SELECT m.workspace_id, m.person_id, m.dedup
FROM mail AS m
JOIN unnest(%(workspace_ids)s::uuid[], %(person_ids)s::uuid[], %(dedups)s::text[])
    AS n (workspace_id, person_id, dedup)
    ON m.workspace_id = n.workspace_id AND m.person_id = n.person_id AND m.dedup = n.dedup;

-- name: lock_due
-- What is to be sent now. next_at of one that is being sent is when another may take it.
SELECT workspace_id, id, fact_id, person_id, kind, dedup, to_address, message_id, subject, html, plain, status,
    attempts, next_at, error, created_at, sent_at
FROM mail
WHERE status = 'queued' AND next_at <= %(now)s::timestamptz
ORDER BY next_at, workspace_id, id
LIMIT %(limit)s::int
FOR UPDATE SKIP LOCKED;

-- name: lock_one
SELECT workspace_id, id, fact_id, person_id, kind, dedup, to_address, message_id, subject, html, plain, status,
    attempts, next_at, error, created_at, sent_at
FROM mail
WHERE id = %(id)s::uuid
    AND (%(workspace_id)s::uuid IS NULL OR workspace_id = %(workspace_id)s::uuid)
FOR UPDATE;

-- name: lease
-- The attempt is counted before it is made: one that ends in a crash was one too.
UPDATE mail AS m
SET attempts = m.attempts + 1, next_at = %(until)s::timestamptz
FROM unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[]) AS n (workspace_id, id)
WHERE m.workspace_id = n.workspace_id AND m.id = n.id;

-- name: give_up
UPDATE mail AS m
SET status = 'dead', error = coalesce(m.error, 'The last attempt did not end.')
FROM unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[]) AS n (workspace_id, id)
WHERE m.workspace_id = n.workspace_id AND m.id = n.id;

-- name: keep
-- No SMTP server is named any more: what waits is for reading.
UPDATE mail AS m
SET status = 'kept'
FROM unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[]) AS n (workspace_id, id)
WHERE m.workspace_id = n.workspace_id AND m.id = n.id;

-- name: sent
-- Whoever took it in the meantime: it was sent, and must not be given up or tried again.
UPDATE mail SET status = 'sent', sent_at = %(now)s::timestamptz, error = NULL
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid AND status <> 'sent';

-- name: failed
-- Only the attempt that is the newest: one that lost its lease says nothing about the next.
UPDATE mail SET status = %(status)s::text, error = %(error)s::text, next_at = %(next_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid AND status = 'queued'
    AND attempts = %(attempts)s::int;

-- name: queue_again
UPDATE mail SET status = 'queued', attempts = 0, next_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid;

-- name: put_preference
INSERT INTO notification_preference (workspace_id, person_id, topic, mail, updated_at)
VALUES (%(workspace_id)s::uuid, %(person_id)s::uuid, %(topic)s::text, %(mail)s::boolean, %(now)s::timestamptz)
ON CONFLICT (workspace_id, person_id, topic) DO UPDATE SET mail = excluded.mail, updated_at = excluded.updated_at
