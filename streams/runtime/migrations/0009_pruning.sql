-- Ended jobs and checks are forgotten after a while: found by their age.
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX trigger_checks_age ON trigger_checks (checked_at);
