-- name: workflow_metrics
-- The same from the totals of workflows, where nothing else is asked for: a fraction of the rows.
SELECT g.slug, g.own_slug, g.group_id::text AS member, g.days, g.events, g.quantities, g.credits
FROM (
    SELECT r.slug,
        CASE r.type
            WHEN 'orchestration.execution' THEN r.status
            WHEN 'storage.records' THEN 'insert'
        END AS own_slug,
        CASE WHEN %(group)s::int = 1 THEN nullif(r.workflow_id, '00000000-0000-0000-0000-000000000000') END AS group_id,
        array_agg(r.day - %(first)s::date) AS days,
        array_agg(r.events) AS events,
        array_agg(CASE WHEN r.type IN ('orchestration.execution', 'storage.records') THEN r.quantity END) AS quantities,
        array_agg(r.credits) AS credits
    FROM rollup_workflow AS r
    WHERE r.workspace_id = %(workspace_id)s::uuid
        AND r.day BETWEEN %(first)s::date AND %(last)s::date
        AND (%(workflow_id)s::uuid IS NULL OR r.workflow_id = %(workflow_id)s::uuid)
    GROUP BY 1, 2, 3
) AS g

-- name: metrics
-- One pass over the days of a workspace, whichever units are wanted: storage and executions are credits, too.
-- own_slug is that of what is counted beside credits. The group is a number, so that the plan is made for the one
-- column it names, and becomes text only once it is grouped. A row is a slug and group with its days, a day as often as
-- it has totals: the caller adds them up, in a fraction of the time that grouping by day takes here.
SELECT g.slug, g.own_slug, coalesce(g.group_id::text, g.group_text) AS member, g.days, g.events, g.quantities, g.credits
FROM (
    SELECT r.slug,
        CASE r.type
            WHEN 'orchestration.execution' THEN coalesce(r.status, 'success')
            WHEN 'storage.records' THEN 'insert'
        END AS own_slug,
        CASE %(group)s::int
            WHEN 1 THEN r.workflow_id
            WHEN 2 THEN r.connector_id
            WHEN 3 THEN r.table_id
            WHEN 4 THEN r.agent_id
            WHEN 5 THEN r.user_id
        END AS group_id,
        CASE %(group)s::int
            WHEN 6 THEN r.integration
            WHEN 7 THEN r.language_model
            WHEN 8 THEN r.category
        END AS group_text,
        array_agg(r.day - %(first)s::date) AS days,
        array_agg(r.events) AS events,
        array_agg(CASE WHEN r.type IN ('orchestration.execution', 'storage.records') THEN r.quantity END) AS quantities,
        array_agg(r.credits) AS credits
    FROM rollup_daily AS r
    WHERE r.workspace_id = %(workspace_id)s::uuid
        AND r.day BETWEEN %(first)s::date AND %(last)s::date
        AND (%(workflow_id)s::uuid IS NULL OR r.workflow_id = %(workflow_id)s::uuid)
        AND (%(table_id)s::uuid IS NULL OR r.table_id = %(table_id)s::uuid)
        AND (%(connector_id)s::uuid IS NULL OR r.connector_id = %(connector_id)s::uuid)
        AND (%(agent_id)s::uuid IS NULL OR r.agent_id = %(agent_id)s::uuid)
        AND (%(integration)s::text IS NULL OR r.integration = %(integration)s::text)
    GROUP BY 1, 2, 3, 4
) AS g
