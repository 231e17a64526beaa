"""The map of the schema; the migrations in migrations/ must build exactly this from nothing."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from jobsync.db.stock_key import STOCK_KEY_FUNCTION

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)
event.listen(metadata, "before_create", DDL(STOCK_KEY_FUNCTION))  # type: ignore[no-untyped-call]


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(), primary_key=True)


def _instant(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=True)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


def _text(name: str, *, default: str | None = None, required: bool = True) -> Column[str]:
    return Column(name, Text, nullable=not required, server_default=default)


def _number(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text(str(default)))


def _one_of(name: str, column: str, *words: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=name)


def _dealership(*, primary_key: bool = False, unique: bool = False) -> Column[int]:
    return Column(
        "dealership_id",
        BigInteger,
        ForeignKey("dealerships.id", ondelete="CASCADE"),
        primary_key=primary_key,
        unique=unique or None,
        nullable=False,
    )


def _tenant() -> Column[int]:
    return Column("tenant_id", BigInteger, ForeignKey("tenants.id"), nullable=False)


_EMPTY_OBJECT = text("'{}'::jsonb")
_EMPTY_LIST = text("'[]'::jsonb")

system_settings = Table(
    "system_settings",
    metadata,
    Column("key", Text, primary_key=True),
    _text("value"),
    _text("description", default=""),
    _now("created_at"),
    _now("updated_at"),
    # the last value that could be read, of settings that an unreadable one leaves in force
    _text("last_good", required=False),
)

# --- stock sync ------------------------------------------------------------------------------------------------------

dealerships = Table(
    "dealerships",
    metadata,
    _id(),
    _text("name"),
    _text("email", required=False),
    _text("timezone", required=False),
    _now("created_at"),
    _now("updated_at"),
)

dealership_settings = Table(
    "dealership_settings",
    metadata,
    _id(),
    _dealership(unique=True),
    Column("easycar_auto_sync_enabled", Boolean, nullable=False, server_default=text("true")),
    _text("sync_cron", required=False),
    _instant("paused_until"),
    _text("paused_reason", required=False),
    _now("created_at"),
    _now("updated_at"),
    Index("dealership_settings_enabled_idx", "dealership_id", postgresql_where=text("easycar_auto_sync_enabled")),
)

sync_schedule = Table(
    "sync_schedule",
    metadata,
    _dealership(primary_key=True),
    _text("cron", required=False),
    _text("timezone", required=False),
    _now("first_seen_at"),
    _instant("slot_at"),
    _instant("next_at"),
    _number("attempt"),
    _instant("retry_at"),
    _instant("last_success_at"),
    # when the last attempt began: the second key of "fewest attempts first"
    _instant("attempted_at"),
    # the texts of cron and zone that next_at was computed from, readable or not
    _text("seen", required=False),
    # when the slot's first attempt began
    _instant("slot_started_at"),
    # words of StockStatus that this dealership's feed has had
    Column("status_words", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    # the meaning of such words that its rows follow: easycar_status_map as its last sync had it
    Column("status_map", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    # when next_at was computed
    _instant("computed_at"),
)

easycar_credentials = Table(
    "easycar_credentials",
    metadata,
    _id(),
    _dealership(unique=True),
    _text("client_id_encrypted"),
    _text("client_secret_encrypted"),
    _text("account_number_encrypted"),
    _text("account_secret_encrypted"),
    _text("environment"),
    _text("yard_code", required=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    _number("key_version", 1),
    _now("created_at"),
    _now("updated_at"),
    _one_of("environment", "environment", "Test", "Production"),
)

vehicles = Table(
    "vehicles",
    metadata,
    _id(),
    _dealership(),
    # NULL only for a manual row that has none
    _text("stock_number", required=False),
    _text("vin", required=False),
    _text("make", required=False),
    _text("model", required=False),
    _text("badge", required=False),
    _text("series", required=False),
    Column("year", Integer),
    _text("body", required=False),
    _text("colour", required=False),
    _text("interior_colour", required=False),
    Column("price", Numeric),
    Column("special_price", Numeric),
    Column("is_drive_away", Boolean),
    Column("odometer", Integer),
    _text("odometer_unit", required=False),
    _text("condition", required=False),
    _text("stock_type", required=False),
    _text("stock_status", required=False),
    _text("status", default="active"),
    _text("title", required=False),
    _text("description", required=False),
    _text("short_description", required=False),
    _text("registration", required=False),
    _text("registration_state", required=False),
    _text("fuel_type", required=False),
    _text("transmission", required=False),
    _text("drive_train", required=False),
    _text("engine_capacity", required=False),
    Column("doors", Integer),
    Column("seats", Integer),
    _text("yard_code", required=False),
    _text("video_link", required=False),
    Column("features", JSONB, nullable=False, server_default=_EMPTY_LIST),
    Column("images", JSONB, nullable=False, server_default=_EMPTY_LIST),
    _text("data_source", default="manual"),
    Column("locked_fields", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("content_hash", LargeBinary),
    _now("first_seen_at"),
    _instant("missing_since"),
    _instant("removed_at"),
    _now("created_at"),
    _now("updated_at"),
    # the stock number as it is compared
    Column("stock_key", Text, Computed("jobsync_stock_key(stock_number)", persisted=True)),
    # of a row whose status is excluded; NULL there (an UPDATE by SQL) means a person
    _text("excluded_by", required=False),
    _one_of("odometer_unit", "odometer_unit", "km", "mi"),
    _one_of("condition", "condition", "new", "used", "demo"),
    _one_of("status", "status", "active", "deposit", "sold", "removed", "excluded"),
    _one_of("excluded_by", "excluded_by", "person", "map"),
    _one_of("data_source", "data_source", "easycars", "manual", "import"),
    CheckConstraint("data_source <> 'easycars' OR stock_number IS NOT NULL", name="easycars_stock_number"),
    Index(
        "vehicles_dealership_id_stock_key_easycars_key",
        "dealership_id",
        "stock_key",
        unique=True,
        postgresql_where=text("data_source = 'easycars'"),
    ),
    # the few rows of people that a sync must step round
    Index("vehicles_others_idx", "dealership_id", postgresql_where=text("data_source <> 'easycars'")),
    # is a vehicle here under another number, or a feed another dealership's? An index holds no text of any length.
    Index("vehicles_vin_idx", "vin", postgresql_where=text("data_source = 'easycars' AND length(vin) <= 64")),
)

easycar_stock_data = Table(
    "easycar_stock_data",
    metadata,
    _id(),
    Column("vehicle_id", BigInteger, ForeignKey("vehicles.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("stock_item_json", JSONB, nullable=False),
    _text("api_version", default="1.01"),
    _now("synced_at"),
    _now("created_at"),
    _now("updated_at"),
    # items of a few kilobytes stay in their row as they are: compressing each costs more than writing it
    postgresql_with={"toast_tuple_target": 8160},
)

vehicle_changes = Table(
    "vehicle_changes",
    metadata,
    _id(),
    Column("vehicle_id", BigInteger, ForeignKey("vehicles.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", Uuid),
    _now("changed_at"),
    _text("field"),
    _text("old", required=False),
    _text("new", required=False),
    Index(None, "vehicle_id", "changed_at"),
    # what changed when: the table grows in the order of time, so a few pages say where to look
    Index(None, "changed_at", postgresql_using="brin"),
)

easycar_sync_logs = Table(
    "easycar_sync_logs",
    metadata,
    _id(),
    _dealership(),
    Column("run_id", Uuid),
    _text("sync_type", default="stock"),
    _text("status"),
    _instant("started_at"),
    _now("synced_at"),
    Column("duration_ms", BigInteger, nullable=False, server_default=text("0")),
    _number("items_processed"),
    _number("items_succeeded"),
    _number("items_failed"),
    _number("created"),
    _number("updated"),
    _number("unchanged"),
    _number("revived"),
    _number("refused"),
    _number("skipped"),
    _number("removed"),
    _number("held"),
    _text("yard_code", required=False),
    # why nothing could be removed this time; NULL when removals were possible
    _text("removals_blocked", required=False),
    Column("error_messages", JSONB, nullable=False, server_default=_EMPTY_LIST),
    Column("warnings", JSONB, nullable=False, server_default=_EMPTY_LIST),
    _text("api_version", default="1.01"),
    # vehicles before this sync; NULL where it never came to count them
    Column("listed", Integer),
    Column("advertised", Integer),
    _one_of("status", "status", "Success", "PartialSuccess", "Held", "Failed"),
    Index(None, "dealership_id", "sync_type", "synced_at"),
    Index(None, "run_id"),
)

holds = Table(
    "holds",
    metadata,
    _id(),
    _dealership(),
    Column("run_id", Uuid),
    _text("kind", default="removals"),
    # what is held; of a foreign feed, what it names
    Column("stock_numbers", ARRAY(Text), nullable=False),
    # of a foreign feed: the VINs in the order of stock_numbers, empty where an item has none
    Column("vins", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    _number("listed_before"),
    _number("listed_now"),
    _text("reason"),
    _text("status", default="pending"),
    _now("created_at"),
    _instant("decided_at"),
    _text("decided_by", required=False),
    # an approval is spent by the sync that carries it out
    _instant("applied_at"),
    _one_of("status", "status", "pending", "approved", "rejected", "superseded"),
    _one_of("kind", "kind", "removals", "sold", "prices", "pictures", "descriptions", "foreign_feed"),
    Index("holds_one_pending_key", "dealership_id", "kind", unique=True, postgresql_where=text("status = 'pending'")),
    Index(None, "dealership_id", "created_at"),
)

refused_items = Table(
    "refused_items",
    metadata,
    _id(),
    _dealership(),
    Column("run_id", Uuid),
    # place in the feed, counted from 1
    _number("position"),
    _text("stock_number", required=False),
    _text("reason_code"),
    _text("reason"),
    _text("raw", required=False),
    _now("created_at"),
    Index(None, "dealership_id", "created_at"),
)

# --- authorization checks and RIDE -----------------------------------------------------------------------------------

tenants = Table(
    "tenants",
    metadata,
    _id(),
    Column("ruc", Text, nullable=False, unique=True),
    _text("name"),
    _text("environment", default="production"),
    _text("logo_path", required=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    _instant("paused_until"),
    _now("created_at"),
    _now("updated_at"),
    CheckConstraint("ruc ~ '^[0-9]{13}$'", name="ruc"),
    _one_of("environment", "environment", "test", "production"),
)

invoices = Table(
    "invoices",
    metadata,
    _id(),
    _tenant(),
    _text("document_type", required=False),
    Column("access_key", Text, nullable=False, unique=True),
    _text("series_number", required=False),
    Column("issue_date", Date),
    _text("customer_name", required=False),
    _text("customer_id", required=False),
    Column("total", Numeric),
    _text("status", default="pending_authorization"),
    _text("confirmed_by", required=False),
    _instant("submitted_at"),
    Column("next_check_at", DateTime(timezone=True), server_default=text("now()")),
    _number("check_count"),
    _instant("empty_since"),
    _number("empty_count"),
    _instant("attention_since"),
    _text("status_reason", required=False),
    _instant("refused_at"),
    _instant("refused_submission"),
    _text("sri_authorization", required=False),
    _instant("authorized_at"),
    _text("ride_path", required=False),
    _text("ride_sha256", required=False),
    _instant("ride_generated_at"),
    _number("ride_attempts"),
    Column("ride_next_at", DateTime(timezone=True), server_default=text("now()")),
    _text("ride_error", required=False),
    _instant("deleted_at"),
    _now("created_at"),
    _now("updated_at"),
    CheckConstraint("access_key ~ '^[0-9]{49}$'", name="access_key"),
    _one_of("status", "status", "pending_authorization", "authorized", "rejected", "needs_attention", "cancelled"),
    _one_of("confirmed_by", "confirmed_by", "sri", "file"),
    Index(
        "invoices_check_due_idx",
        "next_check_at",
        postgresql_where=text(
            "status IN ('pending_authorization', 'needs_attention') AND next_check_at IS NOT NULL"
            " AND deleted_at IS NULL"
        ),
    ),
    Index(
        "invoices_ride_due_idx",
        "ride_next_at",
        postgresql_where=text(
            "status = 'authorized' AND ride_generated_at IS NULL AND ride_next_at IS NOT NULL AND deleted_at IS NULL"
        ),
    ),
    Index(None, "tenant_id", "status"),
)

invoice_documents = Table(
    "invoice_documents",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoices.id", ondelete="CASCADE"), primary_key=True),
    Column("submitted_xml", LargeBinary),
    Column("authorized_answer", LargeBinary),
    Column("authorized_xml", LargeBinary),
    _now("created_at"),
    _now("updated_at"),
)

sri_events = Table(
    "sri_events",
    metadata,
    _id(),
    Column("tenant_id", BigInteger, ForeignKey("tenants.id")),
    Column("invoice_id", BigInteger, ForeignKey("invoices.id", ondelete="CASCADE")),
    Column("run_id", Uuid),
    _now("at"),
    _text("kind"),
    _text("code", required=False),
    _text("message", required=False),
    _text("additional_info", required=False),
    _text("severity", required=False),
    _text("class", required=False),
    Column("http_status", SmallInteger),
    Column("duration_ms", BigInteger),
    _text("raw", required=False),
    Index(None, "invoice_id", "at"),
    Index(None, "at"),
)

vendor_hosts = Table(
    "vendor_hosts",
    metadata,
    Column("host", Text, primary_key=True),
    _number("faults_in_a_row"),
    _instant("opened_at"),
    _instant("last_probe_at"),
    _instant("last_start_at"),
    # why the circuit is open: faults, too_often; NULL while it is closed
    _text("open_cause", required=False),
    # from its Retry-After: no call goes there before
    _instant("not_before"),
    # of EasyCars, that lead there; empty for the SRI's
    Column("environments", ARRAY(Text), nullable=False, server_default=text("'{}'")),
)

# --- runs ------------------------------------------------------------------------------------------------------------

run_locks = Table(
    "run_locks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("fence", BigInteger, nullable=False, server_default=text("0")),
    Column("run_id", Uuid),
    _text("holder", required=False),
    _instant("acquired_at"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Text, primary_key=True),
    _instant("last_tick_at"),
    _instant("last_started_at"),
    _instant("last_finished_at"),
    _instant("last_success_at"),
    _text("last_status", required=False),
    _number("consecutive_failures"),
    _number("consecutive_skips"),
    _text("skipped_by", required=False),
    # while the job is switched off: when a tick whose work was due last said so, and from when on one says it again
    _instant("disabled_said_at"),
    _instant("disabled_quiet_until"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    _text("job"),
    _text("trigger"),
    _text("host"),
    Column("pid", Integer, nullable=False),
    _text("invocation_id", required=False),
    _text("version"),
    _text("status", default="running"),
    Column("exit_code", SmallInteger),
    _now("started_at"),
    _instant("finished_at"),
    Column("counts", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    _text("error", required=False),
    _text("traceback", required=False),
    _one_of("trigger", "trigger", "timer", "manual", "cron"),
    _one_of(
        "status",
        "status",
        "running",
        "succeeded",
        "partial",
        "held",
        "failed",
        "cancelled",
        "timed_out",
        "lock_lost",
        "crashed",
    ),
    Index(None, "job", "started_at"),
    Index("job_runs_running_idx", "job", postgresql_where=text("status = 'running'")),
)

job_items = Table(
    "job_items",
    metadata,
    _id(),
    Column("run_id", Uuid, ForeignKey("job_runs.id", ondelete="CASCADE"), nullable=False),
    _text("item_key"),
    _text("label", required=False),
    _text("status", default="running"),
    _number("attempt", 1),
    _now("started_at"),
    Column("duration_ms", BigInteger),
    Column("counts", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    _text("error", required=False),
    _text("reason", required=False),  # a short stable code of why it failed
    UniqueConstraint("run_id", "item_key"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _now("at"),
    _text("actor"),
    _text("host"),
    _text("action"),
    _text("subject", required=False),
    Column("details", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    Index(None, "at"),
)

alerts = Table(
    "alerts",
    metadata,
    _id(),
    _text("subject"),
    _text("kind"),
    _now("opened_at"),
    _instant("notified_at"),  # when anybody was last told that it is open
    _instant("closed_at"),
    Column("details", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    _text("cause", default=""),
    _text("text", default=""),
    _text("what_to_do", default=""),
    Column("told", JSONB, nullable=False, server_default=_EMPTY_OBJECT),  # by channel, when it was first told
    _instant("silenced_until"),
    Index("alerts_one_open_key", "kind", "subject", "cause", unique=True, postgresql_where=text("closed_at IS NULL")),
)

# What people asked to be spared, in the order in which they did; the latest that fits an alert decides. NULL fits any.
alert_silences = Table(
    "alert_silences",
    metadata,
    _id(),
    _text("kind", required=False),
    _text("subject", required=False),
    Column("causes", JSONB),  # [[kind, subject, cause], ...]
    Column("until", DateTime(timezone=True), nullable=False),
    _now("set_at"),
)

# What `jobsync adopt` brought: from which database, the id that it has there (of a setting its key, of credentials
# their dealership's, of a document its vehicle's), and a hash of what was written.
adopted = Table(
    "adopted",
    metadata,
    Column("source", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    _now("adopted_at"),
)

# Which database this is: one row, made once. The marker in the storage of RIDE files names it.
database_identity = Table(
    "database_identity",
    metadata,
    Column("one", Boolean, CheckConstraint("one", name="one"), primary_key=True, server_default=text("true")),
    Column("id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
)

# What Prometheus counts, for ever: runs that ended, by the upper bound of their length in seconds, and their items.
run_totals = Table(
    "run_totals",
    metadata,
    Column("job", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("le", Double, primary_key=True),
    Column("runs", BigInteger, nullable=False, server_default=text("0")),
    Column("seconds", Double, nullable=False, server_default=text("0")),
)
item_totals = Table(
    "item_totals",
    metadata,
    Column("job", Text, primary_key=True),
    Column("result", Text, primary_key=True),
    Column("items", BigInteger, nullable=False, server_default=text("0")),
)

# --- what is due -----------------------------------------------------------------------------------------------------

# One view for each job answers it for the tick, the job, the screens and the alerts alike: what the job needs of a row,
# `due_since`, and `too_far_ahead`. An instant further ahead than the longest wait that the job can set was written by a
# clock that was wrong, and is due; NULL is never. Both jobs wait 6 hours at most; a tenth more is for jitter.
_LONGEST_WAIT = "interval '6 hours 36 minutes'"


def _due(columns: str, instant: str, condition: str) -> str:
    return f"""
        SELECT i.id, i.tenant_id, t.ruc AS tenant_ruc, i.access_key, i.status, {columns},
               CASE WHEN i.{instant} <= now() AND isfinite(i.{instant}) THEN i.{instant} ELSE now() END AS due_since,
               i.{instant} > now() AS too_far_ahead
        FROM invoices i JOIN tenants t ON t.id = i.tenant_id
        WHERE {condition} AND i.deleted_at IS NULL
          AND (i.{instant} <= now() OR i.{instant} > now() + {_LONGEST_WAIT})
          AND t.is_active AND (t.paused_until IS NULL OR t.paused_until <= now())
    """


# Who takes part in stock sync, what each wants, and what its schedule says. `clock_ahead`: something lies in the future
# that was only ever written as "now", or a slot further ahead than its rule allows; the slot is computed anew.
# `attempted_ahead`: what was brought in then is older than it says; it is brought in once more.
_DEALERSHIP_SCHEDULES = """
        SELECT d.id AS dealership_id, d.name, c.environment,
               CASE WHEN c.dealership_id IS NULL OR NOT c.is_active THEN 'no_credentials'
                    WHEN NOT coalesce(s.easycar_auto_sync_enabled, true) THEN 'auto_sync_off'
                    WHEN s.paused_until > now() THEN 'paused' END AS why_not,
               w.cron AS wanted_cron, w.timezone AS wanted_timezone, common.cron AS common_cron,
               common.timezone AS common_timezone, h.cron, h.timezone, h.seen,
               h.next_at IS NULL OR h.seen IS DISTINCT FROM w.cron || ' @ ' || w.timezone AS changed,
               coalesce(greatest(h.slot_at, h.slot_started_at, h.attempted_at, h.last_success_at, h.computed_at)
                        > now() OR h.next_at > now() + CASE
                            WHEN h.cron ~ '^[^ ]+ [^ ]+ [*] [*] [*]$' THEN interval '26 hours'
                            WHEN h.cron ~ '^[^ ]+ [^ ]+ [*] [*] [^ #Ll]+$' THEN interval '8 days'
                            ELSE interval '9 years' END, false) AS clock_ahead,
               coalesce(greatest(h.slot_at, h.slot_started_at, h.attempted_at, h.last_success_at)
                        > now() + interval '1 day', false) AS attempted_ahead,
               coalesce(h.attempt, 0) AS attempt, h.attempted_at, h.slot_started_at, h.next_at, h.retry_at
        FROM dealerships d
        CROSS JOIN (SELECT coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'), '0 2 * * *')
                               AS cron,
                           coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_timezone'), 'UTC')
                               AS timezone) common
        LEFT JOIN easycar_credentials c ON c.dealership_id = d.id
        LEFT JOIN dealership_settings s ON s.dealership_id = d.id
        LEFT JOIN sync_schedule h ON h.dealership_id = d.id
        CROSS JOIN LATERAL (SELECT coalesce(nullif(btrim(s.sync_cron), ''), common.cron) AS cron,
                                   coalesce(nullif(btrim(d.timezone), ''), common.timezone) AS timezone) w
    """

# Whom a scheduled run takes now, and why. `changed` and `clock ahead`: the program computes the slot first, by a rule
# that SQL does not know, and asks again. A host that wants to rest is asked nothing; it never wants more than an hour.
_DUE_DEALERSHIPS = """
        SELECT e.dealership_id, e.name, e.environment, e.attempt, e.attempted_at, w.why,
               CASE WHEN w.why = 'slot' THEN e.next_at
                    WHEN w.why = 'retry' AND e.retry_at <= now() THEN e.retry_at ELSE now() END AS due_since,
               e.clock_ahead OR coalesce(e.retry_at > now() + interval '1 day', false) AS too_far_ahead
        FROM dealership_schedules e
        CROSS JOIN LATERAL (SELECT CASE
            WHEN e.clock_ahead THEN 'clock ahead'
            WHEN e.changed THEN 'changed'
            WHEN e.next_at <= now() THEN 'slot'
            WHEN e.retry_at <= now() OR e.retry_at > now() + interval '1 day' THEN 'retry' END AS why) w
        WHERE e.why_not IS NULL AND w.why IS NOT NULL
          AND NOT EXISTS (SELECT FROM vendor_hosts v WHERE e.environment = ANY (v.environments)
                          AND v.not_before > now() AND v.not_before <= now() + interval '1 hour')
    """

VIEWS = {
    "dealership_schedules": _DEALERSHIP_SCHEDULES,
    "due_dealerships": _DUE_DEALERSHIPS,
    "due_documents": _due(
        "t.environment AS tenant_environment, i.check_count, i.submitted_at, coalesce(i.submitted_at, i.created_at) AS"
        " waiting_since, i.attention_since, i.empty_since, i.empty_count, i.refused_at, i.refused_submission",
        "next_check_at",
        "i.status IN ('pending_authorization', 'needs_attention')",
    ),
    "due_rides": _due(
        "t.logo_path, i.ride_attempts", "ride_next_at", "i.status = 'authorized' AND i.ride_generated_at IS NULL"
    ),
}
for _name, _query in VIEWS.items():
    event.listen(metadata, "after_create", DDL(f"CREATE VIEW {_name} AS {_query}"))  # type: ignore[no-untyped-call]
