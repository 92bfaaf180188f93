-- name: due
-- What is to be done about money owed, in order of time. A workspace with a test clock is turned by its clock alone.
SELECT n.next_at, n.kind, n.workspace_id, n.id
FROM (
    SELECT i.workspace_id, i.id, i.next_at, CASE i.status WHEN 'draft' THEN 'draft' ELSE 'invoice' END AS kind
    FROM invoice AS i
    WHERE i.next_at <= %(now)s::timestamptz
    UNION ALL
    SELECT p.workspace_id, p.id, p.next_at, 'payment' AS kind
    FROM payment AS p
    WHERE p.next_at <= %(now)s::timestamptz
) AS n
JOIN workspace AS w ON w.id = n.workspace_id
WHERE CASE WHEN %(workspace_id)s::uuid IS NULL THEN w.clock_at IS NULL
    ELSE n.workspace_id = %(workspace_id)s::uuid END
ORDER BY n.next_at, n.kind DESC, n.workspace_id, n.id
LIMIT %(limit)s::bigint

-- name: cards
-- Cards whose last month is one of these, counted from year 0, each with what it takes to tell its owner.
SELECT a.workspace_id, a.method, a.method_at, w.zone
FROM billing_account AS a
JOIN workspace AS w ON w.id = a.workspace_id
WHERE (a.method ->> 'exp_year')::int * 12 + (a.method ->> 'exp_month')::int
        BETWEEN %(first)s::int AND %(last)s::int
    AND w.closed_at IS NULL
    AND CASE WHEN %(workspace_id)s::uuid IS NULL THEN w.clock_at IS NULL
        ELSE a.workspace_id = %(workspace_id)s::uuid END
ORDER BY a.workspace_id
