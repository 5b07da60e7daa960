-- Runs in one transaction, under the lock of all migrations. The schema "swarmem" and its table of migrations exist.

-- What holds for the whole store. On an engine that shards it is a reference table, as is the table of migrations.
CREATE TABLE swarmem.settings (
    name  text  NOT NULL PRIMARY KEY,
    value bytea NOT NULL
);

-- The secret of the tokens, drawn once: three random UUIDs have more randomness than the 32 bytes hold.
INSERT INTO swarmem.settings (name, value) VALUES
    ('token_key', sha256(convert_to(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), 'UTF8'))),
    ('ping', '');

-- One narrow row per swarm, the only one that every commit updates: half-empty pages keep its versions on one page, and
-- no index has a column that changes. swarm_id is a hash of the name, so whoever knows the name knows the shard; that two
-- names share it harms nothing, because `life` is drawn at random and never again. What a deleted swarm left cannot
-- come back under its name.
CREATE TABLE swarmem.heads (
    swarm_id            bigint NOT NULL,
    life                bigint NOT NULL,
    revision            bigint NOT NULL,
    time_us             bigint NOT NULL,
    floor_revision      bigint NOT NULL,
    compacted_revision  bigint NOT NULL,
    entries             bigint NOT NULL,
    content_bytes       bigint NOT NULL,
    next_expiry_us      bigint,
    oldest_request_us   bigint,
    retention_age_us    bigint NOT NULL,
    retention_revisions bigint NOT NULL,
    create_time_us      bigint NOT NULL,
    incarnation         uuid   NOT NULL,
    nonce               uuid   NOT NULL,
    floor_nonce         uuid   NOT NULL,
    name                text   COLLATE "C" NOT NULL,
    PRIMARY KEY (swarm_id, name)
) WITH (fillfactor = 20);

-- Deleted swarms whose rows are still to be removed.
CREATE TABLE swarmem.dead_swarms (
    swarm_id bigint NOT NULL,
    life     bigint NOT NULL,
    PRIMARY KEY (swarm_id, life)
);

-- Every version, in the order of its commit; the only place of a content. Rows are inserted and deleted, never updated.
CREATE TABLE swarmem.log (
    swarm_id        bigint   NOT NULL,
    life            bigint   NOT NULL,
    revision        bigint   NOT NULL,
    time_us         bigint   NOT NULL,
    create_revision bigint   NOT NULL,
    create_time_us  bigint   NOT NULL,
    version         bigint   NOT NULL,
    content_bytes   bigint   NOT NULL,
    expire_us       bigint,
    ordinal         integer  NOT NULL,
    change          smallint NOT NULL,
    cause           smallint NOT NULL,
    nonce           uuid     NOT NULL,
    namespace       text     COLLATE "C" NOT NULL,
    key             text     COLLATE "C" NOT NULL,
    meta            bytea    NOT NULL,
    content         bytea,
    PRIMARY KEY (swarm_id, life, revision, ordinal)
);

-- The versions of each entry, newest first: the newest at or before a revision is one seek.
CREATE UNIQUE INDEX log_versions ON swarmem.log (swarm_id, life, namespace, key, revision DESC);

-- The outcomes of idempotent requests.
CREATE TABLE swarmem.requests (
    swarm_id   bigint NOT NULL,
    life       bigint NOT NULL,
    revision   bigint NOT NULL,
    time_us    bigint NOT NULL,
    nonce      uuid   NOT NULL,
    agent      text   COLLATE "C" NOT NULL,
    request_id text   COLLATE "C" NOT NULL,
    digest     bytea  NOT NULL,
    outcome    bytea  NOT NULL,
    PRIMARY KEY (swarm_id, life, agent, request_id)
);

CREATE INDEX requests_by_age ON swarmem.requests (swarm_id, life, time_us);

-- When entries expire.
CREATE TABLE swarmem.expiries (
    swarm_id  bigint NOT NULL,
    life      bigint NOT NULL,
    expire_us bigint NOT NULL,
    namespace text   COLLATE "C" NOT NULL,
    key       text   COLLATE "C" NOT NULL,
    PRIMARY KEY (swarm_id, life, expire_us, namespace, key)
);

-- Takes a swarm's lock, then loads what a commit touches. It has to be a function, and VOLATILE: each of its statements
-- sees what was committed before that statement, so the second sees everything that the lock waited for. One statement
-- that did both would read entries from before the lock, and lose the updates of whoever held it. A function never
-- changes under its name: one that differs gets the next number, so that old and new coordinators run side by side.
--
-- No row: there is no such swarm. The first row is the head (kind 0) with the clock, read under the lock; then come the
-- versions below prefixes (1, place is the prefix), versions by name (2) and recorded outcomes (3).
CREATE FUNCTION swarmem.lock_and_load_1(
    for_swarm_id bigint, for_name text,
    entry_namespaces text[], entry_keys text[], entry_contents_max bigint[],
    record_agents text[], record_ids text[],
    prefix_starts text[], prefix_ends text[], prefix_limits bigint[]
) RETURNS TABLE (
    kind smallint, place integer,
    life bigint, incarnation uuid, floor_revision bigint, floor_nonce uuid, entries bigint, clock_us bigint,
    revision bigint, ordinal integer, nonce uuid, namespace text, key text, change smallint, cause smallint,
    time_us bigint, create_revision bigint, create_time_us bigint, version bigint, expire_us bigint,
    content_bytes bigint, meta bytea, content bytea,
    agent text, request_id text, digest bytea, outcome bytea
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    in_life bigint;
    remaining bigint;
    bounds integer;
BEGIN
    -- Who waited for a delete, and for a creation behind it, looks again.
    FOR attempt IN 1 .. 2 LOOP
        SELECT h.life, h.incarnation, h.revision, h.nonce, h.time_us, h.floor_revision, h.floor_nonce, h.entries,
               h.content_bytes
        INTO life, incarnation, revision, nonce, time_us, floor_revision, floor_nonce, entries, content_bytes
        FROM swarmem.heads h WHERE h.swarm_id = for_swarm_id AND h.name = for_name FOR UPDATE;
        EXIT WHEN FOUND;
    END LOOP;
    IF life IS NULL THEN
        RETURN;
    END IF;
    kind := 0;
    clock_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    RETURN NEXT;
    in_life := life;
    life := NULL; incarnation := NULL; floor_revision := NULL; floor_nonce := NULL; entries := NULL; clock_us := NULL;

    kind := 1;
    FOR prefix IN 1 .. cardinality(prefix_limits) LOOP
        place := prefix - 1;
        remaining := prefix_limits[prefix];
        -- A prefix is two ranges: itself, and what is below it.
        FOR half IN 0 .. 1 LOOP
            bounds := 2 * prefix - 1 + half;
            FOR revision, ordinal, nonce, namespace, key, change, cause, time_us, create_revision, create_time_us,
                version, expire_us, content_bytes, meta IN
                WITH RECURSIVE found AS (
                    (SELECT l.* FROM swarmem.log l
                     WHERE l.swarm_id = for_swarm_id AND l.life = in_life
                       AND l.namespace >= prefix_starts[bounds] AND l.namespace < prefix_ends[bounds]
                     ORDER BY l.namespace, l.key, l.revision DESC LIMIT 1)
                    UNION ALL
                    SELECT n.* FROM found f CROSS JOIN LATERAL
                    (SELECT l.* FROM swarmem.log l
                     WHERE l.swarm_id = for_swarm_id AND l.life = in_life
                       AND (l.namespace, l.key) > (f.namespace, f.key) AND l.namespace < prefix_ends[bounds]
                     ORDER BY l.namespace, l.key, l.revision DESC LIMIT 1) n
                )
                SELECT f.revision, f.ordinal, f.nonce, f.namespace, f.key, f.change, f.cause, f.time_us,
                       f.create_revision, f.create_time_us, f.version, f.expire_us, f.content_bytes, f.meta
                FROM found f WHERE f.change = 0 LIMIT remaining
            LOOP
                remaining := remaining - 1;
                RETURN NEXT;
            END LOOP;
            EXIT WHEN remaining <= 0;
        END LOOP;
    END LOOP;

    kind := 2;
    place := NULL;
    FOR revision, ordinal, nonce, namespace, key, change, cause, time_us, create_revision, create_time_us,
        version, expire_us, content_bytes, meta, content IN
        SELECT l.revision, l.ordinal, l.nonce, l.namespace, l.key, l.change, l.cause, l.time_us, l.create_revision,
               l.create_time_us, l.version, l.expire_us, l.content_bytes, l.meta,
               CASE WHEN l.content_bytes <= w.content_max THEN l.content END
        FROM unnest(entry_namespaces, entry_keys, entry_contents_max) w (namespace, key, content_max)
        CROSS JOIN LATERAL
        (SELECT n.* FROM swarmem.log n
         WHERE n.swarm_id = for_swarm_id AND n.life = in_life AND n.namespace = w.namespace AND n.key = w.key
         ORDER BY n.revision DESC LIMIT 1) l
        WHERE l.change = 0
    LOOP
        RETURN NEXT;
    END LOOP;

    kind := 3;
    ordinal := NULL; namespace := NULL; key := NULL; change := NULL; cause := NULL; create_revision := NULL;
    create_time_us := NULL; version := NULL; expire_us := NULL; content_bytes := NULL; meta := NULL; content := NULL;
    FOR agent, request_id, digest, revision, nonce, time_us, outcome IN
        SELECT r.agent, r.request_id, r.digest, r.revision, r.nonce, r.time_us, r.outcome
        FROM unnest(record_agents, record_ids) w (agent, request_id)
        JOIN swarmem.requests r ON r.swarm_id = for_swarm_id AND r.life = in_life
         AND r.agent = w.agent AND r.request_id = w.request_id
    LOOP
        RETURN NEXT;
    END LOOP;
END $$;

-- Writes down what a commit came to, under the lock that lock_and_load_1 took, and moves the head from revision `prev`.
-- It raises what must not be committed, because the COMMIT is under way behind the call already.
CREATE FUNCTION swarmem.persist_1(
    for_swarm_id bigint, for_life bigint, for_name text, prev bigint,
    head_revision bigint, head_nonce uuid, head_time_us bigint, head_entries bigint, head_content_bytes bigint,
    log_revisions bigint[], log_ordinals integer[], log_changes smallint[], log_causes smallint[], log_times bigint[],
    log_create_revisions bigint[], log_create_times bigint[], log_versions bigint[], log_expires bigint[],
    log_content_bytes bigint[], log_namespaces text[], log_keys text[], log_metas bytea[], log_contents bytea[],
    record_agents text[], record_ids text[], record_digests bytea[], record_revisions bigint[], record_times bigint[],
    record_outcomes bytea[],
    old_expires bigint[], old_namespaces text[], old_keys text[],
    new_expires bigint[], new_namespaces text[], new_keys text[]
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    -- What is acknowledged has to be durable, whatever the server's default is.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- It ends at this call: a COMMIT that waits for a synchronous standby, and is cut short, has committed without it.
    PERFORM set_config('statement_timeout', '0', true);
    INSERT INTO swarmem.log (swarm_id, life, nonce, revision, ordinal, change, cause, time_us, create_revision,
        create_time_us, version, expire_us, content_bytes, namespace, key, meta, content)
    SELECT for_swarm_id, for_life, head_nonce, v.* FROM unnest(log_revisions, log_ordinals, log_changes, log_causes,
        log_times, log_create_revisions, log_create_times, log_versions, log_expires, log_content_bytes,
        log_namespaces, log_keys, log_metas, log_contents) v;
    IF cardinality(record_ids) > 0 THEN
        -- Replaces the outcome of a request whose id was used before, so long ago that it counts no more.
        INSERT INTO swarmem.requests (swarm_id, life, nonce, agent, request_id, digest, revision, time_us, outcome)
        SELECT for_swarm_id, for_life, head_nonce, r.* FROM unnest(record_agents, record_ids, record_digests,
            record_revisions, record_times, record_outcomes) r
        ON CONFLICT (swarm_id, life, agent, request_id) DO UPDATE SET nonce = excluded.nonce,
            digest = excluded.digest, revision = excluded.revision, time_us = excluded.time_us,
            outcome = excluded.outcome;
    END IF;
    IF cardinality(old_keys) > 0 THEN
        DELETE FROM swarmem.expiries e USING unnest(old_expires, old_namespaces, old_keys) o (expire_us, namespace, key)
        WHERE e.swarm_id = for_swarm_id AND e.life = for_life AND e.expire_us = o.expire_us
          AND e.namespace = o.namespace AND e.key = o.key;
    END IF;
    IF cardinality(new_keys) > 0 THEN
        INSERT INTO swarmem.expiries (swarm_id, life, expire_us, namespace, key)
        SELECT for_swarm_id, for_life, n.* FROM unnest(new_expires, new_namespaces, new_keys) n;
    END IF;
    UPDATE swarmem.heads SET revision = head_revision, nonce = head_nonce, time_us = head_time_us,
        entries = head_entries, content_bytes = head_content_bytes,
        next_expiry_us = CASE WHEN cardinality(old_keys) + cardinality(new_keys) = 0 THEN next_expiry_us ELSE
            (SELECT min(e.expire_us) FROM swarmem.expiries e WHERE e.swarm_id = for_swarm_id AND e.life = for_life) END,
        oldest_request_us = CASE WHEN cardinality(record_ids) = 0 THEN oldest_request_us ELSE
            coalesce(oldest_request_us, head_time_us) END
    WHERE swarm_id = for_swarm_id AND name = for_name AND life = for_life AND revision = prev;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head is not at revision %, under its lock', prev USING ERRCODE = 'data_corrupted';
    END IF;
END $$;
