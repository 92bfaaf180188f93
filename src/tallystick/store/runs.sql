-- name: insert
INSERT INTO run (
    workspace_id, id, workflow_id, release_id, batch_id, position, status, data, nodes, created_at, updated_at
)
SELECT %(workspace_id)s::uuid, n.id, %(workflow_id)s::uuid, %(release_id)s::uuid, %(batch_id)s::uuid, n.position,
    %(status)s::text, n.data, %(nodes)s::json, %(now)s::timestamptz, %(now)s::timestamptz
FROM unnest(%(ids)s::uuid[], %(data)s::json[], %(positions)s::int[]) AS n (id, data, position)

-- name: update
UPDATE run AS r
SET status = n.status, reason = n.reason, error_message = n.error_message, output = n.output, runner = n.runner,
    lease = n.lease, lease_expires_at = n.lease_expires_at, claims = n.claims, updated_at = n.updated_at,
    started_at = n.started_at, finished_at = n.finished_at
FROM unnest(
    %(ids)s::uuid[], %(statuses)s::text[], %(reasons)s::text[], %(error_messages)s::text[], %(outputs)s::json[],
    %(runners)s::text[], %(leases)s::uuid[], %(lease_ends)s::timestamptz[], %(claims)s::int[],
    %(updated_at)s::timestamptz[], %(started_at)s::timestamptz[], %(finished_at)s::timestamptz[]
) AS n (
    id, status, reason, error_message, output, runner, lease, lease_expires_at, claims, updated_at, started_at,
    finished_at
)
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.id = n.id

-- name: lock
SELECT workspace_id, id, workflow_id, release_id, batch_id, position, status, reason, error_message,
    data::text AS data, nodes::text AS nodes, output::text AS output, runner, lease, lease_expires_at, claims,
    created_at, updated_at, started_at, finished_at
FROM run
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])
ORDER BY id
FOR UPDATE

-- name: lock_free
-- Those of the runs that a runner may have and that nobody else is about to give out.
SELECT workspace_id, id, workflow_id, release_id, batch_id, position, status, reason, error_message,
    data::text AS data, nodes::text AS nodes, output::text AS output, runner, lease, lease_expires_at, claims,
    created_at, updated_at, started_at, finished_at
FROM run
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])
    AND (
        status IN ('idle', 'pending')
        OR (status IN ('running', 'cancelling') AND lease_expires_at <= %(now)s::timestamptz)
    )
ORDER BY created_at, position, id
FOR UPDATE SKIP LOCKED

-- name: outlines
-- What says which rows have to be locked before these.
SELECT id, workflow_id, batch_id, status
FROM run
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])

-- name: waiting_count
-- Of a batch whatever has not ended: counting those that wait alone would mean to look at each of them.
SELECT
    (
        SELECT count(*)
        FROM run
        WHERE workspace_id = %(workspace_id)s::uuid AND workflow_id = %(workflow_id)s::uuid AND status = 'pending'
    ) + (
        SELECT coalesce(sum(runs - succeeded - failed - skipped - cancelled), 0)
        FROM batch
        WHERE workspace_id = %(workspace_id)s::uuid AND workflow_id = %(workflow_id)s::uuid
            AND status IN ('pending', 'running')
    ) AS waiting

-- name: going_counts
SELECT workflow_id, count(*) AS going
FROM run
WHERE workspace_id = %(workspace_id)s::uuid AND workflow_id = ANY(%(workflow_ids)s::uuid[])
    AND status IN ('running', 'cancelling')
GROUP BY workflow_id

-- name: claimable
-- What runners may have: first what was lost, then in turns. A batch is one queue, the runs of a workflow outside any
-- batch are another; the one of which least goes on comes first, so that a long batch makes nobody wait for its end. Of
-- each workflow no more than its limit leaves room for, so that a full one stands in nobody's way.
(
    SELECT r.workspace_id, r.id, true AS lost, 0::bigint AS turn, r.created_at, r.position
    FROM run AS r
    WHERE r.status IN ('running', 'cancelling') AND r.lease_expires_at <= %(now)s::timestamptz
        AND (%(workspace_id)s::uuid IS NULL OR r.workspace_id = %(workspace_id)s::uuid)
    LIMIT %(limit)s::int
)
UNION ALL
(
    SELECT q.workspace_id, n.id, false AS lost, g.of_queue + n.place AS turn, n.created_at, n.position
    FROM (
        SELECT b.workspace_id, b.workflow_id, b.id AS batch_id
        FROM batch AS b
        WHERE b.status IN ('pending', 'running')
            AND (%(workspace_id)s::uuid IS NULL OR b.workspace_id = %(workspace_id)s::uuid)
        UNION ALL
        SELECT DISTINCT r.workspace_id, r.workflow_id, NULL::uuid AS batch_id
        FROM run AS r
        WHERE r.status = 'pending'
            AND (%(workspace_id)s::uuid IS NULL OR r.workspace_id = %(workspace_id)s::uuid)
    ) AS q
    JOIN workflow AS w ON w.workspace_id = q.workspace_id AND w.id = q.workflow_id
    JOIN resource AS c ON c.workspace_id = q.workspace_id AND c.id = q.workflow_id
        AND c.attributes -> 'isEnabled' IS DISTINCT FROM 'false'::jsonb
    CROSS JOIN LATERAL (
        SELECT count(*) AS of_workflow, count(*) FILTER (WHERE r.batch_id IS NOT DISTINCT FROM q.batch_id) AS of_queue
        FROM run AS r
        WHERE r.workspace_id = q.workspace_id AND r.workflow_id = q.workflow_id
            AND r.status IN ('running', 'cancelling')
    ) AS g
    CROSS JOIN LATERAL (
        SELECT least(%(limit)s::bigint, coalesce(w.concurrency_limit - g.of_workflow, %(limit)s::bigint)) AS runs
    ) AS room
    CROSS JOIN LATERAL (
        SELECT f.id, f.created_at, f.position, row_number() OVER (ORDER BY f.created_at, f.position) AS place
        FROM (
            (
                SELECT r.id, r.created_at, r.position
                FROM run AS r
                WHERE q.batch_id IS NULL AND r.workspace_id = q.workspace_id AND r.workflow_id = q.workflow_id
                    AND r.status = 'pending'
                ORDER BY r.created_at
                LIMIT greatest(room.runs, 0)
            )
            UNION ALL
            (
                SELECT r.id, r.created_at, r.position
                FROM run AS r
                WHERE r.workspace_id = q.workspace_id AND r.batch_id = q.batch_id AND r.status = 'idle'
                ORDER BY r.position
                LIMIT greatest(room.runs, 0)
            )
        ) AS f
    ) AS n
    ORDER BY turn, n.created_at, n.position
    LIMIT %(most)s::int
)
ORDER BY lost DESC, turn, created_at, position, id

-- name: refuse_idle
-- What one run of a batch was refused for stands against those behind it as well.
UPDATE run
SET status = 'skipped', reason = %(reason)s::text, error_message = %(error_message)s::text,
    updated_at = %(now)s::timestamptz, finished_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND batch_id = %(batch_id)s::uuid AND status = 'idle'
    AND id <> ALL(%(spared)s::uuid[])

-- name: cancel_waiting
UPDATE run
SET status = 'cancelled', updated_at = %(now)s::timestamptz, finished_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND batch_id = %(batch_id)s::uuid AND status IN ('idle', 'pending')

-- name: cancel_going
UPDATE run
SET status = 'cancelling', updated_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND batch_id = %(batch_id)s::uuid AND status = 'running'

-- name: insert_batch
INSERT INTO batch (workspace_id, id, workflow_id, release_id, status, runs, created_at, updated_at)
VALUES (%(workspace_id)s::uuid, %(id)s::uuid, %(workflow_id)s::uuid, %(release_id)s::uuid, 'pending', %(runs)s::int,
    %(now)s::timestamptz, %(now)s::timestamptz)

-- name: lock_batches
SELECT workspace_id, id, workflow_id, release_id, status, reason, error_message, runs, succeeded, failed, skipped,
    cancelled, created_at, updated_at, started_at, finished_at
FROM batch
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])
ORDER BY id
FOR UPDATE

-- name: update_batch
UPDATE batch
SET status = %(status)s::text, reason = %(reason)s::text, error_message = %(error_message)s::text,
    succeeded = %(succeeded)s::int, failed = %(failed)s::int, skipped = %(skipped)s::int,
    cancelled = %(cancelled)s::int, updated_at = %(updated_at)s::timestamptz, started_at = %(started_at)s::timestamptz,
    finished_at = %(finished_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: executions
SELECT workspace_id, run_id, id, node_id, node_slug, node_kind, node_action, child_index, next_node_id, attempt, status,
    title, output::text AS output, error_message, computed_config::text AS computed_config, created_at, updated_at,
    started_at, finished_at
FROM execution
WHERE workspace_id = %(workspace_id)s::uuid AND run_id = ANY(%(run_ids)s::uuid[])
ORDER BY run_id, created_at, id

-- name: execution
SELECT workspace_id, run_id, id, node_id, node_slug, node_kind, node_action, child_index, next_node_id, attempt, status,
    title, output::text AS output, error_message, computed_config::text AS computed_config, created_at, updated_at,
    started_at, finished_at
FROM execution
WHERE workspace_id = %(workspace_id)s::uuid AND run_id = %(run_id)s::uuid AND id = %(id)s::uuid

-- name: end_executions
-- What still goes on when its run ends will never be heard of again.
UPDATE execution
SET status = 'cancelled', updated_at = %(now)s::timestamptz, finished_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND run_id = ANY(%(run_ids)s::uuid[]) AND status = 'running'

-- name: lost_cancelling
SELECT workspace_id, id
FROM run
WHERE status = 'cancelling' AND lease_expires_at <= %(now)s::timestamptz
ORDER BY workspace_id, id
LIMIT %(limit)s::int

-- name: put_execution
INSERT INTO execution (
    workspace_id, run_id, id, node_id, node_slug, node_kind, node_action, child_index, next_node_id, attempt, status,
    title, output, error_message, computed_config, created_at, updated_at, started_at, finished_at
)
VALUES (
    %(workspace_id)s::uuid, %(run_id)s::uuid, %(id)s::uuid, %(node_id)s::uuid, %(node_slug)s::text,
    %(node_kind)s::text, %(node_action)s::text, %(child_index)s::int, %(next_node_id)s::uuid, %(attempt)s::int,
    %(status)s::text, %(title)s::text, %(output)s::json, %(error_message)s::text, %(computed_config)s::json,
    %(created_at)s::timestamptz, %(updated_at)s::timestamptz, %(started_at)s::timestamptz, %(finished_at)s::timestamptz
)
ON CONFLICT (workspace_id, run_id, id) DO UPDATE
SET child_index = excluded.child_index, next_node_id = excluded.next_node_id, attempt = excluded.attempt,
    status = excluded.status, title = excluded.title, output = excluded.output,
    error_message = excluded.error_message, computed_config = excluded.computed_config,
    updated_at = excluded.updated_at, started_at = excluded.started_at, finished_at = excluded.finished_at
