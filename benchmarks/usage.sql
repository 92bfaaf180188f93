-- name: cells
-- What one kind of usage of one workspace is attributed to; events draw their cell.
CREATE UNLOGGED TABLE bench_cell (
    workspace_no int NOT NULL,
    cell_no int NOT NULL,
    workspace_id uuid NOT NULL,
    type text NOT NULL,
    category text NOT NULL,
    slug text NOT NULL,
    project_id uuid,
    user_id uuid,
    workflow_id uuid,
    agent_id uuid,
    connector_id uuid,
    language_model text,
    integration text,
    data text NOT NULL,
    PRIMARY KEY (workspace_no, cell_no)
)

-- name: add_day
-- The events of one day, in order of time, and the day's totals, summed from the very rows that were inserted. The
-- shares are those of `batches` in ingest.py; a square makes the first workflows the busy ones.
WITH drawn AS MATERIALIZED (
    SELECT n, random() AS workspace, random() AS workflow, random() AS person, random() AS use, random() AS which,
        random() AS fails, random() AS "in", random() AS out
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), placed AS (
    SELECT n,
        CASE
            WHEN workspace < %(big_share)s::float8 THEN 0
            ELSE 1 + floor((workspace - %(big_share)s::float8) / (1 - %(big_share)s::float8) * %(others)s::int)::int
        END AS workspace_no,
        (
            floor(CASE WHEN workspace < %(big_share)s::float8 THEN %(most)s::int ELSE %(few)s::int END
                * workflow * workflow)::int * 2 + (person < 0.5)::int
        ) * 6 + CASE
            WHEN use < 0.6 THEN (which < 0.25)::int
            WHEN use < 0.8 THEN 2 + floor(which * 3)::int
            ELSE 5
        END AS cell_no,
        CASE WHEN fails < 0.03 THEN 'error' ELSE 'success' END AS status,
        CASE WHEN use < 0.6 THEN 200 + floor("in" * 7800)::bigint ELSE 0 END AS tokens_in,
        CASE WHEN use < 0.6 THEN 10 + floor(out * 890)::bigint ELSE 0 END AS tokens_out,
        %(day)s::date::timestamp AT TIME ZONE 'UTC'
            + (n - %(first)s::bigint) * (interval '1 day' / (%(last)s::bigint - %(first)s::bigint + 1)) AS time,
        ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id,
        ('00000000-0000-7000-9000-' || lpad(to_hex(n / 1000), 12, '0'))::uuid AS transaction_id
    FROM drawn
), made AS (
    INSERT INTO usage_event (workspace_id, used_at, id, source, source_id, type, subject, time, received_at, data, run,
        meter, category, slug, status, project_id, user_id, workflow_id, agent_id, connector_id, language_model,
        integration, quantity, tokens_in, tokens_out, credits, tool_runs, state, overdrawn, over_budget, transaction_id)
    SELECT c.workspace_id, p.time, p.id, 'bench', p.id::text, c.type, c.workspace_id::text, p.time, p.time,
        format(c.data, p.tokens_in, p.tokens_out, p.n / 5, p.status)::json, 'run-' || p.n / 5, c.type, c.category,
        c.slug, p.status, c.project_id, c.user_id, c.workflow_id, c.agent_id, c.connector_id, c.language_model,
        c.integration, 1, p.tokens_in, p.tokens_out,
        CASE c.category
            WHEN 'llm' THEN p.tokens_in * 250000 + p.tokens_out * 1000000
            WHEN 'execution' THEN 10000000
            ELSE 0
        END,
        CASE c.category WHEN 'tool_calls' THEN 1000000000 ELSE 0 END, 'priced', false, false, p.transaction_id
    FROM placed AS p
    JOIN bench_cell AS c ON c.workspace_no = p.workspace_no AND c.cell_no = p.cell_no
    ORDER BY p.n
    RETURNING workspace_id, meter, category, slug, status, project_id, user_id, workflow_id, agent_id, connector_id,
        language_model, integration, quantity, tokens_in, tokens_out, credits, tool_runs
), summed AS (
    SELECT workspace_id, meter, category, slug, status, project_id, user_id, workflow_id, agent_id, connector_id,
        language_model, integration, count(*) AS events, sum(quantity) AS quantity, sum(tokens_in)::bigint AS tokens_in,
        sum(tokens_out)::bigint AS tokens_out, sum(credits)::bigint AS credits, sum(tool_runs)::bigint AS tool_runs
    FROM made
    GROUP BY workspace_id, meter, category, slug, status, project_id, user_id, workflow_id, agent_id, connector_id,
        language_model, integration
)
INSERT INTO rollup_daily (workspace_id, day, bucket, type, category, slug, status, project_id, user_id, workflow_id,
    agent_id, connector_id, language_model, integration, events, quantity, tokens_in, tokens_out, credits, tool_runs,
    provider_cost, unpriced)
SELECT workspace_id, %(day)s::date,
    md5(concat_ws('/', meter, slug, status, project_id, user_id, workflow_id, agent_id, connector_id))::uuid, meter,
    category, slug, status, project_id, user_id, workflow_id, agent_id, connector_id, language_model, integration,
    events, quantity, tokens_in, tokens_out, credits, tool_runs, 0, 0
FROM summed
ORDER BY 3

-- name: add_workflows
INSERT INTO rollup_workflow (workspace_id, day, workflow_id, slug, type, status, events, quantity, credits)
SELECT workspace_id, day, workflow_id, slug, type,
    CASE type WHEN 'orchestration.execution' THEN coalesce(status, 'success') ELSE '' END AS counted_as,
    sum(events), sum(quantity), sum(credits)
FROM rollup_daily
WHERE day = %(day)s::date
GROUP BY workspace_id, day, workflow_id, slug, type, counted_as

-- name: raw
-- What `metrics` of queries/usage.sql answers for group 1, the workflows, from the events themselves.
SELECT g.slug, g.own_slug, g.workflow_id::text, array_agg(g.day) AS days, array_agg(g.events) AS events,
    array_agg(g.quantity) AS quantities, array_agg(g.credits) AS credits
FROM (
    SELECT (e.used_at AT TIME ZONE 'UTC')::date - %(first)s::date AS day, e.slug,
        CASE e.meter
            WHEN 'orchestration.execution' THEN coalesce(e.status, 'success')
            WHEN 'storage.records' THEN 'insert'
        END AS own_slug, e.workflow_id, count(*) AS events,
        sum(e.quantity) FILTER (WHERE e.meter IN ('orchestration.execution', 'storage.records')) AS quantity,
        sum(e.credits)::bigint AS credits
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid
        AND e.used_at >= %(first)s::date::timestamp AT TIME ZONE 'UTC'
        AND e.used_at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1, 2, 3, 4
) AS g
GROUP BY g.slug, g.own_slug, g.workflow_id

-- name: totals
SELECT count(*) AS rows FROM rollup_workflow WHERE workspace_id = %(workspace_id)s::uuid
