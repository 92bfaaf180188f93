-- name: deployments
-- Each with the state, hardware and number of its last change.
SELECT d.id, d.state, d.profile, d.replicas, d.metered_until, c.number, c.state AS changed_state,
    c.profile AS changed_profile, c.replicas AS changed_replicas,
    (SELECT b.due_at FROM balance AS b WHERE b.workspace_id = %(workspace_id)s::uuid AND b.unit = 'credits') AS due_at
FROM deployment AS d
LEFT JOIN LATERAL (
    SELECT number, state, profile, replicas
    FROM deployment_change AS c
    WHERE c.workspace_id = %(workspace_id)s::uuid AND c.deployment_id = d.id
    ORDER BY number DESC
    LIMIT 1
) AS c ON true
WHERE d.workspace_id = %(workspace_id)s::uuid
ORDER BY d.id

-- name: changes
SELECT number, at, asked, state, profile, replicas, actor, reason
FROM deployment_change
WHERE workspace_id = %(workspace_id)s::uuid AND deployment_id = %(deployment_id)s::uuid
ORDER BY number

-- name: pieces
-- By their keys, since few events of a workspace are such.
SELECT e.data ->> 'deployment' AS deployment_id, e.used_at, (e.data ->> 'until')::timestamptz AS until,
    e.data ->> 'profile' AS profile, (e.data ->> 'replicas')::int AS replicas
FROM event_key AS k
JOIN usage_event AS e
    ON e.workspace_id = k.workspace_id AND e.workspace_id = %(workspace_id)s::uuid AND e.used_at = k.used_at
    AND e.id = k.event_id
WHERE k.workspace_id = %(workspace_id)s::uuid AND k.source = 'tallystick/deployments'
ORDER BY 1, 2, e.id

-- name: days
-- What is stored counts negative, so that only what differs is answered; late prices count on the day of use.
WITH measured AS (
    SELECT e.id, e.used_at, e.data ->> 'deployment' AS deployment_id, (e.used_at AT TIME ZONE 'UTC')::date AS day,
        e.data ->> 'profile' AS profile, (e.quantity * 1000000)::bigint AS microseconds, e.credits
    FROM event_key AS k
    JOIN usage_event AS e
        ON e.workspace_id = k.workspace_id AND e.workspace_id = %(workspace_id)s::uuid AND e.used_at = k.used_at
        AND e.id = k.event_id
    WHERE k.workspace_id = %(workspace_id)s::uuid AND k.source = 'tallystick/deployments'
)
SELECT s.deployment_id, s.day, s.profile, sum(s.microseconds)::bigint AS microseconds, sum(s.credits)::bigint AS credits,
    sum(s.stored_microseconds)::bigint AS stored_microseconds, sum(s.stored_credits)::bigint AS stored_credits
FROM (
    SELECT m.deployment_id, m.day, m.profile, m.microseconds, m.credits, 0 AS stored_microseconds, 0 AS stored_credits
    FROM measured AS m
    UNION ALL
    SELECT m.deployment_id, m.day, m.profile, 0, a.credits, 0, 0
    FROM measured AS m
    JOIN usage_event AS a
        ON a.workspace_id = %(workspace_id)s::uuid AND a.used_at = m.used_at AND a.adjusts = m.id
    UNION ALL
    SELECT d.deployment_id::text, d.day, d.profile, 0, 0, d.microseconds, d.credits
    FROM deployment_day AS d
    WHERE d.workspace_id = %(workspace_id)s::uuid
) AS s
GROUP BY s.deployment_id, s.day, s.profile
HAVING sum(s.microseconds) <> sum(s.stored_microseconds) OR sum(s.credits) <> sum(s.stored_credits)
ORDER BY s.deployment_id, s.day, s.profile
