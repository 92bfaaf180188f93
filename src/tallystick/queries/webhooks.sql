-- name: page
-- Never with their secrets.
SELECT id, url, description, kinds, previous_until, is_enabled, disabled_because, failing_since, created_at, updated_at
FROM webhook_endpoint
WHERE workspace_id = %(workspace_id)s::uuid AND deleted_at IS NULL
ORDER BY created_at, id
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint

-- name: one
SELECT id, url, description, kinds, previous_until, is_enabled, disabled_because, failing_since, created_at, updated_at
FROM webhook_endpoint
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid AND deleted_at IS NULL

-- name: deliveries
-- The newest first, each with what came of its last attempt.
SELECT d.id, d.endpoint_id, d.fact_id, d.status, d.attempts, d.next_at, d.created_at, d.finished_at, f.kind,
    f.at AS fact_at, a.status_code, a.error
FROM webhook_delivery AS d
JOIN fact AS f ON f.workspace_id = d.workspace_id AND f.id = d.fact_id
LEFT JOIN webhook_attempt AS a
    ON a.workspace_id = d.workspace_id AND a.delivery_id = d.id AND a.number = d.attempts
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.endpoint_id = %(endpoint_id)s::uuid
  AND (%(status)s::text IS NULL OR d.status = %(status)s::text)
  AND (%(kind)s::text IS NULL OR f.kind = %(kind)s::text)
  AND (%(since)s::timestamptz IS NULL OR d.created_at >= %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR d.created_at < %(until)s::timestamptz)
ORDER BY d.created_at DESC, d.id DESC
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint

-- name: delivery
SELECT d.id, d.endpoint_id, d.fact_id, d.status, d.attempts, d.next_at, d.created_at, d.finished_at, f.kind,
    f.at AS fact_at, a.status_code, a.error, f.data::text AS data
FROM webhook_delivery AS d
JOIN fact AS f ON f.workspace_id = d.workspace_id AND f.id = d.fact_id
LEFT JOIN webhook_attempt AS a
    ON a.workspace_id = d.workspace_id AND a.delivery_id = d.id AND a.number = d.attempts
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.id = %(id)s::uuid

-- name: attempts
SELECT number, at, milliseconds, status_code, error, answer
FROM webhook_attempt
WHERE workspace_id = %(workspace_id)s::uuid AND delivery_id = %(id)s::uuid
ORDER BY number
