-- name: newest_runs
-- The newest runs that have a charge that fits; what is not given fits all. A run that a runner has, or that money is
-- set aside for, goes on and says too little. Newest charges first, so that a busy workspace is read no further than needed.
SELECT c.run, max(c.used_at) AS last_at
FROM (
    SELECT run, used_at
    FROM usage_event
    WHERE workspace_id = %(workspace_id)s::uuid AND run IS NOT NULL
        AND used_at >= %(since)s::timestamptz AND used_at < %(until)s::timestamptz
        AND (%(workflow_id)s::uuid IS NULL OR workflow_id = %(workflow_id)s::uuid)
        AND (%(agent_id)s::uuid IS NULL OR agent_id = %(agent_id)s::uuid)
        AND (%(batch)s::text IS NULL OR data ->> 'batch' = %(batch)s::text)
    ORDER BY used_at DESC
    LIMIT %(charges)s::int
) AS c
WHERE NOT EXISTS (
    SELECT FROM hold AS h
    WHERE h.workspace_id = %(workspace_id)s::uuid AND h.run = c.run AND h.status = 'held'
        AND h.expires_at > %(now)s::timestamptz
)
AND NOT EXISTS (
    SELECT FROM run AS r
    WHERE r.workspace_id = %(workspace_id)s::uuid AND r.id::text = c.run AND r.status IN ('running', 'cancelling')
)
GROUP BY c.run
ORDER BY last_at DESC, c.run
LIMIT %(runs)s::int

-- name: sums
-- What each run came to. A refund forgives what a run cost, and changes nothing of what the next one will.
SELECT run, sum(credits)::bigint AS credits, sum(tool_runs)::bigint AS tool_runs
FROM usage_event
WHERE workspace_id = %(workspace_id)s::uuid AND run IS NOT NULL AND run = ANY(%(runs)s::text[])
    AND source <> %(refunds)s::text
GROUP BY run
ORDER BY run
