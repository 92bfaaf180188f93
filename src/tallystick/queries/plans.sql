-- name: every_version
SELECT id, plan, version, name, cadence, price_minor, currency, included_credits, included_tool_runs, run_quota,
    at_zero, rollover_share_ppm, features, created_at, workspace_id, overage_price, trial_days, retired_at
FROM plan_version
ORDER BY plan, version

-- name: used
-- Of the open period: runs started, and what was used of the plan's grants.
SELECT d.runs_started,
    coalesce(sum(g.amount - g.remaining - g.expired) FILTER (WHERE g.unit = 'credits'), 0)::bigint AS credits,
    coalesce(sum(g.amount - g.remaining - g.expired) FILTER (WHERE g.unit = 'tool_runs'), 0)::bigint AS tool_runs
FROM billing_period AS d
LEFT JOIN credit_grant AS g ON g.workspace_id = d.workspace_id AND g.source = 'plan' AND g.starts_at >= d.starts_at
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.closed_at IS NULL
GROUP BY d.workspace_id, d.starts_at, d.runs_started

-- name: owned
-- For each owner of the workspace, how many open workspaces that person owns.
SELECT o.person_id, count(*) AS owned
FROM member AS o
JOIN member AS m ON m.person_id = o.person_id AND m.role = 'owner'
JOIN workspace AS w ON w.id = m.workspace_id AND w.closed_at IS NULL
WHERE o.workspace_id = %(workspace_id)s::uuid AND o.role = 'owner'
GROUP BY o.person_id
