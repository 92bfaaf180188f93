-- name: subscription
-- The live subscription with its plan version, its open period, the balance of credits, and who pays for it.
SELECT s.id, s.workspace_id, s.status, s.started_at, s.ended_at, s.updated_at, s.trial_ends_at, s.resumes_to,
    s.pending_kind, s.pending_at, s.overage_cap, p.plan, p.id AS plan_version_id, p.name AS plan_name, p.cadence,
    p.price_minor, p.currency, p.at_zero, d.starts_at AS period_start, d.ends_at AS period_end, d.overage_invoiced,
    b.posted, b.held, b.overdraft, w.zone, a.provider, a.customer_ref, a.topup_state, a.topup_credits,
    a.topup_threshold, a.method IS NOT NULL AS has_method, a.trial_used_at, n.plan AS next_plan,
    n.id AS next_plan_version_id, n.name AS next_plan_name, n.cadence AS next_cadence, n.price_minor AS next_price_minor,
    n.currency AS next_currency, n.included_credits AS next_included_credits
FROM subscription AS s
JOIN workspace AS w ON w.id = s.workspace_id
JOIN plan_version AS p ON p.id = s.plan_version_id
JOIN billing_period AS d ON d.workspace_id = s.workspace_id AND d.subscription_id = s.id AND d.closed_at IS NULL
JOIN balance AS b ON b.workspace_id = s.workspace_id AND b.unit = 'credits'
LEFT JOIN billing_account AS a ON a.workspace_id = s.workspace_id
LEFT JOIN plan_version AS n ON n.id = s.pending_plan_version_id
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
