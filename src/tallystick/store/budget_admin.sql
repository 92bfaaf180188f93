-- name: lock
-- What every debit and hold locks first; they read budgets and their use under it, so nobody keeps an older state.
SELECT workspace_id FROM balance
WHERE workspace_id = %(workspace_id)s::uuid AND unit = 'credits'
FOR UPDATE

-- name: count
SELECT count(*) AS found
FROM budget
WHERE workspace_id = %(workspace_id)s::uuid AND ended_at IS NULL

-- name: insert
INSERT INTO budget (workspace_id, id, name, scope, subject, per, unit, amount, created_at, updated_at)
VALUES (
    %(workspace_id)s::uuid, %(id)s::uuid, %(name)s::text, %(scope)s::text, %(subject)s::text, %(per)s::text,
    %(unit)s::text, %(amount)s::bigint, %(created_at)s::timestamptz, %(created_at)s::timestamptz
)

-- name: by_id
-- An ended one too.
SELECT workspace_id, id, name, scope, subject, per, unit, amount, created_at, ended_at
FROM budget
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: update
UPDATE budget SET name = %(name)s::text, amount = %(amount)s::bigint, updated_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: end
UPDATE budget SET ended_at = %(now)s::timestamptz, updated_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: forget_usage
DELETE FROM budget_usage
WHERE workspace_id = %(workspace_id)s::uuid AND budget_id = %(id)s::uuid

-- name: resources
SELECT id, kind
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[]) AND kind = ANY(%(kinds)s::text[])

-- name: open_holds
SELECT run, project_id, user_id, workflow_id, agent_id, api_key, credits, tool_runs, created_at
FROM hold
WHERE workspace_id = %(workspace_id)s::uuid AND status = 'held'

-- name: spend_by_day
-- What was charged in the windows from a day on, from the totals of days. Charges without a subject are outside.
INSERT INTO budget_usage (workspace_id, budget_id, subject, "window", spent)
SELECT %(workspace_id)s::uuid, %(id)s::uuid, s.subject, s."window", s.spent
FROM (
    SELECT
        CASE %(scope)s::text WHEN 'workspace' THEN 'workspace' WHEN 'project' THEN r.project_id::text
            WHEN 'user' THEN r.user_id::text WHEN 'workflow' THEN r.workflow_id::text
            WHEN 'agent' THEN r.agent_id::text END AS subject,
        to_char(r.day, CASE %(per)s::text WHEN 'day' THEN 'YYYY-MM-DD' ELSE 'YYYY-MM' END) AS "window",
        sum(CASE %(unit)s::text WHEN 'credits' THEN r.credits ELSE r.tool_runs END)::bigint AS spent
    FROM rollup_daily AS r
    WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day >= %(since)s::date
    GROUP BY 1, 2
) AS s
WHERE s.subject = coalesce(%(subject)s::text, s.subject) AND s.spent <> 0

-- name: spend_by_key
-- The same for API keys, which no total tells apart. What takes a charge back or prices it later has the key of the
-- event that it is about.
INSERT INTO budget_usage (workspace_id, budget_id, subject, "window", spent)
SELECT %(workspace_id)s::uuid, %(id)s::uuid, s.subject, s."window", s.spent
FROM (
    SELECT
        CASE WHEN e.reverses IS NULL AND e.adjusts IS NULL THEN e.data ->> 'apiKey' ELSE (
            SELECT coalesce(p.data, o.data) ->> 'apiKey'
            FROM usage_event AS o
            LEFT JOIN usage_event AS p
                ON p.workspace_id = o.workspace_id AND p.used_at = o.used_at AND p.id = o.adjusts
            WHERE o.workspace_id = %(workspace_id)s::uuid AND o.used_at = e.used_at
                AND o.id = coalesce(e.reverses, e.adjusts)
        ) END AS subject,
        to_char(
            e.used_at AT TIME ZONE 'UTC', CASE %(per)s::text WHEN 'day' THEN 'YYYY-MM-DD' ELSE 'YYYY-MM' END
        ) AS "window",
        sum(CASE %(unit)s::text WHEN 'credits' THEN e.credits ELSE e.tool_runs END)::bigint AS spent
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.used_at >= %(since)s::timestamptz
    GROUP BY 1, 2
) AS s
WHERE s.subject = coalesce(%(subject)s::text, s.subject) AND s.subject <> '' AND s.spent <> 0

-- name: spend_by_run
-- The same for runs that may still go on: those with usage since an instant, and those that a hold is open for. All of
-- a run counts, however long ago it began.
WITH going AS (
    SELECT e.run
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.used_at >= %(since)s::timestamptz AND e.run <> ''
    UNION
    SELECT h.run
    FROM hold AS h
    WHERE h.workspace_id = %(workspace_id)s::uuid AND h.status = 'held' AND h.run <> ''
)
INSERT INTO budget_usage (workspace_id, budget_id, subject, "window", spent)
SELECT %(workspace_id)s::uuid, %(id)s::uuid, s.subject, s.run, s.spent
FROM (
    SELECT
        CASE %(scope)s::text WHEN 'workspace' THEN 'workspace' WHEN 'project' THEN e.project_id::text
            WHEN 'user' THEN e.user_id::text WHEN 'workflow' THEN e.workflow_id::text
            WHEN 'agent' THEN e.agent_id::text
            ELSE CASE WHEN e.reverses IS NULL AND e.adjusts IS NULL THEN e.data ->> 'apiKey' ELSE (
                SELECT coalesce(p.data, o.data) ->> 'apiKey'
                FROM usage_event AS o
                LEFT JOIN usage_event AS p
                    ON p.workspace_id = o.workspace_id AND p.used_at = o.used_at AND p.id = o.adjusts
                WHERE o.workspace_id = %(workspace_id)s::uuid AND o.used_at = e.used_at
                    AND o.id = coalesce(e.reverses, e.adjusts)
            ) END END AS subject,
        e.run,
        sum(CASE %(unit)s::text WHEN 'credits' THEN e.credits ELSE e.tool_runs END)::bigint AS spent
    FROM usage_event AS e
    JOIN going AS g ON g.run = e.run
    WHERE e.workspace_id = %(workspace_id)s::uuid
    GROUP BY 1, 2
) AS s
WHERE s.subject = coalesce(%(subject)s::text, s.subject) AND s.subject <> '' AND s.spent <> 0
