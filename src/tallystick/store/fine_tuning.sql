-- name: by_id
SELECT workspace_id, id, base_model, model, resource_id, status, training_tokens, epochs, complexity, profile, seconds,
       estimate, hold_id, reported, credits, reason, created_by, created_at, finished_at
FROM fine_tuning_job
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid;

-- name: lock
SELECT workspace_id, id, base_model, model, resource_id, status, training_tokens, epochs, complexity, profile, seconds,
       estimate, hold_id, reported, credits, reason, created_by, created_at, finished_at
FROM fine_tuning_job
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid
FOR UPDATE;

-- name: insert
INSERT INTO fine_tuning_job (workspace_id, id, base_model, model, resource_id, status, training_tokens, epochs,
                             complexity, profile, seconds, estimate, hold_id, created_by, created_at)
VALUES (%(workspace_id)s::uuid, %(id)s::uuid, %(base_model)s::text, %(model)s::text, %(resource_id)s::uuid,
        %(status)s::text, %(training_tokens)s::bigint, %(epochs)s::numeric, %(complexity)s::text, %(profile)s::text,
        %(seconds)s::numeric, %(estimate)s::bigint, %(hold_id)s::uuid, %(created_by)s::text,
        %(created_at)s::timestamptz);

-- name: finish
UPDATE fine_tuning_job
SET status = %(status)s::text, reported = %(reported)s::jsonb, credits = %(credits)s::bigint,
    reason = %(reason)s::text, finished_at = %(finished_at)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid;

-- name: profile
SELECT key FROM hardware_profile
WHERE key = %(key)s::text AND kind = 'model' AND retired_at IS NULL;
