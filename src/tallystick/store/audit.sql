-- name: insert_audit_entry
INSERT INTO audit_entry (workspace_id, id, at, actor, action, reason, details)
VALUES (%(workspace_id)s::uuid, %(id)s::uuid, %(at)s::timestamptz, %(actor)s::text, %(action)s::text,
        %(reason)s::text, %(details)s::jsonb);
