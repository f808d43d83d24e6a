-- The fleet store's schema, version 1; everything in it belongs to the schema `chronoprof`.
-- Text compares by bytes (COLLATE "C"): locks are taken in the order of names, and no upgrade of a locale may change it.

CREATE TABLE schema_version (version integer NOT NULL);
INSERT INTO schema_version VALUES (1);

-- One row. Whoever counts holds it FOR SHARE, whoever ends the window FOR UPDATE.
CREATE TABLE current_window (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation bigint NOT NULL,
    start_ns bigint NOT NULL
);

-- One row: minutes that any replica ran. Apart, since it is written while others hold the window.
CREATE TABLE service_time (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    minute bigint NOT NULL
);
INSERT INTO service_time (minute) VALUES (0);

-- Rows of windows (kind 1, span: the generation), minutes (2, minute of Unix time) and hours (3, hour of Unix time).
-- Each replica adds to rows of its own shard, so that none waits for another's locks; reading sums them. A bucket may be
-- there several times, each with a count of its own.
CREATE TABLE rows (
    kind smallint NOT NULL,
    span bigint NOT NULL,
    function_name text COLLATE "C" NOT NULL,
    service text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    errors numeric NOT NULL,
    total_ns numeric NOT NULL,
    min_ns bigint NOT NULL,
    max_ns bigint NOT NULL,
    first_seen_ns bigint NOT NULL,
    last_seen_ns bigint NOT NULL,
    buckets integer[] NOT NULL,
    counts numeric[] NOT NULL,
    PRIMARY KEY (kind, span, function_name, service, version, shard)
) WITH (fillfactor = 70);

-- What is missing from them, by the same kinds and spans.
CREATE TABLE losses (
    kind smallint NOT NULL,
    span bigint NOT NULL,
    service text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    dropped numeric NOT NULL,
    rejected numeric NOT NULL,
    unknown numeric NOT NULL,
    overflowed numeric NOT NULL,
    set_aside numeric NOT NULL,
    sampled numeric NOT NULL,
    late numeric NOT NULL,
    PRIMARY KEY (kind, span, service, shard)
);

-- Which rows a window has, whatever the shard: the bound on them holds for all replicas together. Written under a lock
-- that is held until the commit, so ids appear in their order and a replica needs to read only those it has not seen.
CREATE TABLE names (
    generation bigint NOT NULL,
    function_name text COLLATE "C" NOT NULL,
    service text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    id bigserial NOT NULL,
    PRIMARY KEY (generation, function_name, service, version)
);
CREATE INDEX names_by_id ON names (generation, id);

-- Which minutes and hours the history keeps, and which minutes an hour holds; position is the order of their beginning,
-- which is not that of their numbers once a clock was set back. An imported one has the position of the next later one.
CREATE TABLE stretches (
    kind smallint NOT NULL,
    number bigint NOT NULL,
    first_minute bigint NOT NULL,
    end_minute bigint NOT NULL,
    position bigserial NOT NULL,
    PRIMARY KEY (kind, number)
);

-- Who ships. A row with seq 0 is claimed by a transaction under way, and nobody else sees it.
CREATE TABLE senders (
    id text COLLATE "C" PRIMARY KEY,
    seq bigint NOT NULL DEFAULT 0,
    digest bytea NOT NULL DEFAULT '',
    accepted numeric NOT NULL DEFAULT 0,
    rejected_items integer NOT NULL DEFAULT 0,
    errors bytea NOT NULL DEFAULT '',
    service text NOT NULL DEFAULT '',
    version text NOT NULL DEFAULT '',
    instance text NOT NULL DEFAULT '',
    first_batch_ns bigint NOT NULL DEFAULT 0,
    last_batch_ns bigint NOT NULL DEFAULT 0,
    calls numeric NOT NULL DEFAULT 0,
    dropped numeric NOT NULL DEFAULT 0,
    rejected numeric NOT NULL DEFAULT 0,
    unknown numeric NOT NULL DEFAULT 0,
    final boolean NOT NULL DEFAULT false,
    active_minute bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Which embedded stores were imported, and how many batches they had counted by then.
CREATE TABLE imports (
    source text COLLATE "C" PRIMARY KEY,
    batches bigint NOT NULL,
    imported_ns bigint NOT NULL
);

-- How many senders there are: the sum, told without counting them. In some places, so that replicas whose senders come
-- and go at the same moment seldom wait for each other.
CREATE TABLE sender_counts (
    place integer PRIMARY KEY,
    senders bigint NOT NULL
) WITH (fillfactor = 50);
-- With its search path: an administrator may delete senders by hand.
CREATE FUNCTION count_senders() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    change bigint := (SELECT count(*) FROM changed) * CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    IF change <> 0 THEN
        INSERT INTO sender_counts AS stored (place, senders) VALUES (pg_backend_pid() % 64, change)
        ON CONFLICT (place) DO UPDATE SET senders = stored.senders + excluded.senders;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER senders_come AFTER INSERT ON senders
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_senders();
CREATE TRIGGER senders_go AFTER DELETE ON senders
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_senders();

CREATE TABLE saves (
    id bigserial PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    size_bytes bigint NOT NULL,
    modified_ns bigint NOT NULL
);
CREATE TABLE save_chunks (
    save_id bigint NOT NULL REFERENCES saves ON DELETE CASCADE,
    number integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (save_id, number)
);
