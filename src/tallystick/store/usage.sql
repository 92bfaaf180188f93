-- name: insert_keys
-- A key that exists stays as it is; the caller compares the count and asks for the others.
INSERT INTO event_key (workspace_id, source, id, hash, used_at, event_id)
SELECT * FROM unnest(
    %(workspace_ids)s::uuid[], %(sources)s::text[], %(ids)s::text[], %(hashes)s::bytea[], %(used_at)s::timestamptz[],
    %(event_ids)s::uuid[]
)
ON CONFLICT (workspace_id, source, id) DO NOTHING

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

-- name: add_daily
INSERT INTO rollup_daily AS r
SELECT * FROM stage_daily
ON CONFLICT (workspace_id, day, bucket) DO UPDATE
SET events = r.events + excluded.events, quantity = r.quantity + excluded.quantity,
    tokens_in = r.tokens_in + excluded.tokens_in, tokens_out = r.tokens_out + excluded.tokens_out,
    credits = r.credits + excluded.credits, tool_runs = r.tool_runs + excluded.tool_runs,
    provider_cost = r.provider_cost + excluded.provider_cost, unpriced = r.unpriced + excluded.unpriced

-- name: add_hourly
INSERT INTO rollup_hourly AS r
SELECT * FROM stage_hourly
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
DELETE FROM rollup_hourly
WHERE hour < %(before)s::timestamptz
