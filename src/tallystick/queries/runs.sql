-- name: runs
SELECT workspace_id, id, workflow_id, release_id, batch_id, position, status, reason, error_message,
    data::text AS data, nodes::text AS nodes, output::text AS output, runner, lease, lease_expires_at, claims,
    created_at, updated_at, started_at, finished_at
FROM run
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])
ORDER BY created_at, position, id

-- name: run_ids
-- Newest first; those of one batch in its order.
SELECT id
FROM run
WHERE workspace_id = %(workspace_id)s::uuid
    AND (%(workflow_id)s::uuid IS NULL OR workflow_id = %(workflow_id)s::uuid)
    AND (%(batch_id)s::uuid IS NULL OR batch_id = %(batch_id)s::uuid)
    AND (%(status)s::text IS NULL OR status = %(status)s::text)
ORDER BY created_at DESC, position, id
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint

-- name: executions
SELECT workspace_id, run_id, id, node_id, node_slug, node_kind, node_action, child_index, next_node_id, attempt, status,
    title, output::text AS output, error_message, computed_config::text AS computed_config, created_at, updated_at,
    started_at, finished_at
FROM execution
WHERE workspace_id = %(workspace_id)s::uuid AND run_id = ANY(%(run_ids)s::uuid[])
ORDER BY run_id, created_at, id

-- name: credits_of_runs
-- What was charged for each run and node: all of it, and what its providers cost (executions and storage are our own).
SELECT run, data ->> 'node' AS node, sum(credits)::bigint AS credits,
    coalesce(sum(credits) FILTER (WHERE category NOT IN ('execution', 'storage')), 0)::bigint AS provider_credits
FROM usage_event
WHERE workspace_id = %(workspace_id)s::uuid AND run = ANY(%(runs)s::text[])
GROUP BY run, data ->> 'node'

-- name: batches
SELECT workspace_id, id, workflow_id, release_id, status, reason, error_message, runs, succeeded, failed, skipped,
    cancelled, created_at, updated_at, started_at, finished_at
FROM batch
WHERE workspace_id = %(workspace_id)s::uuid
    AND (%(id)s::uuid IS NULL OR id = %(id)s::uuid)
    AND (%(workflow_id)s::uuid IS NULL OR workflow_id = %(workflow_id)s::uuid)
    AND (%(status)s::text IS NULL OR status = %(status)s::text)
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint

-- name: credits_of_batches
SELECT r.batch_id, sum(u.credits)::bigint AS credits
FROM run AS r
JOIN usage_event AS u ON u.workspace_id = r.workspace_id AND u.run = r.id::text
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.batch_id = ANY(%(ids)s::uuid[])
GROUP BY r.batch_id
