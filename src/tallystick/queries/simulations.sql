-- name: runs_of_batch
-- The runs of a batch of ours; those of another's are only known by what was charged for them.
SELECT id::text AS run
FROM run
WHERE workspace_id = %(workspace_id)s::uuid AND batch_id = %(batch)s::uuid
ORDER BY position
LIMIT %(runs)s::int

-- name: filters
-- What our runners said of the nodes of this slug or uuid, in runs of ours.
SELECT run_id::text AS run, node_id::text AS node, status
FROM execution
WHERE workspace_id = %(workspace_id)s::uuid AND run_id = ANY(%(runs)s::uuid[])
    AND (node_slug = %(node)s::text OR node_id::text = %(node)s::text)
