-- name: by_key
SELECT key, kind, name, cpu_type, vcpus, memory_gb, gpu_type, gpus, usable, components, origin, created_at, retired_at
FROM hardware_profile
WHERE key = %(key)s::text;

-- name: ship
INSERT INTO hardware_profile (key, kind, name, cpu_type, vcpus, memory_gb, gpu_type, gpus, usable, components, origin,
                              created_at, retired_at)
VALUES (%(key)s::text, %(kind)s::text, %(name)s::text, %(cpu_type)s::text, %(vcpus)s::numeric, %(memory_gb)s::numeric,
        %(gpu_type)s::text, %(gpus)s::integer, %(usable)s::text, %(components)s::jsonb, %(origin)s::text,
        %(created_at)s::timestamptz, %(retired_at)s::timestamptz)
ON CONFLICT (key) DO NOTHING;

-- name: put
INSERT INTO hardware_profile (key, kind, name, cpu_type, vcpus, memory_gb, gpu_type, gpus, usable, components, origin,
                              created_at, retired_at)
VALUES (%(key)s::text, %(kind)s::text, %(name)s::text, %(cpu_type)s::text, %(vcpus)s::numeric, %(memory_gb)s::numeric,
        %(gpu_type)s::text, %(gpus)s::integer, %(usable)s::text, %(components)s::jsonb, %(origin)s::text,
        %(created_at)s::timestamptz, %(retired_at)s::timestamptz)
ON CONFLICT (key) DO UPDATE
SET name = excluded.name, cpu_type = excluded.cpu_type, vcpus = excluded.vcpus, memory_gb = excluded.memory_gb,
    gpu_type = excluded.gpu_type, gpus = excluded.gpus, usable = excluded.usable, components = excluded.components,
    origin = excluded.origin, retired_at = excluded.retired_at;
