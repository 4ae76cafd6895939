-- Small batches of results are one statement, which raises this where it took for granted what is not so.
CREATE FUNCTION not_as_expected() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not as expected' USING ERRCODE = 'check_violation';
END $$;

-- Which collections check which alert on ingest, as their definitions say (docs/decisions/039): a definition is taken
-- apart when it changes, not whenever somebody asks.
CREATE TABLE alert_attachments (
    namespace_id  text NOT NULL,
    alert_id      text NOT NULL,
    collection_id text NOT NULL,
    PRIMARY KEY (namespace_id, alert_id, collection_id)
);
CREATE INDEX alert_attachments_of_collection ON alert_attachments (namespace_id, collection_id);
CREATE FUNCTION attached_alerts(d definitions) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT DISTINCT application ->> 'alert_id' FROM jsonb_array_elements(
        CASE jsonb_typeof(($1).body -> 'alert_applications') WHEN 'array' THEN ($1).body -> 'alert_applications'
        ELSE '[]' END) AS application
    WHERE ($1).kind = 'collection' AND ($1).deleted_at IS NULL
      AND ($1).body -> 'enabled' IS DISTINCT FROM 'false' AND application ->> 'alert_id' IS NOT NULL
      AND coalesce(application ->> 'execution_mode', 'on_ingest') = 'on_ingest'
$$;
CREATE FUNCTION attach_alerts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    attached text[];
BEGIN
    IF TG_OP <> 'DELETE' THEN
        attached := array(SELECT attached_alerts(NEW));
    END IF;
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM alert_attachments a WHERE a.namespace_id = OLD.namespace_id AND a.collection_id = OLD.id
          AND NOT EXISTS (SELECT 1 FROM unnest(attached) AS kept (alert_id) WHERE kept.alert_id = a.alert_id);
    END IF;
    INSERT INTO alert_attachments (namespace_id, alert_id, collection_id)
    SELECT NEW.namespace_id, unnest(attached), NEW.id WHERE TG_OP <> 'DELETE' ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER attached AFTER INSERT ON definitions FOR EACH ROW WHEN (NEW.kind = 'collection')
    EXECUTE FUNCTION attach_alerts();
CREATE TRIGGER attached_changed AFTER UPDATE ON definitions FOR EACH ROW
    WHEN (NEW.kind = 'collection' AND ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)
          OR OLD.body -> 'enabled' IS DISTINCT FROM NEW.body -> 'enabled'
          OR OLD.body -> 'alert_applications' IS DISTINCT FROM NEW.body -> 'alert_applications'))
    EXECUTE FUNCTION attach_alerts();
CREATE TRIGGER attached_deleted AFTER DELETE ON definitions FOR EACH ROW WHEN (OLD.kind = 'collection')
    EXECUTE FUNCTION attach_alerts();
INSERT INTO alert_attachments (namespace_id, alert_id, collection_id)
SELECT d.namespace_id, attached_alerts(d), d.id FROM definitions d WHERE d.kind = 'collection';
