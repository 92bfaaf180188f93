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
ORDER BY cadence = 'monthly' DESC, version DESC
LIMIT 1

-- name: plan_version
SELECT id, plan, version, name, cadence, price_minor, currency, included_credits, included_tool_runs, run_quota,
    at_zero, rollover_share_ppm, features, created_at, workspace_id, overage_price, trial_days, retired_at
FROM plan_version
WHERE id = %(id)s::uuid

-- name: plan_versions
SELECT id, plan, version, name, cadence, price_minor, currency, included_credits, included_tool_runs, run_quota,
    at_zero, rollover_share_ppm, features, created_at, workspace_id, overage_price, trial_days, retired_at
FROM plan_version
WHERE workspace_id IS NULL OR workspace_id = %(workspace_id)s::uuid
ORDER BY plan, version

-- name: next_version
SELECT coalesce(max(version), 0) + 1 AS version FROM plan_version WHERE plan = %(plan)s::text

-- name: retire
UPDATE plan_version SET retired_at = %(now)s::timestamptz WHERE id = %(id)s::uuid AND retired_at IS NULL

-- name: migratable
SELECT s.workspace_id
FROM subscription AS s
JOIN plan_version AS p ON p.id = s.plan_version_id
WHERE s.ended_at IS NULL AND p.plan = %(plan)s::text AND p.version < %(version)s::int
    AND p.cadence = %(cadence)s::text AND p.currency = %(currency)s::text
    AND (s.pending_kind IS NULL OR s.pending_kind = 'migration')
    AND (CASE WHEN %(workspace_id)s::uuid IS NULL THEN p.workspace_id IS NULL
        ELSE s.workspace_id = %(workspace_id)s::uuid END)
    AND (%(workspace_ids)s::uuid[] IS NULL OR s.workspace_id = ANY(%(workspace_ids)s::uuid[]))

-- name: migrate
-- Those on an older version of the same plan, cadence and currency, contracts only to their own.
UPDATE subscription AS s
SET pending_plan_version_id = %(to)s::uuid, pending_kind = 'migration', pending_at = %(now)s::timestamptz,
    updated_at = %(now)s::timestamptz
FROM plan_version AS p, billing_period AS b
WHERE p.id = s.plan_version_id AND s.ended_at IS NULL AND b.workspace_id = s.workspace_id
    AND b.subscription_id = s.id AND b.closed_at IS NULL AND p.plan = %(plan)s::text
    AND p.version < %(version)s::int AND p.cadence = %(cadence)s::text AND p.currency = %(currency)s::text
    AND (s.pending_kind IS NULL OR s.pending_kind = 'migration')
    AND (CASE WHEN %(workspace_id)s::uuid IS NULL THEN p.workspace_id IS NULL
        ELSE s.workspace_id = %(workspace_id)s::uuid END)
    AND (%(workspace_ids)s::uuid[] IS NULL OR s.workspace_id = ANY(%(workspace_ids)s::uuid[]))
RETURNING s.workspace_id, b.ends_at

-- name: lock_person
SELECT id FROM person WHERE id = %(person_id)s::uuid FOR UPDATE

-- name: plans_owned
SELECT p.id, p.plan, p.version, p.name, p.cadence, p.price_minor, p.currency, p.included_credits,
    p.included_tool_runs, p.run_quota, p.at_zero, p.rollover_share_ppm, p.features, p.created_at, p.workspace_id,
    p.overage_price, p.trial_days, p.retired_at
FROM member AS m
JOIN workspace AS w ON w.id = m.workspace_id AND w.closed_at IS NULL
JOIN subscription AS s ON s.workspace_id = m.workspace_id AND s.ended_at IS NULL
JOIN plan_version AS p ON p.id = s.plan_version_id
WHERE m.person_id = %(person_id)s::uuid AND m.role = 'owner'
ORDER BY s.workspace_id

-- name: insert_subscription
INSERT INTO subscription (workspace_id, id, plan_version_id, status, anchor_at, started_at, updated_at)
VALUES (
    %(workspace_id)s::uuid, %(id)s::uuid, %(plan_version_id)s::uuid, %(status)s::text, %(anchor_at)s::timestamptz,
    %(now)s::timestamptz, %(now)s::timestamptz
)

-- name: save
UPDATE subscription
SET plan_version_id = %(plan_version_id)s::uuid, status = %(status)s::text,
    trial_ends_at = %(trial_ends_at)s::timestamptz, trial_notice_at = %(trial_notice_at)s::timestamptz,
    resumes_to = %(resumes_to)s::text, past_due_since = %(past_due_since)s::timestamptz,
    pending_kind = %(pending_kind)s::text, pending_at = %(pending_at)s::timestamptz,
    pending_plan_version_id = %(pending_plan_version_id)s::uuid, overage_cap = %(overage_cap)s::bigint,
    updated_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: end_subscription
UPDATE subscription
SET status = 'canceled', ended_at = %(at)s::timestamptz, pending_kind = NULL, pending_at = NULL,
    pending_plan_version_id = NULL, trial_notice_at = NULL, updated_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: insert_period
INSERT INTO billing_period (workspace_id, starts_at, ends_at, subscription_id, plan_version_id, is_idle)
VALUES (
    %(workspace_id)s::uuid, %(starts_at)s::timestamptz, %(ends_at)s::timestamptz, %(subscription_id)s::uuid,
    %(plan_version_id)s::uuid, %(is_idle)s::boolean
)

-- name: close_period
UPDATE billing_period SET ends_at = %(ends_at)s::timestamptz, closed_at = %(closed_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND starts_at = %(starts_at)s::timestamptz

-- name: drop_period
DELETE FROM billing_period
WHERE workspace_id = %(workspace_id)s::uuid AND starts_at = %(starts_at)s::timestamptz

-- name: replan_period
UPDATE billing_period SET plan_version_id = %(plan_version_id)s::uuid
WHERE workspace_id = %(workspace_id)s::uuid AND starts_at = %(starts_at)s::timestamptz

-- name: add_overage
UPDATE billing_period SET overage_invoiced = overage_invoiced + %(credits)s::bigint
WHERE workspace_id = %(workspace_id)s::uuid AND starts_at = %(starts_at)s::timestamptz

-- name: live_terms
-- The live subscription with its zone, its open period, its plan version, and whether there is something to pay with.
SELECT s.id AS subscription_id, s.anchor_at, w.zone, b.starts_at, b.ends_at, b.overage_invoiced, b.is_idle, p.id,
    p.plan, p.version, p.name, p.cadence, p.price_minor, p.currency, p.included_credits, p.included_tool_runs,
    p.run_quota, p.at_zero, p.rollover_share_ppm, p.features, p.created_at, p.workspace_id, p.overage_price,
    p.trial_days, p.retired_at, s.status, s.started_at, s.trial_ends_at, s.trial_notice_at, s.resumes_to,
    s.past_due_since, s.pending_kind, s.pending_at, s.pending_plan_version_id, s.overage_cap,
    a.method IS NOT NULL AS has_method
FROM subscription AS s
JOIN workspace AS w ON w.id = s.workspace_id
JOIN plan_version AS p ON p.id = s.plan_version_id
JOIN billing_period AS b ON b.workspace_id = s.workspace_id AND b.subscription_id = s.id AND b.closed_at IS NULL
LEFT JOIN billing_account AS a ON a.workspace_id = s.workspace_id
WHERE s.workspace_id = %(workspace_id)s::uuid AND s.ended_at IS NULL

-- name: calendars
-- What it takes to name the billing period of any instant, for many workspaces: every subscription that each had.
SELECT s.workspace_id, s.started_at, s.anchor_at, w.zone, p.cadence
FROM subscription AS s
JOIN workspace AS w ON w.id = s.workspace_id
JOIN plan_version AS p ON p.id = s.plan_version_id
WHERE s.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND (s.ended_at IS NULL OR s.ended_at > s.started_at)
ORDER BY s.workspace_id, s.started_at
