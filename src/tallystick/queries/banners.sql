-- name: gauges
SELECT b.unit, b.posted, b.allocation, b.allocation_no
FROM balance AS b
WHERE b.workspace_id = %(workspace_id)s::uuid
ORDER BY b.unit

-- name: scene
-- The subscription that counts, how it is paid, and what is deployed.
SELECT w.zone, s.status, s.trial_ends_at, s.resumes_to, d.ends_at AS period_end, a.provider, a.customer_ref, a.method,
    a.method_at, a.topup_state,
    (SELECT count(*) FROM deployment AS r
        WHERE r.workspace_id = w.id AND r.state IN ('deploying', 'deployed')) AS running,
    (SELECT count(*) FROM deployment AS r
        WHERE r.workspace_id = w.id AND r.reason = %(out_of_credits)s::text AND r.state <> 'deleted') AS stopped
FROM workspace AS w
LEFT JOIN subscription AS s ON s.workspace_id = w.id AND s.ended_at IS NULL
LEFT JOIN billing_period AS d
    ON d.workspace_id = s.workspace_id AND d.subscription_id = s.id AND d.closed_at IS NULL
LEFT JOIN billing_account AS a ON a.workspace_id = w.id
WHERE w.id = %(workspace_id)s::uuid

-- name: expired_free
-- Free grants that ended with something left within the present allocation: nothing was granted since.
SELECT b.unit, ((sum((f.data ->> 'amount')::numeric)) * 1000000000)::bigint AS expired, max(f.at) AS expired_at
FROM balance AS b
JOIN fact AS f ON f.workspace_id = b.workspace_id AND f.workspace_id = %(workspace_id)s::uuid
    AND f.kind IN ('credits.expired', 'tool_runs.expired') AND f.kind = b.unit || '.expired'
    AND (f.data ->> 'free')::boolean AND (f.data ->> 'allocationNo')::bigint = b.allocation_no
WHERE b.workspace_id = %(workspace_id)s::uuid
GROUP BY b.unit

-- name: past_due
SELECT i.*
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.kind = 'invoice' AND i.status = 'past_due'
ORDER BY i.due_at, i.issued_at, i.id

-- name: dismissals
SELECT banner
FROM dismissal
WHERE workspace_id = %(workspace_id)s::uuid AND person_id = %(person_id)s::uuid
