-- Drift on any series: roll-ups are read by time, late documents keep what they were late for, and a window that
-- grows is remembered from check to check.

-- Sketches have another form now; collect makes them again from the stored documents, checks their baselines.
TRUNCATE drift_sketches, drift_seeds;
UPDATE trigger_state SET baseline_sketch = NULL, baseline_snapshot = NULL WHERE baseline_sketch IS NOT NULL;
UPDATE jobs SET baseline_sketch = NULL, baseline_snapshot = NULL WHERE baseline_sketch IS NOT NULL;

-- By time before partition: a span of time is one range, however many partitions there are and however long before
-- it a series began.
ALTER TABLE drift_sketches
    DROP CONSTRAINT drift_sketches_pkey,
    ADD PRIMARY KEY (namespace_id, collection_id, feature, time_domain, width_seconds, bucket_start, partition);

-- For a document that came late in event time, the instant it is measured at; null for one in time.
ALTER TABLE documents ADD COLUMN late_at timestamptz;

-- Of a window that began at the baseline: what had come up to the check that ended it, so that the next one reads
-- only what came since. Valid while window_since is where the baseline ends.
ALTER TABLE trigger_state
    ADD COLUMN window_since     timestamptz,
    ADD COLUMN window_until     timestamptz,
    ADD COLUMN window_documents bigint,
    ADD COLUMN window_sketch    bytea;
