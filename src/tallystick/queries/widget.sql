-- name: balances
-- Both balances, each with the earliest end of a grant that has something left.
SELECT b.unit, b.posted, b.held, b.allocation,
    (SELECT min(g.expires_at) FROM credit_grant AS g
        WHERE g.workspace_id = %(workspace_id)s::uuid AND g.unit = b.unit AND g.remaining > 0) AS expires_at
FROM balance AS b
WHERE b.workspace_id = %(workspace_id)s::uuid
ORDER BY b.unit

-- name: used
-- Credits by category since the UTC day on which the billing period began.
SELECT r.category, sum(r.credits)::bigint AS credits
FROM rollup_daily AS r
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day <= %(today)s::date
    AND r.day >= (
        SELECT coalesce(min((d.starts_at AT TIME ZONE 'UTC')::date), %(today)s::date) FROM billing_period AS d
        WHERE d.workspace_id = %(workspace_id)s::uuid AND d.closed_at IS NULL
    )
GROUP BY r.category
