-- name: insert_workspace
INSERT INTO workspace (id, key, name, email, zone, created_at, clock_at)
VALUES (
    %(id)s::uuid, %(key)s::text, %(name)s::text, %(email)s::text, %(zone)s::text, %(created_at)s::timestamptz,
    %(clock_at)s::timestamptz
)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- name: workspace_by_id
-- A closed one too: what it owes is still collected.
SELECT id, key, name, email, zone, created_at, clock_at
FROM workspace
WHERE id = %(id)s::uuid;

-- name: zone_of
SELECT zone FROM workspace WHERE id = %(id)s::uuid;

-- name: clocks
SELECT id, clock_at FROM workspace WHERE id = ANY(%(ids)s::uuid[]) AND closed_at IS NULL;

-- name: clock_now
-- Shared, so that the clock waits for whoever books by it, and they need not wait for each other.
SELECT clock_at FROM workspace WHERE id = %(id)s::uuid FOR SHARE;

-- name: lock_clock
SELECT clock_at FROM workspace WHERE id = %(id)s::uuid AND closed_at IS NULL FOR UPDATE;

-- name: set_clock
UPDATE workspace SET clock_at = %(at)s::timestamptz WHERE id = %(id)s::uuid;

-- name: next_due
SELECT least(
    (SELECT min(due_at) FROM balance WHERE workspace_id = %(workspace_id)s::uuid),
    (
        SELECT min(comply_by) FROM deployment
        WHERE workspace_id = %(workspace_id)s::uuid AND state = 'stopping' AND comply_by > %(after)s::timestamptz
    )
) AS due_at;

-- name: next_owed
-- A period's end and the notice of a trial's end change what is owed: what follows is counted from that instant.
SELECT least(
    (
        SELECT min(ends_at) FROM billing_period
        WHERE workspace_id = %(workspace_id)s::uuid AND closed_at IS NULL AND ends_at > %(after)s::timestamptz
    ),
    (
        SELECT min(next_at) FROM invoice
        WHERE workspace_id = %(workspace_id)s::uuid AND next_at > %(after)s::timestamptz
    ),
    (
        SELECT min(next_at) FROM payment
        WHERE workspace_id = %(workspace_id)s::uuid AND next_at > %(after)s::timestamptz
    )
) AS owed_at;
