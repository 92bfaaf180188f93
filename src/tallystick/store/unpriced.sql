-- name: workspaces
SELECT DISTINCT workspace_id
FROM usage_event
WHERE state = 'unpriced'
ORDER BY workspace_id

-- name: page
-- Unpriced events that nothing was booked on yet, in the order of their ids.
SELECT e.*
FROM usage_event AS e
WHERE e.workspace_id = %(workspace_id)s::uuid AND e.state = 'unpriced' AND e.reverses IS NULL
    AND e.id > %(after)s::uuid
    AND NOT EXISTS (
        SELECT FROM usage_event AS r
        WHERE r.workspace_id = e.workspace_id AND r.workspace_id = %(workspace_id)s::uuid AND r.reverses = e.id
    )
    AND NOT EXISTS (
        SELECT FROM usage_event AS a
        WHERE a.workspace_id = e.workspace_id AND a.workspace_id = %(workspace_id)s::uuid AND a.adjusts = e.id
    )
ORDER BY e.id
LIMIT %(most)s::int
