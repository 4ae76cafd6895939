-- Actions: how far a job is, and from where another worker goes on.

-- `checkpoint`: what the last committed step of the action saved, in the transaction of its writes.
ALTER TABLE jobs
    ADD COLUMN progress double precision NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    ADD COLUMN progress_message text NOT NULL DEFAULT '',
    ADD COLUMN checkpoint jsonb;

-- A run of a cluster is there from the moment its job is queued; until it ends, its status is the job's.
ALTER TABLE cluster_runs
    ALTER COLUMN status SET DEFAULT 'pending',
    ALTER COLUMN num_clusters SET DEFAULT 0,
    ALTER COLUMN num_points SET DEFAULT 0,
    ADD COLUMN mode text NOT NULL DEFAULT 'full',
    ADD COLUMN detail jsonb NOT NULL DEFAULT '{}';   -- how it was made, as contract 4.10 tells it

-- `cluster`: the place of its innermost cluster among the run's centroids.
ALTER TABLE cluster_members
    ADD COLUMN distance real;                        -- from its centroid; null for noise and where there is none
