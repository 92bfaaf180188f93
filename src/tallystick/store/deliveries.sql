-- name: due
-- What waits, oldest first; the caller chooses among it, so that no endpoint takes all the room.
SELECT d.workspace_id, d.id, d.endpoint_id
FROM webhook_delivery AS d
WHERE d.status = 'queued' AND d.next_at <= %(now)s::timestamptz AND NOT d.endpoint_id = ANY(%(busy)s::uuid[])
  AND NOT d.workspace_id = ANY(%(busy_workspaces)s::uuid[])
ORDER BY d.next_at, d.workspace_id, d.id
LIMIT %(limit)s::bigint

-- name: claim
-- Those that nobody else has taken meanwhile. The attempt counts from here, whatever becomes of us.
WITH chosen AS (
    SELECT d.workspace_id, d.id
    FROM webhook_delivery AS d
    JOIN unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[]) AS n (workspace_id, id)
        ON d.workspace_id = n.workspace_id AND d.id = n.id
    WHERE d.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND d.status = 'queued' AND d.next_at <= %(now)s::timestamptz
    ORDER BY d.workspace_id, d.id
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE webhook_delivery AS d
SET attempts = d.attempts + 1, next_at = %(until)s::timestamptz
FROM chosen AS c
WHERE d.workspace_id = c.workspace_id AND d.id = c.id
RETURNING d.workspace_id, d.id, d.endpoint_id, d.fact_id, d.attempts

-- name: letters
-- What to send of deliveries, and where to.
SELECT e.workspace_id, e.id, e.url, e.description, e.kinds, e.secret, e.previous_secret, e.previous_until, e.is_enabled,
    e.disabled_because, e.failing_since, e.failing_told_at, e.created_at, e.updated_at, e.deleted_at,
    d.id AS delivery_id, d.attempts, f.id AS fact_id, f.kind, f.at, f.data::text AS data
FROM webhook_delivery AS d
JOIN webhook_endpoint AS e ON e.workspace_id = d.workspace_id AND e.id = d.endpoint_id
JOIN fact AS f ON f.workspace_id = d.workspace_id AND f.id = d.fact_id
WHERE d.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND d.id = ANY(%(ids)s::uuid[])
ORDER BY d.workspace_id, d.id

-- name: lock
SELECT status, attempts, attempts_before, endpoint_id
FROM webhook_delivery
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid
FOR UPDATE

-- name: endpoint_of
SELECT endpoint_id
FROM webhook_delivery
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: log_attempt
-- Written once, also where its transaction is run again.
INSERT INTO webhook_attempt (workspace_id, delivery_id, number, at, milliseconds, status_code, error, answer)
VALUES (
    %(workspace_id)s::uuid, %(delivery_id)s::uuid, %(number)s::int, %(at)s::timestamptz, %(milliseconds)s::int,
    %(status_code)s::int, %(error)s::text, %(answer)s::text
)
ON CONFLICT (workspace_id, delivery_id, number) DO NOTHING

-- name: finish
UPDATE webhook_delivery
SET status = %(status)s::text, finished_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: postpone
UPDATE webhook_delivery
SET next_at = %(next_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: abandon
-- Nothing more goes to this endpoint; what waits can be replayed. Its endpoint is locked.
WITH waiting AS (
    SELECT workspace_id, id
    FROM webhook_delivery
    WHERE workspace_id = %(workspace_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid AND status = 'queued'
    ORDER BY id
    FOR UPDATE
)
UPDATE webhook_delivery AS d
SET status = 'dead', finished_at = %(now)s::timestamptz
FROM waiting AS w
WHERE d.workspace_id = w.workspace_id AND d.id = w.id

-- name: replay
-- To be sent again: the schedule begins anew, the numbers of the attempts go on. One that is being sent right now is left
-- alone: its outcome is not known yet.
WITH chosen AS (
    SELECT d.workspace_id, d.id
    FROM webhook_delivery AS d
    WHERE d.workspace_id = %(workspace_id)s::uuid AND d.endpoint_id = %(endpoint_id)s::uuid
      AND (%(id)s::uuid IS NULL OR d.id = %(id)s::uuid)
      AND (%(since)s::timestamptz IS NULL OR d.created_at >= %(since)s::timestamptz)
      AND d.status = ANY(%(statuses)s::text[])
      AND (d.status <> 'queued' OR d.attempts = 0 OR EXISTS (
          SELECT 1 FROM webhook_attempt AS a
          WHERE a.workspace_id = d.workspace_id AND a.delivery_id = d.id AND a.number = d.attempts
      ))
    ORDER BY d.workspace_id, d.id
    FOR UPDATE OF d
)
UPDATE webhook_delivery AS d
SET status = 'queued', attempts_before = d.attempts, next_at = %(now)s::timestamptz, finished_at = NULL
FROM chosen AS c
WHERE d.workspace_id = c.workspace_id AND d.id = c.id
