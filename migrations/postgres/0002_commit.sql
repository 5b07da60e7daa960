-- The functions of a commit, for connections that leave the planner one way for each statement (ADR 13), and telling how long
-- the lock took. Those of step 1 stay, for coordinators that have not been replaced yet.

-- Takes a swarm's lock, then loads what a commit touches. It has to be a function, and VOLATILE: each of its statements
-- sees what was committed before that statement, so the second sees everything that the lock waited for. One statement
-- that did both would read entries from before the lock, and lose the updates of whoever held it. A function never
-- changes under its name: one that differs gets the next number, so that old and new coordinators run side by side.
--
-- No row: there is no such swarm. The first row is the head (kind 0) with the clock, read under the lock, and how long the
-- lock took; then come the versions below prefixes (1, place is the prefix), versions by name (2) and recorded outcomes (3).
CREATE FUNCTION swarmem.lock_and_load_2(
    for_swarm_id bigint, for_name text,
    entry_namespaces text[], entry_keys text[], entry_contents_max bigint[],
    record_agents text[], record_ids text[],
    prefix_starts text[], prefix_ends text[], prefix_limits bigint[]
) RETURNS TABLE (
    kind smallint, place integer,
    life bigint, incarnation uuid, floor_revision bigint, floor_nonce uuid, entries bigint, clock_us bigint,
    waited_us bigint,
    revision bigint, ordinal integer, nonce uuid, namespace text, key text, change smallint, cause smallint,
    time_us bigint, create_revision bigint, create_time_us bigint, version bigint, expire_us bigint,
    content_bytes bigint, meta bytea, content bytea,
    agent text, request_id text, digest bytea, outcome bytea
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    called timestamptz := clock_timestamp();
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
    waited_us := greatest(clock_us - (extract(epoch FROM called) * 1000000)::bigint, 0);
    RETURN NEXT;
    in_life := life;
    life := NULL; incarnation := NULL; floor_revision := NULL; floor_nonce := NULL; entries := NULL; clock_us := NULL;
    waited_us := NULL;

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
        -- A key as a range of one, in the order of its index: of an equal key the primary key of the table gives the
        -- newest as well, walking back over the whole log.
        (SELECT n.* FROM swarmem.log n
         WHERE n.swarm_id = for_swarm_id AND n.life = in_life
           AND n.namespace = w.namespace AND n.key BETWEEN w.key AND w.key
         ORDER BY n.key, n.revision DESC LIMIT 1) l
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
        CROSS JOIN LATERAL
        (SELECT q.* FROM swarmem.requests q WHERE q.swarm_id = for_swarm_id AND q.life = in_life
           AND q.agent = w.agent AND q.request_id BETWEEN w.request_id AND w.request_id
         ORDER BY q.request_id LIMIT 1) r
    LOOP
        RETURN NEXT;
    END LOOP;
END $$;

-- Writes down what a commit came to, under the lock that lock_and_load_2 took, and moves the head from revision `prev`.
-- It raises what must not be committed, because the COMMIT is under way behind the call already.
CREATE FUNCTION swarmem.persist_2(
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
DECLARE
    -- A value that is assigned is computed at once; a PERFORM would run a query.
    set_to text;
BEGIN
    -- What is acknowledged has to be durable, whatever the server's default is.
    IF current_setting('synchronous_commit') = 'off' THEN
        set_to := set_config('synchronous_commit', 'on', true);
    END IF;
    -- It ends at this call: a COMMIT that waits for a synchronous standby, and is cut short, has committed without it.
    set_to := set_config('statement_timeout', '0', true);
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
        -- Where the rows are, and nothing else, names them, or the planner goes through all of the swarm's.
        DELETE FROM swarmem.expiries e WHERE e.ctid = ANY (ARRAY(
            SELECT d.ctid FROM unnest(old_expires, old_namespaces, old_keys) o (expire_us, namespace, key)
            CROSS JOIN LATERAL (SELECT x.ctid FROM swarmem.expiries x
                WHERE x.swarm_id = for_swarm_id AND x.life = for_life AND x.expire_us = o.expire_us
                  AND x.namespace = o.namespace AND x.key = o.key LIMIT 1) d));
    END IF;
    IF cardinality(new_keys) > 0 THEN
        INSERT INTO swarmem.expiries (swarm_id, life, expire_us, namespace, key)
        SELECT for_swarm_id, for_life, n.* FROM unnest(new_expires, new_namespaces, new_keys) n;
    END IF;
    UPDATE swarmem.heads SET revision = head_revision, nonce = head_nonce, time_us = head_time_us,
        entries = head_entries, content_bytes = head_content_bytes,
        next_expiry_us = CASE WHEN cardinality(old_keys) + cardinality(new_keys) = 0 THEN next_expiry_us ELSE
            (SELECT e.expire_us FROM swarmem.expiries e WHERE e.swarm_id = for_swarm_id AND e.life = for_life
             ORDER BY e.expire_us LIMIT 1) END,
        oldest_request_us = CASE WHEN cardinality(record_ids) = 0 THEN oldest_request_us ELSE
            coalesce(oldest_request_us, head_time_us) END
    WHERE swarm_id = for_swarm_id AND name = for_name AND life = for_life AND revision = prev;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head is not at revision %, under its lock', prev USING ERRCODE = 'data_corrupted';
    END IF;
END $$;
