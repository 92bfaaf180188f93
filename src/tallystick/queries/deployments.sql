-- name: page
-- With what each was charged. Deleted ones only when asked for.
SELECT d.workspace_id, d.id, d.kind, d.resource_id, d.name, d.state, d.profile, d.replicas, d.details, d.reason,
    d.comply_by, d.created_by, d.created_at, d.updated_at, d.deployed_at, d.metered_until, u.microseconds, u.credits
FROM deployment AS d
LEFT JOIN LATERAL (
    SELECT sum(t.microseconds)::bigint AS microseconds, sum(t.credits)::bigint AS credits
    FROM deployment_day AS t
    WHERE t.workspace_id = d.workspace_id AND t.deployment_id = d.id
) AS u ON true
WHERE d.workspace_id = %(workspace_id)s::uuid
  AND (%(kind)s::text IS NULL OR d.kind = %(kind)s::text)
  AND (CASE WHEN %(state)s::text IS NULL THEN d.state <> 'deleted' ELSE d.state = %(state)s::text END)
  AND (%(resource_ids)s::uuid[] IS NULL OR d.resource_id = ANY(%(resource_ids)s::uuid[]))
ORDER BY d.created_at DESC, d.id DESC
LIMIT %(limit)s::int OFFSET %(offset)s::int;

-- name: several
SELECT d.workspace_id, d.id, d.kind, d.resource_id, d.name, d.state, d.profile, d.replicas, d.details, d.reason,
    d.comply_by, d.created_by, d.created_at, d.updated_at, d.deployed_at, d.metered_until, u.microseconds, u.credits
FROM deployment AS d
LEFT JOIN LATERAL (
    SELECT sum(t.microseconds)::bigint AS microseconds, sum(t.credits)::bigint AS credits
    FROM deployment_day AS t
    WHERE t.workspace_id = d.workspace_id AND t.deployment_id = d.id
) AS u ON true
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.id = ANY(%(ids)s::uuid[]);

-- name: changes
SELECT number, at, asked, state, profile, replicas, actor, reason
FROM deployment_change
WHERE workspace_id = %(workspace_id)s::uuid AND deployment_id = %(id)s::uuid
ORDER BY number;

-- name: profiles
SELECT key, kind, name, cpu_type, vcpus, memory_gb, gpu_type, gpus, usable, components, origin, created_at, retired_at
FROM hardware_profile
ORDER BY array_position(ARRAY['script', 'guardrail', 'model'], kind), gpus, vcpus, memory_gb, key;

-- name: prices
-- The version in force of each of these targets: an operator's own before any other.
SELECT DISTINCT ON (p.target) p.id, p.target, p.valid_from, p.model, p.rates, p.origin, p.source, p.source_text,
    p.created_at
FROM price_version AS p
WHERE p.target = ANY(%(targets)s::text[]) AND p.valid_from <= %(at)s::timestamptz
ORDER BY p.target, array_position(ARRAY['operator', 'shipped', 'public'], p.origin), p.valid_from DESC;
