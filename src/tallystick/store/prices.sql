-- name: insert_price_versions
-- Append; a version of the same target, origin and start stays as it is and is not returned.
INSERT INTO price_version (
    id, target, valid_from, model, rates, origin, source, source_text, created_at, digest
)
SELECT v.id, v.target, v.valid_from, v.model, v.rates::jsonb, v.origin, v.source, v.source_text,
    v.created_at, v.digest
FROM unnest(
    %(ids)s::uuid[], %(targets)s::text[], %(valid_from)s::timestamptz[], %(models)s::text[], %(rates)s::text[],
    %(origins)s::text[], %(sources)s::text[], %(source_texts)s::text[], %(created_at)s::timestamptz[],
    %(digests)s::bytea[]
) AS v (id, target, valid_from, model, rates, origin, source, source_text, created_at, digest)
ON CONFLICT (target, origin, valid_from) DO NOTHING
RETURNING id

-- name: price_version_at_start
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at
FROM price_version
WHERE target = %(target)s::text AND origin = %(origin)s::text AND valid_from = %(valid_from)s::timestamptz

-- name: price_versions_of_origin
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at
FROM price_version
WHERE origin = %(origin)s::text
ORDER BY target, valid_from

-- name: latest_public_import
SELECT source, rates -> 'cost' AS cost
FROM price_version
WHERE origin = 'public'
ORDER BY created_at DESC, id DESC
LIMIT 1

-- name: insert_meters
INSERT INTO meter (type, category, slug, unit, builtin, created_at)
SELECT m.type, m.category, m.slug, m.unit, m.builtin, %(created_at)s::timestamptz
FROM unnest(
    %(types)s::text[], %(categories)s::text[], %(slugs)s::text[], %(units)s::text[], %(builtins)s::boolean[]
) AS m (type, category, slug, unit, builtin)
ON CONFLICT (type) DO NOTHING
RETURNING type

-- name: meter_by_type
SELECT type, category, slug, unit, builtin FROM meter WHERE type = %(type)s::text
