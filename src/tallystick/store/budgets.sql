-- name: live
SELECT workspace_id, id, name, scope, subject, per, unit, amount, created_at
FROM budget
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND ended_at IS NULL
ORDER BY workspace_id, created_at, id

-- name: usages
SELECT u.workspace_id, u.budget_id, u.subject, u."window", u.spent, u.held
FROM budget_usage AS u
JOIN unnest(
    %(workspace_ids)s::uuid[], %(budget_ids)s::uuid[], %(subjects)s::text[], %(windows)s::text[]
) AS n (workspace_id, budget_id, subject, "window")
    ON u.workspace_id = n.workspace_id AND u.budget_id = n.budget_id AND u.subject = n.subject
        AND u."window" = n."window"
WHERE u.workspace_id = ANY(%(workspace_ids)s::uuid[])

-- name: add
INSERT INTO budget_usage AS u (workspace_id, budget_id, subject, "window", spent, held)
SELECT * FROM unnest(
    %(workspace_ids)b::uuid[], %(budget_ids)b::uuid[], %(subjects)b::text[], %(windows)b::text[], %(spent)b::bigint[],
    %(held)b::bigint[]
)
ON CONFLICT (workspace_id, budget_id, subject, "window")
DO UPDATE SET spent = u.spent + excluded.spent, held = u.held + excluded.held
