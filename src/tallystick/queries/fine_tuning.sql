-- name: page
-- Newest first; ids grow with time.
SELECT workspace_id, id, base_model, model, resource_id, status, training_tokens, epochs, complexity, profile, seconds,
       estimate, hold_id, reported, credits, reason, created_by, created_at, finished_at
FROM fine_tuning_job
WHERE workspace_id = %(workspace_id)s::uuid
    AND (%(status)s::text IS NULL OR status = %(status)s::text)
ORDER BY id DESC
LIMIT %(limit)s::int OFFSET %(offset)s::int
