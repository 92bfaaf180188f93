-- name: jobs
SELECT name, every_seconds, started_at, finished_at, well_at, done, failures, error FROM job_turn ORDER BY name

-- name: waiting
-- When the oldest of each was due. A fact of a workspace on a test clock is dated by that clock.
SELECT
    (
        SELECT min(f.created_at)
        FROM fact AS f
        JOIN workspace AS w ON w.id = f.workspace_id
        WHERE f.fanned_at IS NULL AND w.clock_at IS NULL
    ) AS fact,
    (SELECT min(next_at) FROM mail WHERE status = 'queued') AS mail,
    (SELECT min(next_at) FROM webhook_delivery WHERE status = 'queued') AS delivery
