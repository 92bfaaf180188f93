-- name: insert
-- The index that lets only one automatic purchase be on its way.
INSERT INTO credit_purchase (
    workspace_id, id, is_automatic, status, credits, price_minor, tax_minor, currency, unit_price, tax_at, day,
    invoice_id, payment_id, grant_id, expires_days, error, created_by, created_at, finished_at
)
SELECT workspace_id, id, is_automatic, status, credits, price_minor, tax_minor, currency, unit_price::numeric, tax_at,
    day, invoice_id, payment_id, grant_id, expires_days, error, created_by, created_at, finished_at
FROM json_to_record(%(row)s::json) AS n (
    workspace_id uuid, id uuid, is_automatic boolean, status text, credits bigint, price_minor bigint,
    tax_minor bigint, currency text, unit_price text, tax_at text, day date, invoice_id uuid, payment_id uuid,
    grant_id uuid, expires_days integer, error text, created_by text, created_at timestamptz, finished_at timestamptz
)
ON CONFLICT DO NOTHING

-- name: save
UPDATE credit_purchase
SET status = n.status, tax_minor = n.tax_minor, invoice_id = n.invoice_id, payment_id = n.payment_id,
    grant_id = n.grant_id, taken = n.taken, refunded_minor = n.refunded_minor,
    refunded_tax_minor = n.refunded_tax_minor, taxed_minor = n.taxed_minor, recognised_seq = n.recognised_seq,
    recognised_used = n.recognised_used, recognised_expired = n.recognised_expired, error = n.error,
    finished_at = n.finished_at
FROM json_to_record(%(row)s::json) AS n (
    status text, tax_minor bigint, invoice_id uuid, payment_id uuid, grant_id uuid, taken bigint,
    refunded_minor bigint, refunded_tax_minor bigint, taxed_minor bigint, recognised_seq bigint,
    recognised_used bigint, recognised_expired bigint, error text, finished_at timestamptz
)
WHERE credit_purchase.workspace_id = %(workspace_id)s::uuid AND credit_purchase.id = %(id)s::uuid

-- name: by_id
SELECT p.*
FROM credit_purchase AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.id = %(id)s::uuid

-- name: lock
SELECT p.*
FROM credit_purchase AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.id = %(id)s::uuid
FOR UPDATE

-- name: lock_of_invoice
SELECT p.*
FROM credit_purchase AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.invoice_id = %(invoice_id)s::uuid
FOR UPDATE

-- name: lock_granted
SELECT p.*
FROM credit_purchase AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.status IN ('paid', 'refunded')
ORDER BY p.created_at, p.id
FOR UPDATE

-- name: lock_burning
-- Not those whose grant has ended and is followed to its end: nothing can come back to it.
SELECT p.*
FROM credit_purchase AS p
JOIN credit_grant AS g ON g.workspace_id = p.workspace_id AND g.id = p.grant_id
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.status IN ('paid', 'refunded')
    AND NOT (
        p.recognised_used + p.recognised_expired + p.taken = p.credits AND g.remaining = 0
        AND (g.ended_at IS NOT NULL OR g.expires_at <= %(now)s::timestamptz)
    )
ORDER BY p.created_at, p.id
FOR UPDATE OF p

-- name: automatic
SELECT coalesce(bool_or(p.status = 'pending'), false) AS pending,
    coalesce(sum(CASE WHEN p.day = %(day)s::date AND p.status <> 'failed' THEN p.credits ELSE 0 END), 0)::bigint
        AS bought,
    coalesce(max(CASE WHEN p.status = 'failed' THEN p.finished_at END) < %(method_at)s::timestamptz, false) AS renewed
FROM credit_purchase AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.is_automatic

-- name: to_top_up
-- A workspace with a test clock is turned by its clock alone. Exactly what is to be done is decided under lock.
SELECT a.workspace_id
FROM billing_account AS a
JOIN workspace AS w ON w.id = a.workspace_id
JOIN balance AS b ON b.workspace_id = a.workspace_id AND b.unit = 'credits'
WHERE a.topup_state <> 'off' AND a.method IS NOT NULL AND b.posted < a.topup_threshold
    AND (a.topup_state = 'on' OR EXISTS (
        SELECT FROM credit_purchase AS f
        WHERE f.workspace_id = a.workspace_id AND f.is_automatic AND f.status = 'failed'
        HAVING max(f.finished_at) < a.method_at
    ))
    AND NOT EXISTS (
        SELECT FROM credit_purchase AS p
        WHERE p.workspace_id = a.workspace_id AND p.is_automatic AND p.status = 'pending'
    )
    AND (CASE WHEN %(workspace_id)s::uuid IS NULL THEN w.clock_at IS NULL
        ELSE a.workspace_id = %(workspace_id)s::uuid END)
    AND (%(after)s::uuid IS NULL OR a.workspace_id > %(after)s::uuid)
ORDER BY a.workspace_id
LIMIT %(limit)s::bigint

-- name: to_recognise
-- Those whose ledger went on since then, or will once what is due is settled: a grant that ends.
SELECT DISTINCT p.workspace_id, w.clock_at
FROM credit_purchase AS p
JOIN workspace AS w ON w.id = p.workspace_id
JOIN balance AS b ON b.workspace_id = p.workspace_id AND b.unit = 'credits'
JOIN credit_grant AS g ON g.workspace_id = p.workspace_id AND g.id = p.grant_id
WHERE p.status IN ('paid', 'refunded')
    AND NOT (
        p.recognised_used + p.recognised_expired + p.taken = p.credits AND g.remaining = 0
        AND (g.ended_at IS NOT NULL OR g.expires_at <= coalesce(w.clock_at, %(now)s::timestamptz))
    )
    AND (b.seq > p.recognised_seq OR b.due_at <= coalesce(w.clock_at, %(now)s::timestamptz))
    AND (%(workspace_id)s::uuid IS NULL OR p.workspace_id = %(workspace_id)s::uuid)
    AND (%(after)s::uuid IS NULL OR p.workspace_id > %(after)s::uuid)
ORDER BY p.workspace_id
LIMIT %(limit)s::bigint
