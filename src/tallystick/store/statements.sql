-- name: add
-- What is known already is not added again.
INSERT INTO bank_transaction (
    id, booked_on, amount_minor, currency, reference, counterparty, bank_ref, note, imported_at
)
SELECT id, booked_on, amount_minor, currency, reference, counterparty, bank_ref, '', %(now)s::timestamptz
FROM json_to_recordset(%(rows)s::json) AS n (
    id text, booked_on date, amount_minor bigint, currency text, reference text, counterparty text, bank_ref text
)
ORDER BY id
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: by_ids
SELECT t.*
FROM bank_transaction AS t
WHERE t.id = ANY(%(ids)s::text[])

-- name: lock
SELECT t.*
FROM bank_transaction AS t
WHERE t.id = %(id)s::text
FOR UPDATE

-- name: settle
-- What was matched stays so.
UPDATE bank_transaction
SET workspace_id = %(workspace_id)s::uuid, invoice_id = %(invoice_id)s::uuid, payment_id = %(payment_id)s::uuid,
    note = %(note)s::text
WHERE id = %(id)s::text AND invoice_id IS NULL

-- name: unmatched
SELECT t.*
FROM bank_transaction AS t
WHERE t.invoice_id IS NULL
ORDER BY t.booked_on DESC, t.id
LIMIT %(limit)s::int OFFSET %(offset)s::bigint

-- name: candidates
-- The body of a reference is an invoice's number without anything but capitals and digits, the last 21 of them.
SELECT i.workspace_id, i.id, i.number, i.status, i.currency, i.total_minor, i.credited_minor, i.paid_minor,
    right(regexp_replace(upper(i.number), '[^A-Z0-9]', '', 'g'), 21) AS body
FROM invoice AS i
WHERE i.kind = 'invoice' AND i.number IS NOT NULL
    AND right(regexp_replace(upper(i.number), '[^A-Z0-9]', '', 'g'), 21) = ANY(%(bodies)s::text[])

-- name: by_hand
-- Transfers that the operator wrote down, which no line of a statement has shown yet.
SELECT p.id, p.amount_minor
FROM payment AS p
WHERE p.workspace_id = %(workspace_id)s::uuid AND p.invoice_id = %(invoice_id)s::uuid AND p.provider = 'offline'
    AND p.status = 'succeeded' AND p.key LIKE 'transfer:%%'
    AND NOT EXISTS (SELECT FROM bank_transaction AS t WHERE t.payment_id = p.id)
ORDER BY p.created_at, p.id
