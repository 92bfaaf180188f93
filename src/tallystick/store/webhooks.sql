-- name: enabled
-- Where facts of these workspaces may go.
SELECT workspace_id, id, url, description, kinds, secret, previous_secret, previous_until, is_enabled, disabled_because,
    failing_since, failing_told_at, created_at, updated_at, deleted_at
FROM webhook_endpoint
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND is_enabled AND deleted_at IS NULL
ORDER BY workspace_id, id

-- name: add_deliveries
-- One that is there already was made by an earlier turn.
INSERT INTO webhook_delivery (workspace_id, id, endpoint_id, fact_id, status, next_at, created_at)
SELECT workspace_id, id, endpoint_id, fact_id, 'queued', %(now)s::timestamptz, %(now)s::timestamptz
FROM unnest(%(workspace_ids)s::uuid[], %(ids)s::uuid[], %(endpoint_ids)s::uuid[], %(fact_ids)s::uuid[])
    AS n (workspace_id, id, endpoint_id, fact_id)
ON CONFLICT (workspace_id, endpoint_id, fact_id) DO NOTHING

-- name: lock_workspace
-- One new endpoint of a workspace at a time, so that they can be counted.
SELECT workspace_id FROM balance
WHERE workspace_id = %(workspace_id)s::uuid AND unit = 'credits'
FOR UPDATE

-- name: count
SELECT count(*) AS found
FROM webhook_endpoint
WHERE workspace_id = %(workspace_id)s::uuid AND deleted_at IS NULL

-- name: insert
INSERT INTO webhook_endpoint (workspace_id, id, url, description, kinds, secret, is_enabled, created_at, updated_at)
VALUES (
    %(workspace_id)s::uuid, %(id)s::uuid, %(url)s::text, %(description)s::text, %(kinds)s::text[], %(secret)s::text,
    %(is_enabled)s::boolean, %(created_at)s::timestamptz, %(updated_at)s::timestamptz
)

-- name: lock
-- A deleted one too. Comes before any lock of its deliveries.
SELECT workspace_id, id, url, description, kinds, secret, previous_secret, previous_until, is_enabled, disabled_because,
    failing_since, failing_told_at, created_at, updated_at, deleted_at
FROM webhook_endpoint
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid
FOR UPDATE

-- name: update
UPDATE webhook_endpoint
SET url = %(url)s::text, description = %(description)s::text, kinds = %(kinds)s::text[], secret = %(secret)s::text,
    previous_secret = %(previous_secret)s::text, previous_until = %(previous_until)s::timestamptz,
    is_enabled = %(is_enabled)s::boolean, disabled_because = %(disabled_because)s::text,
    failing_since = %(failing_since)s::timestamptz, failing_told_at = %(failing_told_at)s::timestamptz,
    updated_at = %(updated_at)s::timestamptz, deleted_at = %(deleted_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: record_fact
-- For a fact that goes to one endpoint alone: nobody fans it out.
INSERT INTO fact (workspace_id, id, kind, at, data, created_at, fanned_at)
VALUES (
    %(workspace_id)s::uuid, %(id)s::uuid, %(kind)s::text, %(at)s::timestamptz, %(data)s::jsonb, %(now)s::timestamptz,
    %(now)s::timestamptz
)
