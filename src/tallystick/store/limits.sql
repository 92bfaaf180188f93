-- name: limits
SELECT workspace_id, deploy_threshold, low_limit, negative_limit, fine_tune_minimum, comply_seconds,
    metering_seconds
FROM spending_limit
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[])
ORDER BY workspace_id;

-- name: put
INSERT INTO spending_limit (workspace_id, deploy_threshold, low_limit, negative_limit, fine_tune_minimum,
                            comply_seconds, metering_seconds, updated_at)
VALUES (%(workspace_id)s::uuid, %(deploy_threshold)s::bigint, %(low_limit)s::bigint, %(negative_limit)s::bigint,
        %(fine_tune_minimum)s::bigint, %(comply_seconds)s::integer, %(metering_seconds)s::integer,
        %(now)s::timestamptz)
ON CONFLICT (workspace_id) DO UPDATE
SET deploy_threshold = excluded.deploy_threshold, low_limit = excluded.low_limit,
    negative_limit = excluded.negative_limit, fine_tune_minimum = excluded.fine_tune_minimum,
    comply_seconds = excluded.comply_seconds, metering_seconds = excluded.metering_seconds,
    updated_at = excluded.updated_at;
