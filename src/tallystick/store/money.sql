-- name: insert
INSERT INTO money_entry (
    workspace_id, id, transaction_id, at, account, amount_minor, currency, purchase_id, cause
)
SELECT workspace_id, id, transaction_id, at, account, amount_minor, currency, purchase_id, cause
FROM json_to_recordset(%(rows)s::json) AS n (
    workspace_id uuid, id uuid, transaction_id uuid, at timestamptz, account text, amount_minor bigint,
    currency text, purchase_id uuid, cause text
)

-- name: standing
SELECT m.account, sum(m.amount_minor)::bigint AS amount
FROM money_entry AS m
WHERE m.workspace_id = %(workspace_id)s::uuid AND m.purchase_id = %(purchase_id)s::uuid
GROUP BY m.account

-- name: burnt
-- An expired amount stands right after the grant's entry that it comes from. A grant's own transaction has its id: what
-- that gives is no movement of what was given.
SELECT e.grant_id, max(t.effective_at) AS at,
    (-sum(CASE WHEN t.id = e.grant_id AND e.amount > 0 THEN 0 ELSE e.amount + coalesce(n.amount, 0) END))::bigint
        AS used,
    coalesce(sum(CASE WHEN t.key LIKE 'refund:%%' THEN 0 ELSE n.amount END), 0)::bigint AS expired,
    coalesce(sum(CASE WHEN t.key LIKE 'refund:%%' THEN n.amount ELSE 0 END), 0)::bigint AS taken
FROM ledger_entry AS e
JOIN ledger_transaction AS t
    ON t.workspace_id = e.workspace_id AND t.workspace_id = %(workspace_id)s::uuid AND t.unit = e.unit AND t.seq = e.seq
LEFT JOIN ledger_entry AS n
    ON n.workspace_id = e.workspace_id AND n.workspace_id = %(workspace_id)s::uuid AND n.unit = e.unit
    AND n.seq = e.seq AND n.position = e.position + 1 AND n.account = 'expired'
WHERE e.workspace_id = %(workspace_id)s::uuid AND e.unit = 'credits' AND e.seq > %(since)s::bigint
    AND e.account = 'grant' AND e.grant_id = ANY(%(grant_ids)s::uuid[])
GROUP BY e.grant_id, date_trunc('month', t.effective_at AT TIME ZONE 'UTC')
ORDER BY e.grant_id, at

-- name: paid_out
SELECT coalesce(-sum(m.amount_minor), 0)::bigint AS amount
FROM money_entry AS m
WHERE m.workspace_id = %(workspace_id)s::uuid AND m.purchase_id = %(purchase_id)s::uuid AND m.account = 'cash'
    AND m.cause = 'payout'

-- name: last_seq
SELECT b.seq FROM balance AS b WHERE b.workspace_id = %(workspace_id)s::uuid AND b.unit = 'credits'
