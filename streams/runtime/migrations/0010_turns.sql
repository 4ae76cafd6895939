-- Waiting jobs are taken in turns, one of each trigger, so that one that asks every second starves no other.
-- `turn`: the first turn in which nothing of its trigger waits yet, counted from the turn that waits for longest.
ALTER TABLE jobs ADD COLUMN turn bigint NOT NULL DEFAULT 0;

-- In the order in which they are taken: backfilled ones come after all others.
CREATE INDEX jobs_waiting ON jobs
    ((command ->> 'fired_by' IS NOT DISTINCT FROM 'backfill'), turn, triggered_at, job_id) WHERE status = 'pending';

-- Jobs whose worker may be gone, however many wait.
CREATE INDEX jobs_leased ON jobs (lease_expires_at) WHERE status = 'processing';
