-- name: insert_plan_version
INSERT INTO plan_version (
    id, plan, version, name, cadence, price_minor, currency, included_credits, included_tool_runs, run_quota, at_zero,
    rollover_share_ppm, features, created_at, workspace_id, overage_price, trial_days, retired_at
)
VALUES (
    %(id)s::uuid, %(plan)s::text, %(version)s::int, %(name)s::text, %(cadence)s::text, %(price_minor)s::bigint,
    %(currency)s::text, %(included_credits)s::bigint, %(included_tool_runs)s::bigint, %(run_quota)s::bigint,
    %(at_zero)s::text, %(rollover_share_ppm)s::int, %(features)s::jsonb, %(created_at)s::timestamptz,
    %(workspace_id)s::uuid, %(overage_price)s::bigint, %(trial_days)s::int, %(retired_at)s::timestamptz
)
ON CONFLICT (id) DO NOTHING

-- name: latest_plan_version
SELECT id, plan, version, name, cadence, price_minor, currency, included_credits, included_tool_runs, run_quota,
    at_zero, rollover_share_ppm, features, created_at, workspace_id, overage_price, trial_days, retired_at
FROM plan_version
WHERE plan = %(plan)s::text AND workspace_id IS NULL AND retired_at IS NULL
ORDER BY version DESC
LIMIT 1

-- name: insert_subscription
INSERT INTO subscription (workspace_id, id, plan_version_id, status, anchor_at, started_at, updated_at)
VALUES (
    %(workspace_id)s::uuid, %(id)s::uuid, %(plan_version_id)s::uuid, 'active', %(now)s::timestamptz,
    %(now)s::timestamptz, %(now)s::timestamptz
)

-- name: insert_period
INSERT INTO billing_period (workspace_id, starts_at, ends_at, subscription_id, plan_version_id)
VALUES (
    %(workspace_id)s::uuid, %(starts_at)s::timestamptz, %(ends_at)s::timestamptz, %(subscription_id)s::uuid,
    %(plan_version_id)s::uuid
)

-- name: close_period
UPDATE billing_period SET closed_at = %(closed_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND starts_at = %(starts_at)s::timestamptz

-- name: live_terms
-- The live subscription with its zone, its open period and its plan version.
SELECT s.id AS subscription_id, s.anchor_at, w.zone, b.starts_at, b.ends_at, p.id, p.plan, p.version, p.name,
    p.cadence, p.price_minor, p.currency, p.included_credits, p.included_tool_runs, p.run_quota, p.at_zero,
    p.rollover_share_ppm, p.features, p.created_at, p.workspace_id, p.overage_price, p.trial_days, p.retired_at
FROM subscription AS s
JOIN workspace AS w ON w.id = s.workspace_id
JOIN plan_version AS p ON p.id = s.plan_version_id
JOIN billing_period AS b ON b.workspace_id = s.workspace_id AND b.subscription_id = s.id AND b.closed_at IS NULL
WHERE s.workspace_id = %(workspace_id)s::uuid AND s.ended_at IS NULL

-- name: calendars
-- What it takes to name the billing period of any instant, for many workspaces.
SELECT s.workspace_id, s.anchor_at, w.zone, p.cadence
FROM subscription AS s
JOIN workspace AS w ON w.id = s.workspace_id
JOIN plan_version AS p ON p.id = s.plan_version_id
WHERE s.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND s.ended_at IS NULL
