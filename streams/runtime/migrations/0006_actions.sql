-- Actions: how far a job is, and from where another worker goes on.

-- `checkpoint`: what the last committed step of the action saved, in the transaction of its writes.
ALTER TABLE jobs
    ADD COLUMN progress double precision NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    ADD COLUMN progress_message text NOT NULL DEFAULT '',
    ADD COLUMN checkpoint jsonb;
