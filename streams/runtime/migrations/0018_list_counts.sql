-- Exact totals of lists without counting their rows (docs/decisions/032): a ledger. Whoever adds, changes or deletes
-- what is listed adds a row here in its own transaction, so that nobody waits for another's counter; a total is the
-- sum of the rows, in every snapshot. Now and then rows of the same thing are folded into one.
CREATE TABLE list_counts (
    list         text    NOT NULL,
    namespace_id text    NOT NULL,
    owner        text    NOT NULL,      -- the resource whose list it is; empty: the namespace's
    facets       jsonb   NOT NULL,      -- what lists are filtered by
    n            bigint  NOT NULL,
    folded       boolean NOT NULL DEFAULT false
);
CREATE INDEX list_counts_of ON list_counts (list, namespace_id, owner);
CREATE INDEX list_counts_fresh ON list_counts (list, namespace_id, owner) WHERE NOT folded;

-- TRUNCATE: all there was is taken away again, whoever folds it meanwhile.
CREATE FUNCTION uncount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO list_counts (list, namespace_id, owner, facets, n)
    SELECT list, namespace_id, owner, facets, -sum(n) FROM list_counts WHERE list = TG_ARGV[0] GROUP BY 1, 2, 3, 4;
    RETURN NULL;
END $$;

-- Lists that are one table: table, list, whose, filtered by, what is listed.
DO $make$
DECLARE
    t record;
    facets text;
    key text;
BEGIN
    FOR t IN SELECT * FROM (VALUES
        ('jobs', 'task', '''''', '{action_type,status}'::text[], 'true'),
        ('trigger_executions', 'trigger_execution', 'trigger_id', '{family,status}', 'true'),
        ('cluster_runs', 'cluster_run', 'cluster_id', '{}', 'true'),
        -- Runs of look-ups are listed as the executions of alerts that they are: their ids have more digits.
        ('retriever_executions', 'retriever_execution', 'retriever_id', '{status}',
         'execution_id !~ ''^exec_[0-9a-f]{25,}$''')
    ) AS t (name, list, owner, facets, listed)
    LOOP
        SELECT coalesce(string_agg(format('%L, r.%I', f, f), ', '), '') INTO facets FROM unnest(t.facets) f;
        SELECT concat_ws(', ', 'namespace_id', nullif(t.owner, ''''''), nullif(array_to_string(t.facets, ', '), ''))
            INTO key;
        EXECUTE format($sql$
            CREATE FUNCTION count_%1$s() RETURNS trigger LANGUAGE plpgsql AS $body$
            BEGIN
                IF TG_OP = 'UPDATE' THEN
                    INSERT INTO list_counts (list, namespace_id, owner, facets, n)
                    SELECT %2$L, namespace_id, %3$s, jsonb_build_object(%4$s), -1 FROM (SELECT OLD.*) r WHERE %5$s
                    UNION ALL
                    SELECT %2$L, namespace_id, %3$s, jsonb_build_object(%4$s), 1 FROM (SELECT NEW.*) r WHERE %5$s;
                ELSE
                    INSERT INTO list_counts (list, namespace_id, owner, facets, n)
                    SELECT %2$L, namespace_id, %3$s, jsonb_build_object(%4$s),
                        CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
                    FROM changed r WHERE %5$s GROUP BY %6$s;
                END IF;
                RETURN NULL;
            END $body$;
            CREATE TRIGGER counted_added AFTER INSERT ON %1$I REFERENCING NEW TABLE AS changed
                FOR EACH STATEMENT EXECUTE FUNCTION count_%1$s();
            CREATE TRIGGER counted_deleted AFTER DELETE ON %1$I REFERENCING OLD TABLE AS changed
                FOR EACH STATEMENT EXECUTE FUNCTION count_%1$s();
            CREATE TRIGGER counted_changed AFTER UPDATE ON %1$I FOR EACH ROW
                WHEN (%7$s) EXECUTE FUNCTION count_%1$s();
            CREATE TRIGGER counted_emptied AFTER TRUNCATE ON %1$I
                FOR EACH STATEMENT EXECUTE FUNCTION uncount(%2$L);
            INSERT INTO list_counts (list, namespace_id, owner, facets, n, folded)
            SELECT %2$L, namespace_id, %3$s, jsonb_build_object(%4$s), count(*), true FROM %1$I r
            WHERE %5$s GROUP BY %6$s;
        $sql$, t.name, t.list, t.owner, facets, t.listed, key,
            format('(OLD.%s) IS DISTINCT FROM (NEW.%s)', replace(key, ', ', ', OLD.'), replace(key, ', ', ', NEW.')));
    END LOOP;
END $make$;

-- Definitions that are not deleted: by kind; alerts also by whether they are enabled, and by their channels. Triggers
-- are listed with their state, so that has part in it.
CREATE FUNCTION count_triggers(kind text, namespace_id text, trigger_id text, status text, n bigint) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO list_counts (list, namespace_id, owner, facets, n)
    SELECT d.kind, d.namespace_id, '', jsonb_build_object('trigger_type', d.body -> 'trigger_type',
        'action_type', d.body -> 'action_type', 'status', $4), $5
    FROM definitions d WHERE d.kind = $1 AND d.namespace_id = $2 AND d.id = $3 AND d.deleted_at IS NULL
$$;
CREATE FUNCTION count_definition(d definitions, n bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO list_counts (list, namespace_id, owner, facets, n)
    SELECT ($1).kind, ($1).namespace_id, '',
        CASE ($1).kind WHEN 'alert' THEN jsonb_build_object('enabled', ($1).body -> 'enabled') ELSE '{}' END, $2
    WHERE ($1).kind NOT IN ('trigger', 'cluster_trigger')
    UNION ALL
    SELECT 'alert_channel', ($1).namespace_id, '',
        jsonb_build_object('channel_type', c.value -> 'channel_type'), $2
    FROM jsonb_array_elements(CASE jsonb_typeof(($1).body #> '{notification_config,channels}')
        WHEN 'array' THEN ($1).body #> '{notification_config,channels}' ELSE '[]' END) c
    WHERE ($1).kind = 'alert'
    UNION ALL
    SELECT s.family, ($1).namespace_id, '', jsonb_build_object('trigger_type', ($1).body -> 'trigger_type',
        'action_type', ($1).body -> 'action_type', 'status', s.status), $2
    FROM trigger_state s
    WHERE ($1).kind IN ('trigger', 'cluster_trigger') AND s.trigger_id = ($1).id AND s.family = ($1).kind
      AND s.namespace_id = ($1).namespace_id
$$;
CREATE FUNCTION count_definitions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL THEN
        PERFORM count_definition(OLD, -1);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN
        PERFORM count_definition(NEW, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION count_trigger_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM count_triggers(OLD.family, OLD.namespace_id, OLD.trigger_id, OLD.status, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM count_triggers(NEW.family, NEW.namespace_id, NEW.trigger_id, NEW.status, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER INSERT OR DELETE ON definitions FOR EACH ROW EXECUTE FUNCTION count_definitions();
CREATE TRIGGER counted_changed AFTER UPDATE ON definitions FOR EACH ROW
    WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) OR NEW.kind = 'alert' AND OLD.body <> NEW.body)
    EXECUTE FUNCTION count_definitions();
CREATE TRIGGER counted AFTER INSERT OR DELETE ON trigger_state FOR EACH ROW EXECUTE FUNCTION count_trigger_state();
CREATE TRIGGER counted_changed AFTER UPDATE ON trigger_state FOR EACH ROW WHEN (OLD.status <> NEW.status)
    EXECUTE FUNCTION count_trigger_state();
SELECT count_definition(d, 1) FROM definitions d WHERE d.deleted_at IS NULL;

-- The order of a retriever's list, without what is not in it.
DROP INDEX retriever_executions_newest;
CREATE INDEX retriever_executions_newest
    ON retriever_executions (namespace_id, retriever_id, created_at DESC, execution_id DESC)
    WHERE execution_id !~ '^exec_[0-9a-f]{25,}$';
