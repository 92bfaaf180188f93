-- name: purchases
SELECT p.*, g.amount AS granted, i.net_minor, i.tax_minor AS invoice_tax
FROM credit_purchase AS p
LEFT JOIN credit_grant AS g ON g.workspace_id = p.workspace_id AND g.id = p.grant_id AND g.source = 'purchase'
LEFT JOIN invoice AS i ON i.workspace_id = p.workspace_id AND i.id = p.invoice_id
WHERE p.workspace_id = %(workspace_id)s::uuid
ORDER BY p.id

-- name: unbalanced
SELECT m.transaction_id, sum(m.amount_minor)::bigint AS n
FROM money_entry AS m
WHERE m.workspace_id = %(workspace_id)s::uuid
GROUP BY m.transaction_id
HAVING sum(m.amount_minor) <> 0
ORDER BY m.transaction_id

-- name: booked
-- What every account holds of each purchase; of cash, what went out of it with refunds.
SELECT m.purchase_id, m.account, sum(m.amount_minor)::bigint AS amount,
    (-coalesce(sum(CASE WHEN m.account = 'cash' AND m.cause = 'payout' THEN m.amount_minor END), 0))::bigint AS paid_out
FROM money_entry AS m
WHERE m.workspace_id = %(workspace_id)s::uuid
GROUP BY m.purchase_id, m.account
ORDER BY m.purchase_id, m.account

-- name: burnt
-- What the ledger moved on each purchase's grant up to where the money side has followed it; as store/money.sql has it.
SELECT p.id,
    (-sum(CASE WHEN t.id = e.grant_id AND e.amount > 0 THEN 0 ELSE e.amount + coalesce(n.amount, 0) END))::bigint
        AS used,
    coalesce(sum(CASE WHEN t.key LIKE 'refund:%%' THEN 0 ELSE n.amount END), 0)::bigint AS expired,
    coalesce(sum(CASE WHEN t.key LIKE 'refund:%%' THEN n.amount ELSE 0 END), 0)::bigint AS taken
FROM credit_purchase AS p
JOIN ledger_entry AS e
    ON e.workspace_id = p.workspace_id AND e.workspace_id = %(workspace_id)s::uuid AND e.unit = 'credits'
    AND e.account = 'grant' AND e.grant_id = p.grant_id
JOIN ledger_transaction AS t
    ON t.workspace_id = e.workspace_id AND t.workspace_id = %(workspace_id)s::uuid AND t.unit = e.unit AND t.seq = e.seq
LEFT JOIN ledger_entry AS n
    ON n.workspace_id = e.workspace_id AND n.workspace_id = %(workspace_id)s::uuid AND n.unit = e.unit
    AND n.seq = e.seq AND n.position = e.position + 1 AND n.account = 'expired'
WHERE p.workspace_id = %(workspace_id)s::uuid
    -- A refund is on the purchase at once, what was used only once it is recognised.
    AND (e.seq <= p.recognised_seq OR t.key LIKE 'refund:%%')
GROUP BY p.id
