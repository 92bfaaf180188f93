-- name: prices
-- Few of many: those that the time of a workspace's deployments may be charged by.
SELECT id, target, valid_from, model, rates, origin, source, source_text, created_at
FROM price_version
WHERE target = ANY(%(targets)s::text[])

-- name: keys
SELECT id, key
FROM resource
WHERE workspace_id = %(workspace_id)s::uuid AND id = ANY(%(ids)s::uuid[])

-- name: low_since
SELECT since FROM low_credits WHERE workspace_id = %(workspace_id)s::uuid

-- name: mark_low
INSERT INTO low_credits (workspace_id, since)
VALUES (%(workspace_id)s::uuid, %(since)s::timestamptz)
ON CONFLICT (workspace_id) DO UPDATE SET since = excluded.since

-- name: unmark_low
DELETE FROM low_credits WHERE workspace_id = %(workspace_id)s::uuid

-- name: advance
UPDATE deployment AS d
SET metered_until = n.metered_until
FROM unnest(%(ids)s::uuid[], %(until)s::timestamptz[]) AS n (id, metered_until)
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.id = n.id

-- name: add_days
INSERT INTO deployment_day AS t (workspace_id, deployment_id, day, profile, microseconds, credits)
SELECT %(workspace_id)s::uuid, deployment_id, day, profile, microseconds, credits
FROM unnest(
    %(deployment_ids)s::uuid[], %(days)s::date[], %(profiles)s::text[], %(microseconds)s::bigint[],
    %(credits)s::bigint[]
) AS n (deployment_id, day, profile, microseconds, credits)
ON CONFLICT (workspace_id, deployment_id, day, profile) DO UPDATE
SET microseconds = t.microseconds + excluded.microseconds, credits = t.credits + excluded.credits

-- name: overdue
-- What had to be stopped by now, was not, and was not told yet. By a test clock it is for whoever moves that.
SELECT d.workspace_id, d.id
FROM deployment AS d
JOIN workspace AS w ON w.id = d.workspace_id
WHERE d.state = 'stopping' AND d.comply_by <= %(now)s::timestamptz AND w.clock_at IS NULL
    AND NOT EXISTS (
        SELECT FROM deployment_change AS c
        WHERE c.workspace_id = d.workspace_id AND c.deployment_id = d.id AND c.asked = 'overdue'
            AND c.at >= d.comply_by
    )
ORDER BY d.workspace_id, d.id
LIMIT %(most)s::int

-- name: clear_stage
-- Its rows go with the transaction, in which more than one commit's may be added.
DELETE FROM stage_event

-- name: overdue_of
-- The same of one workspace, in order of time.
SELECT d.id, d.comply_by
FROM deployment AS d
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.state = 'stopping' AND d.comply_by <= %(now)s::timestamptz
    AND NOT EXISTS (
        SELECT FROM deployment_change AS c
        WHERE c.workspace_id = %(workspace_id)s::uuid AND c.deployment_id = d.id AND c.asked = 'overdue'
            AND c.at >= d.comply_by
    )
ORDER BY d.comply_by, d.id

-- name: is_overdue
SELECT d.id
FROM deployment AS d
WHERE d.workspace_id = %(workspace_id)s::uuid AND d.id = %(id)s::uuid AND d.state = 'stopping'
    AND d.comply_by <= %(now)s::timestamptz
    AND NOT EXISTS (
        SELECT FROM deployment_change AS c
        WHERE c.workspace_id = %(workspace_id)s::uuid AND c.deployment_id = d.id AND c.asked = 'overdue'
            AND c.at >= d.comply_by
    )
