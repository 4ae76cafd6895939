"""Settings: the environment, read once, frozen. Units are in the names.

Every variable is ``TIDEWATCH_`` + the field name in capitals, e.g. ``TIDEWATCH_KAFKA``. Kafka client options
that only operators of a secured cluster need are passed through from ``TIDEWATCH_KAFKA_OPTIONS`` (JSON).
"""

import base64
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import ProgrammingError
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_SECRET_KEY_BYTES: Final = 32


class Settings(BaseSettings):
    """What differs between a laptop and a cluster: addresses, names, limits."""

    model_config = SettingsConfigDict(env_prefix="TIDEWATCH_", frozen=True, extra="ignore")

    kafka: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, comma separated")
    kafka_idempotence: bool = Field(True, description="Idempotent producer; false for brokers without it (Tansu)")
    kafka_fetch_max_wait_ms: int = Field(500, ge=1, description="Longest wait of a fetch; 10 for Tansu")
    kafka_options: dict[str, Any] = Field(
        default_factory=dict, description="More aiokafka client options as JSON: security_protocol, sasl_…"
    )
    topic_prefix: str = Field("", description="Put in front of every topic and consumer group")
    partitions: int | None = Field(
        None,
        ge=1,
        description="Partitions of every many-partition topic when it is created; default per topic",
    )
    replication: int | None = Field(
        None, ge=1, description="Replication factor of new topics; else 3, or as many as there are brokers"
    )

    database: str = Field("postgresql://postgres@127.0.0.1:5432/postgres", description="PostgreSQL address")
    database_pool_size: int = Field(
        8, ge=2, description="Connections of a worker, of a query service, and of each process that fills its view"
    )

    host: str = Field("127.0.0.1", description="Address the query service listens on")
    port: int = Field(8090, ge=0, le=65535, description="Port the query service listens on")
    request_seconds: float = Field(
        60.0, gt=0, le=600, description="A request that takes longer is answered 504; so is a query of it"
    )
    rate_limit: float = Field(
        1_000.0, ge=0, description="Requests a second of one key to one process; 0: no limit"
    )
    rate_burst: int = Field(2_000, ge=1, description="Requests of one key at once, after a rest")
    key_requests: int = Field(256, ge=1, description="Requests of one key at the same time")
    key_streams: int = Field(32, ge=1, description="Event streams of one key at the same time")
    read_wait_seconds: float = Field(
        5.0, gt=0, le=60, description="How long a read waits for its min_position before it answers 503"
    )
    session_hours: float = Field(12.0, gt=0, le=720, description="A browser's session ends after so long")
    cors_origins: str = Field(
        "", description="Origins whose pages may call the API with a key, comma separated; none by default"
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses or networks of reverse proxies whose X-Forwarded-… headers count, comma separated",
    )
    metrics_port: int | None = Field(None, description="Port of the worker's /metrics; none by default")
    api_key: SecretStr | None = Field(None, description="A key to accept from the start, with all scopes")
    namespace: str = Field("default", description="Namespace of requests that name none; made at start")
    secret_key: SecretStr | None = Field(
        None,
        description="Key that encrypts stored secrets; needed before a webhook secret can be stored. Several by"
        " commas: the first encrypts, all decrypt",
    )
    allow_private_webhooks: bool = Field(
        False, description="Let webhooks go to private, loopback and link-local addresses"
    )

    instance: str | None = Field(None, description="Stable name of this worker, for static group membership")
    batch_documents: int = Field(2_000, ge=1, description="Most records in one batch of a document station")
    definitions_wait_seconds: float = Field(
        1.0,
        gt=0,
        description="How long match waits for the definitions an event's writer saw before it reads the database",
    )
    event_id_window_seconds: int = Field(7 * 86_400, ge=1, description="How long event ids are remembered")
    allowed_lateness_seconds: float = Field(0.0, ge=0, description="Event time: how far out of order is in time")
    job_lease_seconds: float = Field(30.0, gt=0, description="An action not renewed for this long is taken over")
    job_time_limit_seconds: float = Field(600.0, gt=0, description="An action running longer is stopped as failed")
    action_processes: int = Field(1, ge=1, description="Processes that run actions")
    cluster_runs_kept: int = Field(20, ge=1, description="Ended runs of a cluster that are kept, the newest")
    jobs_kept_days: int = Field(
        30, ge=1, description="Ended runs of triggers, and their checks, are forgotten after so many days"
    )
    results_kept_days: int | None = Field(
        None, ge=1, description="Results of documents appended earlier are dropped, day by day; never by default"
    )
    alert_sweep_seconds: int = Field(300, ge=1, description="How often alerts attached as scheduled are swept")
    clock_seconds: float = Field(0.2, gt=0, description="How often the trigger station looks for due work")
    log_format: str = Field("auto", description="auto (colours on a terminal, JSON else), console or json")
    log_level: str = Field("info", description="Least level of what is logged: debug, info, warning or error")

    @field_validator("secret_key")
    @classmethod
    def _secret_key(cls, value: SecretStr | None) -> SecretStr | None:
        for part in [] if value is None else listed(value.get_secret_value()) or [""]:
            try:
                known = len(base64.b64decode(part.encode(), altchars=b"-_", validate=True)) == _SECRET_KEY_BYTES
            except ValueError:
                known = False
            if not known:
                raise ValueError(
                    "each key is 32 random bytes in URL-safe base64: openssl rand -base64 32 | tr '+/' '-_'"
                )
        return value

    @field_validator("database")
    @classmethod
    def _database(cls, value: str) -> str:
        try:
            conninfo_to_dict(value)
        except ProgrammingError as error:
            # The message of the driver, which never repeats the address with its password.
            raise ValueError(f"not a PostgreSQL address: {error}") from None
        return value


def listed(text: str) -> list[str]:
    """The parts of a setting that is a list by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
