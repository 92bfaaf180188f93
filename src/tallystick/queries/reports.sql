-- name: report
-- Dimensions are numbers (their places in domain/metering/reports.py), so that the plan is made for the columns they name.
SELECT g.day, coalesce(g.one_id::text, g.one_text) AS one, coalesce(g.two_id::text, g.two_text) AS two, g.events,
    g.quantity, g.tokens_in, g.tokens_out, g.credits, g.tool_runs, g.provider_cost, g.unpriced
FROM (
    SELECT CASE WHEN %(daily)s::boolean THEN r.day END AS day,
        CASE %(one)s::int
            WHEN 1 THEN r.workflow_id
            WHEN 2 THEN r.connector_id
            WHEN 3 THEN r.table_id
            WHEN 4 THEN r.agent_id
            WHEN 5 THEN r.user_id
            WHEN 9 THEN r.project_id
            WHEN 10 THEN r.tool_id
        END AS one_id,
        CASE %(one)s::int
            WHEN 6 THEN r.integration
            WHEN 7 THEN r.language_model
            WHEN 8 THEN r.category
            WHEN 11 THEN r.slug
            WHEN 12 THEN r.type
            WHEN 13 THEN r.status
        END AS one_text,
        CASE %(two)s::int
            WHEN 1 THEN r.workflow_id
            WHEN 2 THEN r.connector_id
            WHEN 3 THEN r.table_id
            WHEN 4 THEN r.agent_id
            WHEN 5 THEN r.user_id
            WHEN 9 THEN r.project_id
            WHEN 10 THEN r.tool_id
        END AS two_id,
        CASE %(two)s::int
            WHEN 6 THEN r.integration
            WHEN 7 THEN r.language_model
            WHEN 8 THEN r.category
            WHEN 11 THEN r.slug
            WHEN 12 THEN r.type
            WHEN 13 THEN r.status
        END AS two_text,
        sum(r.events) AS events, sum(r.quantity) AS quantity, sum(r.tokens_in) AS tokens_in,
        sum(r.tokens_out) AS tokens_out, sum(r.credits) AS credits, sum(r.tool_runs) AS tool_runs,
        sum(r.provider_cost) AS provider_cost, sum(r.unpriced) AS unpriced
    FROM rollup_daily AS r
    WHERE r.workspace_id = %(workspace_id)s::uuid
        AND r.day BETWEEN %(first)s::date AND %(last)s::date
        AND (%(workflow_id)s::uuid IS NULL OR r.workflow_id = %(workflow_id)s::uuid)
        AND (%(table_id)s::uuid IS NULL OR r.table_id = %(table_id)s::uuid)
        AND (%(connector_id)s::uuid IS NULL OR r.connector_id = %(connector_id)s::uuid)
        AND (%(agent_id)s::uuid IS NULL OR r.agent_id = %(agent_id)s::uuid)
        AND (%(user_id)s::uuid IS NULL OR r.user_id = %(user_id)s::uuid)
        AND (%(project_id)s::uuid IS NULL OR r.project_id = %(project_id)s::uuid)
        AND (%(tool_id)s::uuid IS NULL OR r.tool_id = %(tool_id)s::uuid)
        AND (%(integration)s::text IS NULL OR r.integration = %(integration)s::text)
        AND (%(language_model)s::text IS NULL OR r.language_model = %(language_model)s::text)
        AND (%(category)s::text IS NULL OR r.category = %(category)s::text)
        AND (%(slug)s::text IS NULL OR r.slug = %(slug)s::text)
    GROUP BY 1, 2, 3, 4, 5
) AS g

-- name: names
SELECT id::text AS id, name FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])
