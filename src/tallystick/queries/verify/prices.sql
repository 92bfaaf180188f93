-- name: price_versions
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at, digest
FROM price_version
ORDER BY target, origin, valid_from

-- name: workspaces
-- Every workspace, or one, and about how many events it has; balances without a workspace are looked at too.
SELECT w.id, coalesce(d.events, 0)::bigint AS events
FROM (
    SELECT id FROM workspace WHERE %(workspace_id)s::uuid IS NULL OR id = %(workspace_id)s::uuid
    UNION
    SELECT workspace_id FROM balance WHERE %(workspace_id)s::uuid IS NULL OR workspace_id = %(workspace_id)s::uuid
) AS w
LEFT JOIN (
    SELECT workspace_id, sum(events) AS events
    FROM rollup_daily
    WHERE %(workspace_id)s::uuid IS NULL OR workspace_id = %(workspace_id)s::uuid
    GROUP BY workspace_id
) AS d ON d.workspace_id = w.id
ORDER BY w.id
