-- name: by_id
SELECT workspace_id, id, kind, resource_id, name, state, profile, replicas, details, reason, comply_by, created_by,
       created_at, updated_at, deployed_at, metered_until
FROM deployment
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid;

-- name: lock
SELECT workspace_id, id, kind, resource_id, name, state, profile, replicas, details, reason, comply_by, created_by,
       created_at, updated_at, deployed_at, metered_until
FROM deployment
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid
FOR UPDATE;

-- name: lock_all
SELECT workspace_id, id, kind, resource_id, name, state, profile, replicas, details, reason, comply_by, created_by,
       created_at, updated_at, deployed_at, metered_until
FROM deployment
WHERE workspace_id = %(workspace_id)s::uuid AND state <> 'deleted'
ORDER BY id
FOR UPDATE;

-- name: lock_running
-- By the index of what is charged: nothing of a workspace without deployments is read.
SELECT workspace_id, id, kind, resource_id, name, state, profile, replicas, details, reason, comply_by, created_by,
       created_at, updated_at, deployed_at, metered_until
FROM deployment
WHERE workspace_id = %(workspace_id)s::uuid AND metered_until IS NOT NULL
ORDER BY id
FOR UPDATE;

-- name: count_live
SELECT count(*) AS found
FROM deployment
WHERE workspace_id = %(workspace_id)s::uuid AND state <> 'deleted';

-- name: insert
INSERT INTO deployment (workspace_id, id, kind, resource_id, name, state, profile, replicas, details, reason, comply_by,
                        created_by, created_at, updated_at, deployed_at, metered_until)
SELECT workspace_id, id, kind, resource_id, name, state, profile, replicas, details, reason, comply_by, created_by,
       created_at, updated_at, deployed_at, metered_until
FROM json_to_recordset(%(rows)s::json) AS n (
    workspace_id uuid, id uuid, kind text, resource_id uuid, name text, state text, profile text, replicas integer,
    details jsonb, reason text, comply_by timestamptz, created_by text, created_at timestamptz,
    updated_at timestamptz, deployed_at timestamptz, metered_until timestamptz
);

-- name: update
UPDATE deployment AS d
SET name = n.name, state = n.state, profile = n.profile, replicas = n.replicas, details = n.details, reason = n.reason,
    comply_by = n.comply_by, updated_at = n.updated_at, deployed_at = n.deployed_at, metered_until = n.metered_until
FROM json_to_recordset(%(rows)s::json) AS n (
    id uuid, name text, state text, profile text, replicas integer, details jsonb, reason text,
    comply_by timestamptz, updated_at timestamptz, deployed_at timestamptz, metered_until timestamptz
)
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.id = n.id;

-- name: add_change
-- Numbered within the lock of its deployment.
INSERT INTO deployment_change (workspace_id, deployment_id, number, at, asked, state, profile, replicas, actor, reason)
SELECT %(workspace_id)s::uuid, %(deployment_id)s::uuid,
       (SELECT coalesce(max(number), 0) + 1
        FROM deployment_change
        WHERE workspace_id = %(workspace_id)s::uuid AND deployment_id = %(deployment_id)s::uuid),
       %(at)s::timestamptz, %(asked)s::text, %(state)s::text, %(profile)s::text, %(replicas)s::integer,
       %(actor)s::text, %(reason)s::text
RETURNING number;
