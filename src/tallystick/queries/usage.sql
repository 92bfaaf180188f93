-- name: metrics
-- One pass over the days of a workspace, whichever units are wanted: storage and executions are credits, too.
-- The group is a number, so that the plan is made for the one column it names.
SELECT r.day, r.slug,
    CASE WHEN r.type = 'orchestration.execution' THEN coalesce(r.status, 'success') ELSE '' END AS status,
    coalesce(
        CASE %(group)s::int
            WHEN 1 THEN r.workflow_id
            WHEN 2 THEN r.connector_id
            WHEN 3 THEN r.table_id
            WHEN 4 THEN r.agent_id
            WHEN 5 THEN r.user_id
        END::text,
        CASE %(group)s::int
            WHEN 6 THEN r.integration
            WHEN 7 THEN r.language_model
            WHEN 8 THEN r.category
        END
    ) AS member,
    CASE r.type WHEN 'storage.records' THEN 1 WHEN 'orchestration.execution' THEN 2 ELSE 0 END AS unit,
    sum(r.events)::bigint AS events,
    sum(r.quantity) FILTER (WHERE r.type IN ('storage.records', 'orchestration.execution')) AS quantity,
    sum(r.credits)::bigint AS credits
FROM rollup_daily AS r
WHERE r.workspace_id = %(workspace_id)s::uuid
    AND r.day BETWEEN %(first)s::date AND %(last)s::date
    AND (%(workflow_id)s::uuid IS NULL OR r.workflow_id = %(workflow_id)s::uuid)
    AND (%(table_id)s::uuid IS NULL OR r.table_id = %(table_id)s::uuid)
    AND (%(connector_id)s::uuid IS NULL OR r.connector_id = %(connector_id)s::uuid)
    AND (%(agent_id)s::uuid IS NULL OR r.agent_id = %(agent_id)s::uuid)
    AND (%(integration)s::text IS NULL OR r.integration = %(integration)s::text)
GROUP BY 1, 2, 3, 4, 5
