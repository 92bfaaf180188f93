-- name: days
-- What each category was charged on each UTC day; at is the day's first instant.
SELECT (r.day::timestamp AT TIME ZONE 'UTC') AS at, r.category, sum(r.credits)::bigint AS credits,
    sum(r.tool_runs)::bigint AS tool_runs
FROM rollup_daily AS r
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day BETWEEN %(first)s::date AND %(last)s::date
GROUP BY r.day, r.category;

-- name: hours
SELECT r.hour AS at, r.category, sum(r.credits)::bigint AS credits, sum(r.tool_runs)::bigint AS tool_runs
FROM rollup_hourly AS r
WHERE r.workspace_id = %(workspace_id)s::uuid
    AND r.hour >= %(start)s::timestamptz AND r.hour < %(end)s::timestamptz
GROUP BY r.hour, r.category;

-- name: resources
-- Deleted ones, too: they keep their last name.
SELECT id, key, name, attributes, deleted_at
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND kind = %(kind)s::text
    AND (%(id)s::uuid IS NULL OR id = %(id)s::uuid);

-- name: deployments
SELECT id, resource_id, name, state, profile, details, created_by, created_at, updated_at, deployed_at
FROM deployment
WHERE workspace_id = %(workspace_id)s::uuid AND kind = %(kind)s::text
ORDER BY id;

-- name: time_by_days
SELECT t.deployment_id, t.profile, sum(t.microseconds)::bigint AS microseconds, sum(t.credits)::bigint AS credits
FROM deployment_day AS t
JOIN deployment AS d ON d.workspace_id = t.workspace_id AND d.id = t.deployment_id
WHERE t.workspace_id = %(workspace_id)s::uuid AND d.workspace_id = %(workspace_id)s::uuid
    AND d.kind = %(kind)s::text AND t.day BETWEEN %(first)s::date AND %(last)s::date
GROUP BY t.deployment_id, t.profile;

-- name: time_by_hours
-- Totals of hours do not know deployments: the events do, an hour each. What priced one later counts with it.
SELECT (coalesce(o.data, e.data) ->> 'deployment')::uuid AS deployment_id,
    coalesce(o.data, e.data) ->> 'profile' AS profile,
    coalesce(sum(e.quantity * 1000000) FILTER (WHERE e.adjusts IS NULL), 0)::bigint AS microseconds,
    sum(e.credits)::bigint AS credits
FROM usage_event AS e
LEFT JOIN usage_event AS o ON o.workspace_id = e.workspace_id AND o.workspace_id = %(workspace_id)s::uuid
    AND o.used_at = e.used_at AND o.id = e.adjusts
WHERE e.workspace_id = %(workspace_id)s::uuid
    AND e.used_at >= %(start)s::timestamptz AND e.used_at < %(end)s::timestamptz
    AND e.category = %(category)s::text AND coalesce(o.source, e.source) = 'tallystick/deployments'
GROUP BY 1, 2;

-- name: time_last_active
SELECT t.deployment_id, max(t.day) AS last
FROM deployment_day AS t
WHERE t.workspace_id = %(workspace_id)s::uuid AND t.day <= %(last)s::date
GROUP BY t.deployment_id;

-- name: models_by_days
SELECT r.language_model, r.category, sum(r.credits)::bigint AS credits
FROM rollup_daily AS r
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day BETWEEN %(first)s::date AND %(last)s::date
    AND r.category = ANY(%(categories)s::text[])
GROUP BY r.language_model, r.category;

-- name: models_by_hours
SELECT e.language_model, e.category, sum(e.credits)::bigint AS credits
FROM usage_event AS e
WHERE e.workspace_id = %(workspace_id)s::uuid
    AND e.used_at >= %(start)s::timestamptz AND e.used_at < %(end)s::timestamptz
    AND e.category = ANY(%(categories)s::text[])
GROUP BY e.language_model, e.category;

-- name: tools_by_days
SELECT r.tool_id, sum(r.tool_runs)::bigint AS tool_runs
FROM rollup_daily AS r
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day BETWEEN %(first)s::date AND %(last)s::date
    AND r.tool_id = ANY(%(ids)s::uuid[])
GROUP BY r.tool_id;

-- name: tools_by_hours
SELECT e.tool_id, sum(e.tool_runs)::bigint AS tool_runs
FROM usage_event AS e
WHERE e.workspace_id = %(workspace_id)s::uuid
    AND e.used_at >= %(start)s::timestamptz AND e.used_at < %(end)s::timestamptz
    AND e.tool_id = ANY(%(ids)s::uuid[])
GROUP BY e.tool_id;

-- name: tools_last_active
SELECT r.tool_id, max(r.day) AS last
FROM rollup_daily AS r
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day <= %(last)s::date AND r.tool_id = ANY(%(ids)s::uuid[])
    AND r.events > 0
GROUP BY r.tool_id;

-- name: makers
SELECT t.id, t.name, coalesce(p.first_name, '') AS first_name, coalesce(p.last_name, '') AS last_name,
    coalesce(p.email, '') AS email
FROM api_token AS t
LEFT JOIN person AS p ON p.id = t.person_id
WHERE t.id = ANY(%(ids)s::uuid[]) AND (t.workspace_id = %(workspace_id)s::uuid OR t.is_operator);

-- name: profiles
SELECT key, kind, name, cpu_type, vcpus, memory_gb, gpu_type, gpus, usable, components, origin, created_at, retired_at
FROM hardware_profile
WHERE key = ANY(%(keys)s::text[]);
