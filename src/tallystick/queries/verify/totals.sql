-- What is stored counts negative, so that a group which is as it should be comes to nothing and only the others are
-- answered, by how much the events exceed it.

-- name: days
SELECT m.workspace_id, m.day, m.type, m.category, m.slug, m.status, m.project_id, m.user_id, m.workflow_id, m.agent_id,
    m.connector_id, m.tool_id, m.table_id, m.language_model, m.integration, sum(m.events)::bigint AS events,
    sum(m.quantity) AS quantity, sum(m.tokens_in)::bigint AS tokens_in, sum(m.tokens_out)::bigint AS tokens_out,
    sum(m.credits)::bigint AS credits, sum(m.tool_runs)::bigint AS tool_runs,
    sum(m.provider_cost) AS provider_cost, sum(m.unpriced)::bigint AS unpriced
FROM (
    SELECT e.workspace_id, (e.used_at AT TIME ZONE 'UTC')::date AS day, e.meter AS type, e.category, e.slug, e.status,
        e.project_id, e.user_id, e.workflow_id, e.agent_id, e.connector_id, e.tool_id, e.table_id, e.language_model,
        e.integration,
        CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END::bigint AS events,
        CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END AS quantity, e.tokens_in, e.tokens_out, e.credits,
        e.tool_runs, coalesce(e.provider_cost, 0) AS provider_cost,
        CASE
            WHEN e.adjusts IS NULL AND e.state <> 'unpriced' THEN 0
            WHEN (e.adjusts IS NULL) = (e.reverses IS NULL) THEN 1
            ELSE -1
        END::bigint AS unpriced
    FROM usage_event AS e
    WHERE e.workspace_id = ANY(%(workspace_ids)s::uuid[])
    UNION ALL
    SELECT d.workspace_id, d.day, d.type, d.category, d.slug, d.status, d.project_id, d.user_id, d.workflow_id,
        d.agent_id, d.connector_id, d.tool_id, d.table_id, d.language_model, d.integration, -d.events, -d.quantity,
        -d.tokens_in, -d.tokens_out, -d.credits, -d.tool_runs, -d.provider_cost, -d.unpriced
    FROM rollup_daily AS d
    WHERE d.workspace_id = ANY(%(workspace_ids)s::uuid[])
) AS m
GROUP BY m.workspace_id, m.day, m.type, m.category, m.slug, m.status, m.project_id, m.user_id, m.workflow_id,
    m.agent_id, m.connector_id, m.tool_id, m.table_id, m.language_model, m.integration
HAVING sum(m.events) <> 0 OR sum(m.quantity) <> 0 OR sum(m.tokens_in) <> 0 OR sum(m.tokens_out) <> 0
    OR sum(m.credits) <> 0 OR sum(m.tool_runs) <> 0 OR sum(m.provider_cost) <> 0 OR sum(m.unpriced) <> 0

-- name: workflow_days
SELECT m.workspace_id, m.day, m.type, m.slug, m.status, m.workflow_id, sum(m.events)::bigint AS events,
    sum(m.quantity) AS quantity, sum(m.credits)::bigint AS credits
FROM (
    SELECT e.workspace_id, (e.used_at AT TIME ZONE 'UTC')::date AS day, e.meter AS type, e.slug,
        CASE e.meter WHEN 'orchestration.execution' THEN coalesce(e.status, 'success') ELSE '' END AS status,
        coalesce(e.workflow_id, '00000000-0000-0000-0000-000000000000') AS workflow_id,
        CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END::bigint AS events,
        CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END AS quantity, e.credits
    FROM usage_event AS e
    WHERE e.workspace_id = ANY(%(workspace_ids)s::uuid[])
    UNION ALL
    SELECT d.workspace_id, d.day, d.type, d.slug, d.status, d.workflow_id, -d.events, -d.quantity, -d.credits
    FROM rollup_workflow AS d
    WHERE d.workspace_id = ANY(%(workspace_ids)s::uuid[])
) AS m
GROUP BY m.workspace_id, m.day, m.type, m.slug, m.status, m.workflow_id
HAVING sum(m.events) <> 0 OR sum(m.quantity) <> 0 OR sum(m.credits) <> 0

-- name: hours
-- Which hours are kept goes by the time of each commit: for a test clock that is not to be told afterwards.
SELECT m.workspace_id, m.hour, m.category, m.slug, m.workflow_id, m.agent_id, sum(m.events)::bigint AS events,
    sum(m.quantity) AS quantity, sum(m.credits)::bigint AS credits, sum(m.tool_runs)::bigint AS tool_runs
FROM (
    SELECT e.workspace_id, date_trunc('hour', e.used_at, 'UTC') AS hour, e.category, e.slug, e.workflow_id, e.agent_id,
        CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END::bigint AS events,
        CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END AS quantity, e.credits, e.tool_runs
    FROM usage_event AS e
    WHERE e.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND e.used_at >= %(hours_since)s::timestamptz
        AND e.workspace_id NOT IN (SELECT id FROM workspace WHERE clock_at IS NOT NULL)
    UNION ALL
    SELECT h.workspace_id, h.hour, h.category, h.slug, h.workflow_id, h.agent_id, -h.events, -h.quantity, -h.credits,
        -h.tool_runs
    FROM rollup_hourly AS h
    WHERE h.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND h.hour >= %(hours_since)s::timestamptz
        AND h.workspace_id NOT IN (SELECT id FROM workspace WHERE clock_at IS NOT NULL)
) AS m
GROUP BY m.workspace_id, m.hour, m.category, m.slug, m.workflow_id, m.agent_id
HAVING sum(m.events) <> 0 OR sum(m.quantity) <> 0 OR sum(m.credits) <> 0 OR sum(m.tool_runs) <> 0

-- name: bookings
-- By transaction, covered usage apart: it has a ledger transaction of its own under the same id.
SELECT m.workspace_id, m.transaction_id, m.covered, sum(m.credits)::bigint AS credits,
    sum(m.tool_runs)::bigint AS tool_runs
FROM (
    SELECT e.workspace_id, e.transaction_id, e.covered_by IS NOT NULL AS covered, e.credits, e.tool_runs
    FROM usage_event AS e
    WHERE e.workspace_id = ANY(%(workspace_ids)s::uuid[])
    UNION ALL
    SELECT n.workspace_id, t.id, t.key LIKE 'history:%%', CASE WHEN n.unit = 'credits' THEN -n.amount ELSE 0 END,
        CASE WHEN n.unit = 'tool_runs' THEN -n.amount ELSE 0 END
    FROM ledger_entry AS n
    JOIN ledger_transaction AS t
        ON t.workspace_id = n.workspace_id AND t.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND t.unit = n.unit
        AND t.seq = n.seq
    WHERE n.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND n.account = 'usage'
) AS m
GROUP BY m.workspace_id, m.transaction_id, m.covered
HAVING sum(m.credits) <> 0 OR sum(m.tool_runs) <> 0

-- name: stored_day
-- By dimensions and not by key, since the key may be what is wrong.
SELECT count(*) AS rows, coalesce(sum(events), 0)::bigint AS events, coalesce(sum(quantity), 0) AS quantity,
    coalesce(sum(tokens_in), 0)::bigint AS tokens_in, coalesce(sum(tokens_out), 0)::bigint AS tokens_out,
    coalesce(sum(credits), 0)::bigint AS credits, coalesce(sum(tool_runs), 0)::bigint AS tool_runs,
    coalesce(sum(provider_cost), 0) AS provider_cost, coalesce(sum(unpriced), 0)::bigint AS unpriced
FROM rollup_daily
WHERE workspace_id = %(workspace_id)s::uuid AND day = %(day)s::date AND type = %(type)s::text
    AND category = %(category)s::text AND slug = %(slug)s::text AND status IS NOT DISTINCT FROM %(status)s::text
    AND project_id IS NOT DISTINCT FROM %(project_id)s::uuid AND user_id IS NOT DISTINCT FROM %(user_id)s::uuid
    AND workflow_id IS NOT DISTINCT FROM %(workflow_id)s::uuid AND agent_id IS NOT DISTINCT FROM %(agent_id)s::uuid
    AND connector_id IS NOT DISTINCT FROM %(connector_id)s::uuid AND tool_id IS NOT DISTINCT FROM %(tool_id)s::uuid
    AND table_id IS NOT DISTINCT FROM %(table_id)s::uuid
    AND language_model IS NOT DISTINCT FROM %(language_model)s::text
    AND integration IS NOT DISTINCT FROM %(integration)s::text

-- name: stored_workflow_day
SELECT count(*) AS rows, coalesce(sum(events), 0)::bigint AS events, coalesce(sum(quantity), 0) AS quantity,
    coalesce(sum(credits), 0)::bigint AS credits
FROM rollup_workflow
WHERE workspace_id = %(workspace_id)s::uuid AND day = %(day)s::date AND type = %(type)s::text
    AND slug = %(slug)s::text AND status = %(status)s::text AND workflow_id = %(workflow_id)s::uuid

-- name: stored_hour
SELECT count(*) AS rows, coalesce(sum(events), 0)::bigint AS events, coalesce(sum(quantity), 0) AS quantity,
    coalesce(sum(credits), 0)::bigint AS credits, coalesce(sum(tool_runs), 0)::bigint AS tool_runs
FROM rollup_hourly
WHERE workspace_id = %(workspace_id)s::uuid AND hour = %(hour)s::timestamptz AND category = %(category)s::text
    AND slug = %(slug)s::text AND workflow_id IS NOT DISTINCT FROM %(workflow_id)s::uuid
    AND agent_id IS NOT DISTINCT FROM %(agent_id)s::uuid

-- name: booked_usage
-- What the ledger booked under one transaction's id, and in which of its transactions.
SELECT n.unit, n.seq, sum(n.amount)::bigint AS amount
FROM ledger_entry AS n
JOIN ledger_transaction AS t
    ON t.workspace_id = n.workspace_id AND t.workspace_id = %(workspace_id)s::uuid AND t.unit = n.unit AND t.seq = n.seq
WHERE n.workspace_id = %(workspace_id)s::uuid AND n.account = 'usage' AND t.id = %(id)s::uuid
    AND (t.key LIKE 'history:%%') = %(covered)s::boolean
GROUP BY n.unit, n.seq

-- name: day_buckets
-- Each key of a total with its dimensions, once.
SELECT DISTINCT workspace_id, bucket, type, category, slug, status, project_id, user_id, workflow_id, agent_id, connector_id, tool_id,
    table_id, language_model, integration
FROM rollup_daily
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[])

-- name: hour_buckets
SELECT DISTINCT workspace_id, bucket, category, slug, workflow_id, agent_id
FROM rollup_hourly
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[])
