-- name: price_versions
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at, digest
FROM price_version
ORDER BY target, origin, valid_from

-- name: workspaces
-- Balances without a workspace are looked at too.
SELECT id FROM workspace
UNION
SELECT workspace_id FROM balance
ORDER BY id
