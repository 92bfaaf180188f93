-- Each query names the windows of one budget whose use is not what was charged in them, from where the budget knows all.

-- name: by_day
WITH charged AS (
    SELECT
        CASE %(scope)s::text WHEN 'workspace' THEN 'workspace' WHEN 'project' THEN r.project_id::text
            WHEN 'user' THEN r.user_id::text WHEN 'workflow' THEN r.workflow_id::text
            WHEN 'agent' THEN r.agent_id::text END AS subject,
        to_char(r.day, CASE %(per)s::text WHEN 'day' THEN 'YYYY-MM-DD' ELSE 'YYYY-MM' END) AS "window",
        sum(CASE %(unit)s::text WHEN 'credits' THEN r.credits ELSE r.tool_runs END)::bigint AS spent
    FROM rollup_daily AS r
    WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day >= %(since)s::date
    GROUP BY 1, 2
), expected AS (
    SELECT c.subject, c."window", c.spent FROM charged AS c WHERE c.subject = coalesce(%(subject)s::text, c.subject)
), stored AS (
    SELECT u.subject, u."window", u.spent
    FROM budget_usage AS u
    WHERE u.workspace_id = %(workspace_id)s::uuid AND u.budget_id = %(id)s::uuid AND u."window" >= %(first)s::text
)
SELECT subject, "window", coalesce(e.spent, 0) AS expected, coalesce(s.spent, 0) AS found
FROM expected AS e
FULL JOIN stored AS s USING (subject, "window")
WHERE coalesce(e.spent, 0) <> coalesce(s.spent, 0)
ORDER BY "window", subject

-- name: by_key
WITH charged AS (
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
), expected AS (
    SELECT c.subject, c."window", c.spent
    FROM charged AS c
    WHERE c.subject <> '' AND c.subject = coalesce(%(subject)s::text, c.subject)
), stored AS (
    SELECT u.subject, u."window", u.spent
    FROM budget_usage AS u
    WHERE u.workspace_id = %(workspace_id)s::uuid AND u.budget_id = %(id)s::uuid AND u."window" >= %(first)s::text
)
SELECT subject, "window", coalesce(e.spent, 0) AS expected, coalesce(s.spent, 0) AS found
FROM expected AS e
FULL JOIN stored AS s USING (subject, "window")
WHERE coalesce(e.spent, 0) <> coalesce(s.spent, 0)
ORDER BY "window", subject

-- name: by_run
-- A run that was idle for longer when the budget was made may have used more than the budget knows.
WITH charged AS (
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
        e.run AS "window",
        sum(CASE %(unit)s::text WHEN 'credits' THEN e.credits ELSE e.tool_runs END)::bigint AS spent
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.used_at >= %(since)s::timestamptz AND e.run <> ''
    GROUP BY 1, 2
), expected AS (
    SELECT c.subject, c."window", c.spent
    FROM charged AS c
    WHERE c.subject <> '' AND c.subject = coalesce(%(subject)s::text, c.subject)
), stored AS (
    SELECT u.subject, u."window", u.spent
    FROM budget_usage AS u
    WHERE u.workspace_id = %(workspace_id)s::uuid AND u.budget_id = %(id)s::uuid
)
SELECT subject, "window", coalesce(e.spent, 0) AS expected, coalesce(s.spent, 0) AS found
FROM expected AS e
FULL JOIN stored AS s USING (subject, "window")
WHERE coalesce(e.spent, 0) <> coalesce(s.spent, 0)
    AND NOT EXISTS (
        SELECT FROM usage_event AS o
        WHERE o.workspace_id = %(workspace_id)s::uuid AND o.run = "window" AND o.used_at < %(since)s::timestamptz
    )
ORDER BY "window", subject

-- name: held
SELECT u.subject, u."window", u.held
FROM budget_usage AS u
WHERE u.workspace_id = %(workspace_id)s::uuid AND u.budget_id = %(id)s::uuid AND u.held <> 0
