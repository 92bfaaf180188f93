-- name: standing
-- Both balances, each beside the live subscription, its plan and its open billing period.
SELECT b.unit, b.posted, b.held, s.id AS subscription_id, s.status, p.name AS plan, p.at_zero, p.run_quota,
    d.runs_started
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

-- name: budgets
SELECT workspace_id, id, name, scope, subject, per, unit, amount, created_at
FROM budget
WHERE workspace_id = %(workspace_id)s::uuid AND ended_at IS NULL
ORDER BY created_at, id

-- name: usages
SELECT u.budget_id, u.subject, u."window", u.spent, u.held
FROM budget_usage AS u
JOIN unnest(%(budget_ids)s::uuid[], %(subjects)s::text[], %(windows)s::text[]) AS n (budget_id, subject, "window")
    ON u.budget_id = n.budget_id AND u.subject = n.subject AND u."window" = n."window"
WHERE u.workspace_id = %(workspace_id)s::uuid
