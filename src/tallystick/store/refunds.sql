-- name: standing_rows
-- What was booked for a run and not taken back yet, late prices included, in the order of its booking.
SELECT e.*
FROM usage_event AS e
WHERE e.workspace_id = %(workspace_id)s::uuid AND e.run = %(run)s::text AND e.reverses IS NULL
    AND NOT EXISTS (
        SELECT FROM usage_event AS r
        WHERE r.workspace_id = e.workspace_id AND r.workspace_id = %(workspace_id)s::uuid AND r.reverses = e.id
    )
ORDER BY e.id

-- name: is_known
SELECT (
    EXISTS (SELECT FROM usage_event WHERE workspace_id = %(workspace_id)s::uuid AND run = %(run)s::text)
    OR EXISTS (SELECT FROM run_start WHERE workspace_id = %(workspace_id)s::uuid AND run = %(run)s::text)
    OR EXISTS (SELECT FROM run WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid)
) AS known
