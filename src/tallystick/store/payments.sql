-- name: insert
INSERT INTO payment (
    workspace_id, id, invoice_id, provider, purpose, key, ref, status, amount_minor, refunded_minor, disputed_minor,
    currency, method, error_code, error_message, action_url, created_at, updated_at, finished_at, next_at, received_on
)
SELECT workspace_id, id, invoice_id, provider, purpose, key, ref, status, amount_minor, refunded_minor, disputed_minor,
    currency, method, error_code, error_message, action_url, created_at, updated_at, finished_at, next_at, received_on
FROM json_to_record(%(row)s::json) AS n (
    workspace_id uuid, id uuid, invoice_id uuid, provider text, purpose text, key text, ref text, status text,
    amount_minor bigint, refunded_minor bigint, disputed_minor bigint, currency text, method jsonb, error_code text,
    error_message text, action_url text, created_at timestamptz, updated_at timestamptz, finished_at timestamptz,
    next_at timestamptz, received_on date
)

-- name: save
UPDATE payment
SET ref = n.ref, status = n.status, refunded_minor = n.refunded_minor, disputed_minor = n.disputed_minor,
    method = n.method, error_code = n.error_code, error_message = n.error_message, action_url = n.action_url,
    updated_at = n.updated_at, finished_at = n.finished_at, next_at = n.next_at, invoice_id = n.invoice_id
FROM json_to_record(%(row)s::json) AS n (
    ref text, status text, refunded_minor bigint, disputed_minor bigint, method jsonb, error_code text,
    error_message text, action_url text, updated_at timestamptz, finished_at timestamptz, next_at timestamptz,
    invoice_id uuid
)
WHERE payment.workspace_id = %(workspace_id)s::uuid AND payment.id = %(id)s::uuid

-- name: lock
SELECT p.*
FROM payment AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.id = %(id)s::uuid
FOR UPDATE

-- name: invoice_of
SELECT p.invoice_id
FROM payment AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.id = %(id)s::uuid

-- name: by_key
SELECT p.*
FROM payment AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.key = %(key)s::text

-- name: by_ref
SELECT p.workspace_id, p.id
FROM payment AS p
WHERE p.provider = %(provider)s::text AND p.ref = %(ref)s::text

-- name: exists
SELECT 1 AS found
FROM payment AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.id = %(id)s::uuid AND p.provider = %(provider)s::text

-- name: of_invoice
SELECT p.*
FROM payment AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.invoice_id = %(invoice_id)s::uuid
ORDER BY p.created_at, p.id

-- name: due
-- A workspace with a test clock is turned by its clock alone.
SELECT p.workspace_id, p.id
FROM payment AS p
JOIN workspace AS w ON w.id = p.workspace_id
WHERE p.next_at <= %(now)s::timestamptz
    AND (CASE WHEN %(workspace_id)s::uuid IS NULL THEN w.clock_at IS NULL
        ELSE p.workspace_id = %(workspace_id)s::uuid END)
ORDER BY p.next_at, p.workspace_id, p.id
LIMIT %(limit)s::bigint

-- name: heard
SELECT 1 AS found
FROM provider_event AS e
WHERE e.provider = %(provider)s::text AND e.id = %(id)s::text

-- name: hear
INSERT INTO provider_event (provider, id, kind, workspace_id, outcome, received_at)
VALUES (
    %(provider)s::text, %(id)s::text, %(kind)s::text, %(workspace_id)s::uuid, %(outcome)s::text, %(now)s::timestamptz
)
ON CONFLICT (provider, id) DO NOTHING

-- name: insert_refund
INSERT INTO payment_refund (
    workspace_id, id, payment_id, status, amount_minor, reason, ref, error_message, created_by, created_at, finished_at
)
SELECT workspace_id, id, payment_id, status, amount_minor, reason, ref, error_message, created_by, created_at,
    finished_at
FROM json_to_record(%(row)s::json) AS n (
    workspace_id uuid, id uuid, payment_id uuid, status text, amount_minor bigint, reason text, ref text,
    error_message text, created_by text, created_at timestamptz, finished_at timestamptz
)

-- name: save_refund
UPDATE payment_refund
SET status = n.status, ref = n.ref, error_message = n.error_message, finished_at = n.finished_at
FROM json_to_record(%(row)s::json) AS n (status text, ref text, error_message text, finished_at timestamptz)
WHERE payment_refund.workspace_id = %(workspace_id)s::uuid AND payment_refund.id = %(id)s::uuid

-- name: refunds
SELECT r.*
FROM payment_refund AS r
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.payment_id = %(payment_id)s::uuid
ORDER BY r.created_at, r.id
