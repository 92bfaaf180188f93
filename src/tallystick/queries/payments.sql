-- name: payments
-- The newest first.
SELECT p.*, i.number AS invoice_number
FROM payment AS p
LEFT JOIN invoice AS i ON i.workspace_id = p.workspace_id AND i.id = p.invoice_id
WHERE p.workspace_id = %(workspace_id)s::uuid
    AND (%(invoice_id)s::uuid IS NULL OR p.invoice_id = %(invoice_id)s::uuid)
ORDER BY p.created_at DESC, p.id DESC
LIMIT %(limit)s::int OFFSET %(offset)s::bigint

-- name: owed
-- What is open, the first due first.
SELECT i.*
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.kind = 'invoice' AND i.status IN ('issued', 'past_due')
    AND i.total_minor - i.credited_minor > i.paid_minor
ORDER BY i.due_at, i.issued_at, i.id
