-- name: paid
-- Invoices that say otherwise than the payments that are still ours, or that stand open though nothing is left to pay.
SELECT i.id, i.number, i.status, i.paid_minor, i.total_minor - i.credited_minor AS owed,
    coalesce(p.came, 0)::bigint AS came
FROM invoice AS i
LEFT JOIN LATERAL (
    SELECT sum(o.amount_minor - o.refunded_minor - o.disputed_minor) AS came
    FROM payment AS o
    WHERE o.workspace_id = %(workspace_id)s::uuid AND o.invoice_id = i.id AND o.status = 'succeeded'
) AS p ON true
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.kind = 'invoice' AND (
    i.paid_minor <> coalesce(p.came, 0)
    OR (i.status IN ('issued', 'past_due') AND i.total_minor - i.credited_minor <= i.paid_minor)
    OR (i.status = 'paid' AND i.purpose <> 'purchase' AND i.total_minor - i.credited_minor > i.paid_minor)
)
ORDER BY i.issued_at, i.id

-- name: refunded
-- Payments of which less was given back than their refunds say.
SELECT p.id, p.refunded_minor, r.given::bigint AS given
FROM payment AS p
JOIN LATERAL (
    SELECT sum(o.amount_minor) AS given
    FROM payment_refund AS o
    WHERE o.workspace_id = %(workspace_id)s::uuid AND o.payment_id = p.id AND o.status = 'succeeded'
) AS r ON true
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.refunded_minor < r.given
ORDER BY p.created_at, p.id
