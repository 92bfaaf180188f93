-- name: subscription
-- The live subscription with its plan version, its open period and the balance of credits.
SELECT s.id, s.workspace_id, s.status, s.started_at, s.ended_at, s.updated_at, p.plan, p.cadence, p.price_minor,
    p.currency, p.at_zero, d.starts_at AS period_start, d.ends_at AS period_end, b.posted, b.held, b.overdraft
FROM subscription AS s
JOIN plan_version AS p ON p.id = s.plan_version_id
JOIN billing_period AS d ON d.workspace_id = s.workspace_id AND d.subscription_id = s.id AND d.closed_at IS NULL
JOIN balance AS b ON b.workspace_id = s.workspace_id AND b.unit = 'credits'
WHERE s.workspace_id = %(workspace_id)s::uuid AND s.ended_at IS NULL

-- name: grants_of_period
-- Every grant of credits that may have been alive within the period.
SELECT id, unit, source, amount, remaining, priority, starts_at, expires_at, created_at, reason, ended_at, expired,
    kept
FROM credit_grant
WHERE workspace_id = %(workspace_id)s::uuid AND unit = 'credits' AND source <> 'history'
    AND starts_at < %(ends_at)s::timestamptz
    AND (ended_at IS NULL OR ended_at > %(starts_at)s::timestamptz)
    AND (expires_at IS NULL OR expires_at > %(starts_at)s::timestamptz OR kept > 0)
ORDER BY created_at, id
