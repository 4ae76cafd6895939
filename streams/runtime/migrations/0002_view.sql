-- The read view: materialised from result topics by the query station, and rebuildable from them.

-- The document part of an alert result, once; partitioned by the day of the document's append time, so that
-- retention drops a partition. Partitions are made by the query station as days arrive.
CREATE TABLE result_documents (
    day              date        NOT NULL,
    base             bytea       NOT NULL,
    namespace_id     text        NOT NULL,
    collection_id    text        NOT NULL,
    document_id      text        NOT NULL,
    source_topic     text        NOT NULL,
    source_partition int         NOT NULL,
    source_offset    bigint      NOT NULL,
    appended_at      timestamptz NOT NULL,
    occurred_at      timestamptz NOT NULL,
    executed_at      timestamptz NOT NULL,
    duration_ms      int         NOT NULL,
    definitions_version bigint   NOT NULL,
    asset_id         text,
    truncated        boolean     NOT NULL DEFAULT false,
    document         json        NOT NULL,
    PRIMARY KEY (day, base)
) PARTITION BY RANGE (day);

-- One narrow row per execution.
CREATE TABLE alert_executions (
    day              date        NOT NULL,
    base             bytea       NOT NULL,
    alert_number     bigint      NOT NULL,
    namespace_id     text        NOT NULL,
    alert_id         text        NOT NULL,
    alert_version    bigint      NOT NULL,
    retriever_id     text        NOT NULL,
    appended_at      timestamptz NOT NULL,
    score            float8      NOT NULL,
    reason           text        NOT NULL,
    matched_features json,
    PRIMARY KEY (day, base, alert_number)
) PARTITION BY RANGE (day);
CREATE INDEX alert_executions_of_namespace
    ON alert_executions (namespace_id, appended_at DESC, base DESC, alert_number DESC);
CREATE INDEX alert_executions_of_alert
    ON alert_executions (namespace_id, alert_id, appended_at DESC, base DESC, alert_number DESC);

-- Where the first record of a document part with a producer's event id was put. A repeat may come on another
-- day, in another partition and to another worker: this key is what makes it find the first.
CREATE TABLE result_bases (
    base        bytea       PRIMARY KEY,
    day         date        NOT NULL,
    appended_at timestamptz NOT NULL
);

-- Exact totals without count(*): updated in the transaction that inserts the executions.
CREATE TABLE alert_execution_counts (
    namespace_id text   NOT NULL,
    alert_id     text   NOT NULL,
    executions   bigint NOT NULL,
    PRIMARY KEY (namespace_id, alert_id)
);

CREATE TABLE match_progress (
    partition           int         NOT NULL,
    namespace_id        text        NOT NULL,
    collection_id       text        NOT NULL,
    next_offset         bigint      NOT NULL,
    occurred_at         timestamptz NOT NULL,
    appended_at         timestamptz NOT NULL,
    definitions_version bigint      NOT NULL,
    PRIMARY KEY (partition, namespace_id, collection_id)
);

-- History of both trigger families, from trigger-results.
CREATE TABLE trigger_executions (
    job_id            text PRIMARY KEY,
    trigger_id        text        NOT NULL,
    namespace_id      text        NOT NULL,
    family            text        NOT NULL,
    action_type       text        NOT NULL,
    status            text        NOT NULL,
    revision          int         NOT NULL,
    nominal_at        timestamptz NOT NULL,
    triggered_at      timestamptz NOT NULL,
    reason            text        NOT NULL,
    finished_at       timestamptz,
    execution_time_ms int,
    error             text,
    num_clusters      int,
    num_documents     int,
    body              json        NOT NULL
);
CREATE INDEX trigger_executions_newest ON trigger_executions (namespace_id, trigger_id, triggered_at DESC, job_id DESC);

CREATE TABLE retriever_executions (
    execution_id text PRIMARY KEY,
    namespace_id text        NOT NULL,
    retriever_id text        NOT NULL,
    status       text        NOT NULL,
    created_at   timestamptz NOT NULL,
    completed_at timestamptz NOT NULL,
    detail       json        NOT NULL
);
CREATE INDEX retriever_executions_newest
    ON retriever_executions (namespace_id, retriever_id, created_at DESC, execution_id DESC);

-- The newest delivery attempt per execution and channel, from notifications.
CREATE TABLE delivery_status (
    execution_id  text        NOT NULL,
    channel_index int         NOT NULL,
    namespace_id  text        NOT NULL,
    channel_type  text        NOT NULL,
    status        text        NOT NULL,
    attempt       int         NOT NULL,
    error         text,
    at            timestamptz NOT NULL,
    PRIMARY KEY (execution_id, channel_index)
);
