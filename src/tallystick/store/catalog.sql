-- name: catalog_version
SELECT version FROM catalog_state WHERE id = 1

-- name: lock_catalog
SELECT version FROM catalog_state WHERE id = 1 FOR UPDATE

-- name: bump_catalog
UPDATE catalog_state SET version = version + 1 WHERE id = 1 RETURNING version

-- name: all_price_versions
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at FROM price_version

-- name: all_meters
SELECT type, category, slug, unit, builtin FROM meter

-- name: all_plan_versions
SELECT id, plan, version, name, cadence, price_minor, currency, included_credits, included_tool_runs, run_quota,
    at_zero, rollover_share_ppm, features, created_at, workspace_id, overage_price, trial_days, retired_at
FROM plan_version
