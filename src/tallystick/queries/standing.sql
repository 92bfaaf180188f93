-- name: standing
-- Both balances, each beside the live subscription, its plan and its open billing period.
SELECT b.unit, b.posted, b.held, b.due_at, s.id AS subscription_id, s.status, s.resumes_to, s.overage_cap,
    p.name AS plan, p.at_zero, p.run_quota, d.runs_started, d.overage_invoiced
FROM balance AS b
LEFT JOIN subscription AS s ON s.workspace_id = b.workspace_id AND s.ended_at IS NULL
LEFT JOIN plan_version AS p ON p.id = s.plan_version_id
LEFT JOIN billing_period AS d
    ON d.workspace_id = s.workspace_id AND d.subscription_id = s.id AND d.closed_at IS NULL
WHERE b.workspace_id = %(workspace_id)s::uuid

-- name: run_started
SELECT run FROM run_start
WHERE workspace_id = %(workspace_id)s::uuid AND run = %(run)s::text

-- name: resources
-- Those of the resources that exist.
SELECT id FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])
