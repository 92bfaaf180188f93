-- name: entries
-- Entries whose balance does not follow from that of the account's entry before, and each grant's first one.
SELECT c.unit, c.seq, c.position, c.account, c.grant_id, c.amount, c.balance_after, c.before,
    EXISTS (
        SELECT FROM ledger_entry AS x
        WHERE x.workspace_id = %(workspace_id)s::uuid AND x.unit = c.unit AND x.seq = c.seq
            AND x.account = c.account AND x.grant_id IS NOT DISTINCT FROM c.grant_id AND x.amount = c.amount
            AND x.position < c.position
    ) AS again
FROM (
    SELECT unit, seq, position, account, grant_id, amount, balance_after,
        lag(balance_after) OVER (PARTITION BY unit, account, grant_id ORDER BY seq, position) AS before
    FROM ledger_entry
    WHERE workspace_id = %(workspace_id)s::uuid
) AS c
WHERE c.balance_after <> coalesce(c.before, 0) + c.amount OR (c.account = 'grant' AND c.before IS NULL)
ORDER BY c.unit, c.seq, c.position

-- name: transactions
-- Transactions that are not as they should be, and those that move the allocation (rule M18), in order.
SELECT c.unit, c.seq, c.id, c.kind, c.key, c.previous, c.total, c.posted, c.issued, c.expired, c.used, c.given
FROM (
    SELECT unit, seq, t.id, t.kind, t.key, s.total, s.issued, s.expired, s.used, s.given,
        lag(t.seq) OVER (PARTITION BY unit ORDER BY t.seq) AS previous,
        (sum(s.moved) OVER (PARTITION BY unit ORDER BY seq))::bigint AS posted
    FROM (
        SELECT unit, seq, sum(amount)::bigint AS total,
            sum(CASE WHEN account IN ('grant', 'overdraft') THEN amount ELSE 0 END) AS moved,
            (-sum(CASE WHEN account = 'issued' THEN amount ELSE 0 END))::bigint AS issued,
            sum(CASE WHEN account = 'expired' THEN amount ELSE 0 END)::bigint AS expired,
            sum(CASE WHEN account = 'usage' THEN amount ELSE 0 END)::bigint AS used,
            sum(CASE WHEN account = 'issued' THEN 1 ELSE 0 END)::bigint AS given
        FROM ledger_entry
        WHERE workspace_id = %(workspace_id)s::uuid
        GROUP BY unit, seq
    ) AS s
    FULL JOIN (
        SELECT unit, seq, id, kind, key FROM ledger_transaction WHERE workspace_id = %(workspace_id)s::uuid
    ) AS t USING (unit, seq)
) AS c
WHERE c.kind IS DISTINCT FROM 'usage' OR c.used < 0 OR c.total IS DISTINCT FROM 0 OR c.seq <> coalesce(c.previous, 0) + 1
ORDER BY c.unit, c.seq

-- name: accounts
-- What each account holds by its entries; of a grant also what its covering entries add up to.
SELECT unit, account, grant_id, sum(amount)::bigint AS amount, count(*) AS entries, max(seq) AS seq,
    sum(CASE WHEN balance_after <> 0 THEN amount ELSE 0 END)::bigint AS covering
FROM ledger_entry
WHERE workspace_id = %(workspace_id)s::uuid
GROUP BY unit, account, grant_id

-- name: expiries
-- What of each grant expired unused: an expired amount stands right after the grant's entry that it comes from.
SELECT g.grant_id, sum(n.amount)::bigint AS amount
FROM ledger_entry AS n
JOIN ledger_entry AS g
    ON g.workspace_id = n.workspace_id AND g.workspace_id = %(workspace_id)s::uuid AND g.unit = n.unit
    AND g.seq = n.seq AND g.position = n.position - 1
WHERE n.workspace_id = %(workspace_id)s::uuid AND n.account = 'expired'
GROUP BY g.grant_id

-- name: balances
SELECT b.unit, b.posted, b.held, b.overdraft, b.issued, b.used, b.expired, b.allocation, b.allocation_no, b.seq, b.due_at,
    b.told,
    (SELECT coalesce(sum(CASE b.unit WHEN 'credits' THEN h.credits ELSE h.tool_runs END), 0)::bigint FROM hold AS h
        WHERE h.workspace_id = %(workspace_id)s::uuid AND h.status = 'held') AS set_aside,
    (SELECT min(h.expires_at) FROM hold AS h
        WHERE h.workspace_id = %(workspace_id)s::uuid AND h.status = 'held') AS hold_end,
    (SELECT max(t.seq) FROM ledger_transaction AS t
        WHERE t.workspace_id = %(workspace_id)s::uuid AND t.unit = b.unit) AS last_seq,
    (SELECT min(p.ends_at) FROM billing_period AS p
        WHERE p.workspace_id = %(workspace_id)s::uuid AND p.closed_at IS NULL) AS period_end
FROM balance AS b
WHERE b.workspace_id = %(workspace_id)s::uuid
ORDER BY b.unit

-- name: grants
SELECT id, unit, source, amount, remaining, expired, kept, expires_at, ended_at
FROM credit_grant
WHERE workspace_id = %(workspace_id)s::uuid
ORDER BY id

-- name: transaction_count
SELECT count(*) AS transactions FROM ledger_transaction WHERE workspace_id = %(workspace_id)s::uuid
