-- name: events
-- Every event but reversals, with what its key was made of; only what decides the charge, since all of them pass by.
-- Joined by the key's index and not by event_id: a plan made before the tables were analyzed must not be quadratic.
SELECT e.id, e.source, e.source_id, e.type, e.subject, e.data, k.hash,
    k.event_id = e.id AND k.used_at = e.used_at AS keyed, e.adjusts IS NULL AS own,
    e.used_at, e.meter, e.quantity, e.tokens_in, e.tokens_out, e.credits, e.tool_runs, e.provider_cost, e.state,
    e.price_version_id, e.counter_before, e.time = e.used_at AS dated, e.workspace_id
FROM usage_event AS e
LEFT JOIN event_key AS k
    ON k.workspace_id = e.workspace_id AND k.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND k.source = e.source
    AND k.id = e.source_id
WHERE e.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND e.reverses IS NULL

-- name: corrections
-- Reversals and late prices, each with the row that it names (o), its key, and whether another does the same.
SELECT e.id, e.source, e.source_id, e.type, e.subject, e.data, e.used_at, e.meter, e.quantity, e.tokens_in,
    e.tokens_out, e.credits, e.tool_runs, e.provider_cost, e.state, e.price_version_id, e.counter_before, e.covered_by,
    e.reverses, e.adjusts, k.hash, k.event_id, k.used_at AS keyed_at, o.id AS original_id, o.type AS original_type,
    o.data AS original_data, o.quantity AS original_quantity, o.tokens_in AS original_tokens_in,
    o.tokens_out AS original_tokens_out, o.credits AS original_credits, o.tool_runs AS original_tool_runs,
    o.provider_cost AS original_provider_cost, o.state AS original_state,
    o.price_version_id AS original_price_version_id, o.covered_by AS original_covered_by,
    o.reverses AS original_reverses, o.adjusts AS original_adjusts,
    EXISTS (
        SELECT FROM usage_event AS x
        WHERE x.workspace_id = e.workspace_id AND x.workspace_id = %(workspace_id)s::uuid
            AND x.reverses = e.reverses AND x.id < e.id
    ) AS again
FROM usage_event AS e
LEFT JOIN usage_event AS o
    ON o.workspace_id = e.workspace_id AND o.workspace_id = %(workspace_id)s::uuid AND o.used_at = e.used_at
    AND o.id = coalesce(e.reverses, e.adjusts)
LEFT JOIN event_key AS k
    ON k.workspace_id = e.workspace_id AND k.workspace_id = %(workspace_id)s::uuid AND k.source = e.source
    AND k.id = e.source_id
WHERE e.workspace_id = %(workspace_id)s::uuid AND (e.reverses IS NOT NULL OR e.adjusts IS NOT NULL)

-- name: key_count
SELECT count(*) AS keys FROM event_key WHERE workspace_id = %(workspace_id)s::uuid

-- name: lost_events
-- Keys whose event is not there.
SELECT k.source, k.id, k.used_at, k.event_id
FROM event_key AS k
WHERE k.workspace_id = %(workspace_id)s::uuid
    AND NOT EXISTS (
        SELECT FROM usage_event AS e
        WHERE e.workspace_id = k.workspace_id AND e.workspace_id = %(workspace_id)s::uuid AND e.used_at = k.used_at
            AND e.id = k.event_id
    )
ORDER BY k.used_at, k.event_id

-- name: tier_counters
SELECT target, period_start, quantity
FROM price_counter
WHERE workspace_id = %(workspace_id)s::uuid
ORDER BY target, period_start
