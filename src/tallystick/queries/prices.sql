-- name: price_versions
-- With an instant, only the version in force then of each target. A workspace sees no prices of others' tools and
-- connectors; without one (an operator) all are seen.
WITH visible AS (
    SELECT p.id, p.target, p.valid_from, p.model, p.rates, p.origin, p.source, p.source_text, p.created_at,
        array_position(ARRAY['operator', 'shipped', 'public'], p.origin) AS precedence
    FROM price_version p
    WHERE starts_with(p.target, %(prefix)s::text)
      AND (%(at)s::timestamptz IS NULL OR p.valid_from <= %(at)s::timestamptz)
      AND (
        %(workspace_id)s::uuid IS NULL
        OR NOT (starts_with(p.target, 'tool.call/tool:') OR starts_with(p.target, 'tool.call/connector:'))
        OR EXISTS (
            SELECT FROM resource r
            WHERE r.workspace_id = %(workspace_id)s::uuid
              AND p.target IN ('tool.call/tool:' || r.id, 'tool.call/connector:' || r.id)
        )
      )
), ranked AS (
    SELECT v.*, row_number() OVER (PARTITION BY v.target ORDER BY v.precedence, v.valid_from DESC) AS place
    FROM visible v
)
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at
FROM ranked
WHERE %(at)s::timestamptz IS NULL OR place = 1
ORDER BY target, precedence, valid_from
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: price_in_force
-- Of the first target that has any version in force at the instant.
SELECT p.id, p.target, p.valid_from, p.model, p.rates, p.origin, p.source, p.source_text, p.created_at
FROM price_version p
WHERE p.target = ANY(%(targets)s::text[]) AND p.valid_from <= %(at)s::timestamptz
ORDER BY array_position(%(targets)s::text[], p.target),
    array_position(ARRAY['operator', 'shipped', 'public'], p.origin), p.valid_from DESC
LIMIT 1;

-- name: meters
SELECT type, category, slug, unit, builtin FROM meter ORDER BY type;
