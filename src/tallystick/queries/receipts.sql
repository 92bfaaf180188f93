-- name: rows_of_runs
-- What was booked for runs; what takes a row back, or prices it later, carries the same run. In no order: asked for one,
-- the database might read all days of a workspace for a few rows that come in that order by themselves.
SELECT id, source, source_id, type, meter, category, slug, status, used_at, received_at, data::text AS data,
    workflow_id, agent_id, connector_id, tool_id, language_model, integration, quantity, tokens_in, tokens_out, credits,
    tool_runs, provider_cost, state, price_version_id, counter_before, overdrawn, over_budget, reverses, adjusts, run
FROM usage_event
WHERE workspace_id = %(workspace_id)s::uuid AND run IS NOT NULL AND run = ANY(%(runs)s::text[])
LIMIT %(most)s::int

-- name: versions
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at
FROM price_version
WHERE id = ANY(%(ids)s::uuid[])

-- name: public_versions
-- Latest first, so that the one in force at an instant is the first that began before it.
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at
FROM price_version
WHERE origin = 'public' AND target = ANY(%(targets)s::text[])
ORDER BY target, valid_from DESC

-- name: is_known
-- Whether a run was asked for, started or held for, though nothing is booked for it yet.
SELECT (
    EXISTS (SELECT FROM run_start WHERE workspace_id = %(workspace_id)s::uuid AND run = %(run)s::text)
    OR EXISTS (SELECT FROM run WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid)
) AS known

-- name: names
SELECT id::text AS id, name
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])

-- name: nodes
-- What the nodes of a run of ours are called.
SELECT DISTINCT node_id::text AS id, node_slug AS name
FROM execution
WHERE workspace_id = %(workspace_id)s::uuid AND run_id = %(run)s::uuid
