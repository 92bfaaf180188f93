-- name: gauges
SELECT b.unit, b.posted, b.allocation, b.allocation_no
FROM balance AS b
WHERE b.workspace_id = %(workspace_id)s::uuid
ORDER BY b.unit

-- name: scene
-- The subscription that counts, and what is deployed.
SELECT w.zone, s.status, d.ends_at AS period_end,
    (SELECT count(*) FROM deployment AS r
        WHERE r.workspace_id = w.id AND r.state IN ('deploying', 'deployed')) AS running,
    (SELECT count(*) FROM deployment AS r
        WHERE r.workspace_id = w.id AND r.reason = %(out_of_credits)s::text AND r.state <> 'deleted') AS stopped
FROM workspace AS w
LEFT JOIN subscription AS s ON s.workspace_id = w.id AND s.ended_at IS NULL
LEFT JOIN billing_period AS d
    ON d.workspace_id = s.workspace_id AND d.subscription_id = s.id AND d.closed_at IS NULL
WHERE w.id = %(workspace_id)s::uuid

-- name: expired_free
-- Free grants that ended with something left, where nothing was granted since.
SELECT g.unit, sum(g.expired)::bigint AS expired,
    max(coalesce(g.ended_at, least(g.expires_at, %(now)s::timestamptz))) AS expired_at
FROM credit_grant AS g
WHERE g.workspace_id = %(workspace_id)s::uuid AND g.source = 'free' AND g.expired > 0
    AND (g.ended_at IS NOT NULL OR g.kept > 0)
    AND NOT EXISTS (
        SELECT FROM credit_grant AS n
        WHERE n.workspace_id = %(workspace_id)s::uuid AND n.unit = g.unit AND n.source <> 'history' AND n.id <> g.id
            AND n.created_at >= coalesce(g.ended_at, least(g.expires_at, %(now)s::timestamptz))
    )
GROUP BY g.unit

-- name: dismissals
SELECT banner
FROM dismissal
WHERE workspace_id = %(workspace_id)s::uuid AND person_id = %(person_id)s::uuid
