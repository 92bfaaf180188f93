-- name: page
SELECT p.*, i.number AS invoice_number, i.status AS invoice_status, i.due_at, a.provider, g.expires_at,
    (
        SELECT y.action_url FROM payment AS y
        WHERE y.workspace_id = %(workspace_id)s::uuid AND y.invoice_id = p.invoice_id AND y.status = 'action_required'
        ORDER BY y.created_at DESC
        LIMIT 1
    ) AS action_url
FROM credit_purchase AS p
LEFT JOIN invoice AS i ON i.workspace_id = p.workspace_id AND i.id = p.invoice_id
LEFT JOIN credit_grant AS g ON g.workspace_id = p.workspace_id AND g.id = p.grant_id
LEFT JOIN billing_account AS a ON a.workspace_id = p.workspace_id
WHERE p.workspace_id = %(workspace_id)s::uuid AND (%(status)s::text IS NULL OR p.status = %(status)s::text)
ORDER BY p.created_at DESC, p.id DESC
LIMIT %(limit)s::int OFFSET %(offset)s::bigint

-- name: one
SELECT p.*, i.number AS invoice_number, i.status AS invoice_status, i.due_at, a.provider, g.expires_at,
    (
        SELECT y.action_url FROM payment AS y
        WHERE y.workspace_id = %(workspace_id)s::uuid AND y.invoice_id = p.invoice_id AND y.status = 'action_required'
        ORDER BY y.created_at DESC
        LIMIT 1
    ) AS action_url
FROM credit_purchase AS p
LEFT JOIN invoice AS i ON i.workspace_id = p.workspace_id AND i.id = p.invoice_id
LEFT JOIN credit_grant AS g ON g.workspace_id = p.workspace_id AND g.id = p.grant_id
LEFT JOIN billing_account AS a ON a.workspace_id = p.workspace_id
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.id = %(id)s::uuid
