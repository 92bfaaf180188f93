-- name: entries
-- The newest first, of one workspace or, where none is named, of all of them. An action is named whole or by what
-- stands before its dot.
SELECT workspace_id, id, at, actor, action, reason, details
FROM audit_entry
WHERE (%(workspace_id)s::uuid IS NULL OR workspace_id = %(workspace_id)s::uuid)
    AND (
        %(action)s::text IS NULL OR action = %(action)s::text OR split_part(action, '.', 1) = %(action)s::text
    )
    AND (%(actor)s::text IS NULL OR actor = %(actor)s::text)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s::timestamptz)
    AND (%(until)s::timestamptz IS NULL OR at < %(until)s::timestamptz)
ORDER BY at DESC, id DESC
LIMIT %(limit)s::int OFFSET %(offset)s::bigint
