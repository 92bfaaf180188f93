-- name: insert_keys
-- A key that exists stays as it is; the caller compares the count and asks for the others.
INSERT INTO event_key (workspace_id, source, id, hash, used_at, event_id)
SELECT * FROM unnest(
    %(workspace_ids)s::uuid[], %(sources)s::text[], %(ids)s::text[], %(hashes)s::bytea[], %(used_at)s::timestamptz[],
    %(event_ids)s::uuid[]
)
ON CONFLICT (workspace_id, source, id) DO NOTHING

-- name: claim_keys
-- A key that exists fails the transaction, which is then tried in the other way.
INSERT INTO event_key (workspace_id, source, id, hash, used_at, event_id)
SELECT workspace_id, source, source_id, hash, used_at, id
FROM stage_event

-- name: keys
SELECT k.workspace_id, k.source, k.id, k.hash, k.used_at, k.event_id
FROM event_key AS k
JOIN unnest(%(workspace_ids)s::uuid[], %(sources)s::text[], %(ids)s::text[]) AS n (workspace_id, source, id)
    ON k.workspace_id = n.workspace_id AND k.source = n.source AND k.id = n.id
WHERE k.workspace_id = ANY(%(workspace_ids)s::uuid[])

-- name: events
SELECT e.*
FROM usage_event AS e
JOIN unnest(%(workspace_ids)s::uuid[], %(used_at)s::timestamptz[], %(ids)s::uuid[]) AS n (workspace_id, used_at, id)
    ON e.workspace_id = n.workspace_id AND e.used_at = n.used_at AND e.id = n.id
WHERE e.workspace_id = ANY(%(workspace_ids)s::uuid[])

-- name: adjustments
-- What was booked later on these events: their late prices.
SELECT e.*
FROM usage_event AS e
WHERE e.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND e.adjusts = ANY(%(ids)s::uuid[]) AND e.reverses IS NULL

-- name: reversed
SELECT workspace_id, reverses
FROM usage_event
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND reverses = ANY(%(ids)s::uuid[])

-- name: add_events
INSERT INTO usage_event (
    workspace_id, used_at, id, source, source_id, type, subject, time, received_at, data, run, meter, category, slug,
    status, project_id, user_id, workflow_id, agent_id, connector_id, tool_id, table_id, language_model, integration,
    quantity, tokens_in, tokens_out, credits, tool_runs, provider_cost, state, price_version_id, counter_before,
    overdrawn, over_budget, covered_by, reverses, adjusts, transaction_id
)
SELECT
    workspace_id, used_at, id, source, source_id, type, subject, time, received_at, data, run, meter, category, slug,
    status, project_id, user_id, workflow_id, agent_id, connector_id, tool_id, table_id, language_model, integration,
    quantity, tokens_in, tokens_out, credits, tool_runs, provider_cost, state, price_version_id, counter_before,
    overdrawn, over_budget, covered_by, reverses, adjusts, transaction_id
FROM stage_event

-- name: add_daily
-- A reversal counts against its original; an adjustment prices what was counted when it was reported.
INSERT INTO rollup_daily AS r (
    workspace_id, day, bucket, type, category, slug, status, project_id, user_id, workflow_id, agent_id, connector_id,
    tool_id, table_id, language_model, integration, events, quantity, tokens_in, tokens_out, credits, tool_runs,
    provider_cost, unpriced
)
SELECT workspace_id, (used_at AT TIME ZONE 'UTC')::date AS day, bucket, meter, category, slug, status, project_id,
    user_id, workflow_id, agent_id, connector_id, tool_id, table_id, language_model, integration,
    sum(CASE WHEN adjusts IS NOT NULL THEN 0 WHEN reverses IS NULL THEN 1 ELSE -1 END),
    sum(CASE WHEN adjusts IS NULL THEN quantity ELSE 0 END), sum(tokens_in), sum(tokens_out), sum(credits),
    sum(tool_runs), sum(coalesce(provider_cost, 0)),
    sum(CASE WHEN adjusts IS NULL AND state <> 'unpriced' THEN 0
        WHEN (adjusts IS NULL) = (reverses IS NULL) THEN 1 ELSE -1 END)
FROM stage_event
GROUP BY workspace_id, day, bucket, meter, category, slug, status, project_id, user_id, workflow_id, agent_id,
    connector_id, tool_id, table_id, language_model, integration
ON CONFLICT (workspace_id, day, bucket) DO UPDATE
SET events = r.events + excluded.events, quantity = r.quantity + excluded.quantity,
    tokens_in = r.tokens_in + excluded.tokens_in, tokens_out = r.tokens_out + excluded.tokens_out,
    credits = r.credits + excluded.credits, tool_runs = r.tool_runs + excluded.tool_runs,
    provider_cost = r.provider_cost + excluded.provider_cost, unpriced = r.unpriced + excluded.unpriced

-- name: add_workflows
INSERT INTO rollup_workflow AS r (workspace_id, day, workflow_id, slug, type, status, events, quantity, credits)
SELECT workspace_id, (used_at AT TIME ZONE 'UTC')::date AS day,
    coalesce(workflow_id, '00000000-0000-0000-0000-000000000000') AS workflow, slug, meter,
    CASE meter WHEN 'orchestration.execution' THEN coalesce(status, 'success') ELSE '' END AS counted_as,
    sum(CASE WHEN adjusts IS NOT NULL THEN 0 WHEN reverses IS NULL THEN 1 ELSE -1 END),
    sum(CASE WHEN adjusts IS NULL THEN quantity ELSE 0 END), sum(credits)
FROM stage_event
GROUP BY workspace_id, day, workflow, slug, meter, counted_as
ON CONFLICT (workspace_id, day, workflow_id, slug, type, status) DO UPDATE
SET events = r.events + excluded.events, quantity = r.quantity + excluded.quantity,
    credits = r.credits + excluded.credits

-- name: add_hourly
INSERT INTO rollup_hourly AS r (
    workspace_id, hour, bucket, category, slug, workflow_id, agent_id, events, quantity, credits, tool_runs
)
SELECT workspace_id, date_trunc('hour', used_at, 'UTC') AS hour, hour_bucket, category, slug, workflow_id, agent_id,
    sum(CASE WHEN adjusts IS NOT NULL THEN 0 WHEN reverses IS NULL THEN 1 ELSE -1 END),
    sum(CASE WHEN adjusts IS NULL THEN quantity ELSE 0 END), sum(credits), sum(tool_runs)
FROM stage_event
WHERE used_at >= %(hours_since)s::timestamptz
GROUP BY workspace_id, hour, hour_bucket, category, slug, workflow_id, agent_id
ON CONFLICT (workspace_id, hour, bucket) DO UPDATE
SET events = r.events + excluded.events, quantity = r.quantity + excluded.quantity,
    credits = r.credits + excluded.credits, tool_runs = r.tool_runs + excluded.tool_runs

-- name: counters
SELECT workspace_id, target, period_start, quantity
FROM price_counter
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND target = ANY(%(targets)s::text[])

-- name: save_counters
INSERT INTO price_counter (workspace_id, target, period_start, quantity)
SELECT * FROM unnest(
    %(workspace_ids)s::uuid[], %(targets)s::text[], %(period_starts)s::timestamptz[], %(quantities)s::numeric[]
)
ON CONFLICT (workspace_id, target, period_start) DO UPDATE SET quantity = excluded.quantity

-- name: forget_hours
-- Never earlier than that by a test clock.
DELETE FROM rollup_hourly
WHERE hour < %(before)s::timestamptz
    AND workspace_id NOT IN (SELECT id FROM workspace WHERE clock_at IS NOT NULL)
