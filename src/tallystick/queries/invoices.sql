-- name: invoices
-- The newest first; a draft stands by when its period ended. Without a limit all of them.
SELECT i.*
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid
    AND (%(kind)s::text IS NULL OR i.kind = %(kind)s::text)
    AND (%(status)s::text IS NULL OR i.status = %(status)s::text)
    AND (%(issued)s::boolean IS NOT TRUE OR i.number IS NOT NULL)
ORDER BY coalesce(i.issued_at, i.created_at) DESC, i.number DESC, i.id DESC
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint

-- name: usage
-- The usage behind an invoice, with the agents' last names.
SELECT u.period_start, u.category, u.agent_id, coalesce(r.name, '') AS agent, u.events, u.quantity, u.credits,
    u.tool_runs
FROM invoice_usage AS u
LEFT JOIN resource AS r ON r.workspace_id = u.workspace_id AND r.id = u.agent_id
WHERE u.workspace_id = %(workspace_id)s::uuid AND u.invoice_id = %(id)s::uuid
ORDER BY u.period_start, u.category, u.credits DESC, u.agent_id

-- name: standing
SELECT w.name, w.email, b.overdraft
FROM workspace AS w
JOIN balance AS b ON b.workspace_id = w.id AND b.unit = 'credits'
WHERE w.id = %(workspace_id)s::uuid AND b.workspace_id = %(workspace_id)s::uuid
