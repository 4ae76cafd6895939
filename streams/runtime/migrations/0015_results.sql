-- How executions are stored and found (docs/decisions/026).

-- One index keeps ids single and has the order of lists, the other is the order of one alert's list. An execution is
-- found by its id through its document part, which knows its place.
ALTER TABLE alert_executions DROP CONSTRAINT alert_executions_pkey;
DROP INDEX alert_executions_of_namespace;
DROP INDEX alert_executions_of_alert;
CREATE UNIQUE INDEX alert_executions_newest
    ON alert_executions (namespace_id, appended_at DESC, base DESC, alert_number DESC, day);
CREATE INDEX alert_executions_of_alert ON alert_executions (alert_number, appended_at DESC, base DESC);

-- Which record of `alert-results` brought a row: where streams of executions go on. -1: brought before this was noted.
ALTER TABLE alert_executions
    ADD COLUMN result_partition int    NOT NULL DEFAULT -1,
    ADD COLUMN result_offset    bigint NOT NULL DEFAULT -1;
ALTER TABLE result_documents
    ADD COLUMN result_partition int    NOT NULL DEFAULT -1,
    ADD COLUMN result_offset    bigint NOT NULL DEFAULT -1;
CREATE INDEX result_documents_brought ON result_documents (result_partition, result_offset);

-- Records that added executions to a document part another record had brought: a repeat under other definitions, or
-- the second half of what was too large for one record.
CREATE TABLE result_additions (
    day              date   NOT NULL,
    base             bytea  NOT NULL,
    result_partition int    NOT NULL,
    result_offset    bigint NOT NULL,
    PRIMARY KEY (result_partition, result_offset, day, base)
);

-- Counted by number, which is short, with room for new versions of a row in its page.
ALTER TABLE alert_execution_counts ADD COLUMN alert_number bigint;
UPDATE alert_execution_counts c SET alert_number = d.number
    FROM definitions d WHERE d.kind = 'alert' AND d.namespace_id = c.namespace_id AND d.id = c.alert_id;
DELETE FROM alert_execution_counts WHERE alert_number IS NULL;
ALTER TABLE alert_execution_counts DROP CONSTRAINT alert_execution_counts_pkey;
ALTER TABLE alert_execution_counts ADD PRIMARY KEY (alert_number);
ALTER TABLE alert_execution_counts SET (fillfactor = 50);
-- Its newest execution, which is what is asked for most.
ALTER TABLE alert_execution_counts ADD COLUMN newest_at timestamptz, ADD COLUMN newest_base bytea;
UPDATE alert_execution_counts c SET newest_at = e.appended_at, newest_base = e.base FROM (
    SELECT DISTINCT ON (alert_number) alert_number, appended_at, base FROM alert_executions
    ORDER BY alert_number, appended_at DESC, base DESC
) e WHERE e.alert_number = c.alert_number;
CREATE INDEX alert_execution_counts_of_namespace ON alert_execution_counts (namespace_id);

-- Totals take away what deleted alerts were counted again.
CREATE INDEX definitions_deleted_alerts ON definitions (namespace_id, number)
    WHERE kind = 'alert' AND deleted_at IS NOT NULL;

-- Days before this are dropped and not brought back, whatever the topics still hold.
CREATE TABLE view_retention (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    kept_from date NOT NULL DEFAULT '1970-01-01'
);
INSERT INTO view_retention DEFAULT VALUES;
