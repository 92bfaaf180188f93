-- name: balances
SELECT b.unit, b.posted, b.held, b.allocation
FROM balance AS b
WHERE b.workspace_id = %(workspace_id)s::uuid
ORDER BY b.unit
