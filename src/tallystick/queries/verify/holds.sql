-- name: holds
-- Holds that cannot be as they stand: an ended one sets nothing aside, and an open one no more than its settles left.
SELECT id, status, credits, tool_runs, asked_credits, asked_tool_runs, settled_credits, settled_tool_runs, expires_at,
    finished_at, finish_key
FROM hold
WHERE workspace_id = %(workspace_id)s::uuid AND NOT (
    CASE status
        WHEN 'held' THEN finished_at IS NULL AND finish_key IS NULL
            AND credits BETWEEN 0 AND greatest(asked_credits - greatest(settled_credits, 0), 0)
            AND tool_runs BETWEEN 0 AND greatest(asked_tool_runs - greatest(settled_tool_runs, 0), 0)
        WHEN 'expired' THEN credits = 0 AND tool_runs = 0 AND finish_key IS NULL
            AND finished_at IS NOT DISTINCT FROM expires_at
        ELSE credits = 0 AND tool_runs = 0 AND finish_key IS NOT NULL AND coalesce(finished_at < expires_at, false)
    END
)
ORDER BY created_at, id

-- name: hold_count
SELECT count(*) AS holds FROM hold WHERE workspace_id = %(workspace_id)s::uuid

-- name: kept
-- What is kept of ended grants beyond what open holds rely on (rule M20).
SELECT g.unit, g.kept, h.held
FROM (
    SELECT unit, sum(remaining)::bigint AS kept
    FROM credit_grant
    WHERE workspace_id = %(workspace_id)s::uuid AND kept > 0
    GROUP BY unit
) AS g
CROSS JOIN (
    SELECT coalesce(sum(credits), 0)::bigint AS credits, coalesce(sum(tool_runs), 0)::bigint AS tool_runs
    FROM hold
    WHERE workspace_id = %(workspace_id)s::uuid AND status = 'held'
) AS o
CROSS JOIN LATERAL (SELECT CASE g.unit WHEN 'credits' THEN o.credits ELSE o.tool_runs END AS held) AS h
WHERE g.kept > h.held

-- name: kept_grants
-- Grants of which more is left than was kept, or more kept than there can be.
SELECT id, unit, source, amount, remaining, expired, kept
FROM credit_grant
WHERE workspace_id = %(workspace_id)s::uuid AND kept <> 0
    AND (kept < remaining OR kept > amount - expired OR expires_at IS NULL OR (ended_at IS NULL) <> (remaining > 0))
ORDER BY id
