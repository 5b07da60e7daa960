-- Marks the file as swarmem's ("swmm").
PRAGMA application_id = 1937206637;

-- What holds for the whole store.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The secret of the tokens, drawn once.
INSERT INTO settings (name, value) VALUES ('token_key', randomblob(32));

-- One counter. Writing it settles an outcome that was unknown: what a failed commit left in the log is overwritten.
CREATE TABLE settlements (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    settled INTEGER NOT NULL
) STRICT;

INSERT INTO settlements (id, settled) VALUES (1, 0);

-- One narrow row per swarm. An id is never used again, so what a deleted swarm left cannot come back to life.
CREATE TABLE heads (
    swarm_id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name                TEXT    NOT NULL UNIQUE,
    incarnation         BLOB    NOT NULL,
    revision            INTEGER NOT NULL,
    nonce               BLOB    NOT NULL,
    time_us             INTEGER NOT NULL,
    floor_revision      INTEGER NOT NULL,
    floor_nonce         BLOB    NOT NULL,
    compacted_revision  INTEGER NOT NULL,
    entries             INTEGER NOT NULL,
    content_bytes       INTEGER NOT NULL,
    next_expiry_us      INTEGER,
    retention_age_us    INTEGER NOT NULL,
    retention_revisions INTEGER NOT NULL,
    create_time_us      INTEGER NOT NULL
) STRICT;

-- Deleted swarms whose rows are still to be removed.
CREATE TABLE dead_swarms (
    swarm_id INTEGER NOT NULL PRIMARY KEY
) STRICT;

-- Every version, in the order of its commit; the only place of a content. The wide columns stand last, so that
-- the narrow ones are read without touching overflow pages.
CREATE TABLE log (
    id              INTEGER NOT NULL PRIMARY KEY,
    swarm_id        INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    ordinal         INTEGER NOT NULL,
    nonce           BLOB    NOT NULL,
    namespace       TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    change          INTEGER NOT NULL,
    cause           INTEGER NOT NULL,
    time_us         INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    create_time_us  INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    expire_us       INTEGER,
    content_bytes   INTEGER NOT NULL,
    meta            BLOB    NOT NULL,
    content         BLOB
) STRICT;

CREATE UNIQUE INDEX log_places ON log (swarm_id, revision, ordinal);

-- Where the versions of each entry stand in the log, newest first: the newest at or before a revision is one seek.
CREATE TABLE versions (
    swarm_id  INTEGER NOT NULL,
    namespace TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    revision  INTEGER NOT NULL,
    ordinal   INTEGER NOT NULL,
    change    INTEGER NOT NULL,
    PRIMARY KEY (swarm_id, namespace, key, revision DESC)
) STRICT, WITHOUT ROWID;

-- The outcomes of idempotent requests.
CREATE TABLE requests (
    swarm_id   INTEGER NOT NULL,
    agent      TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    revision   INTEGER NOT NULL,
    nonce      BLOB    NOT NULL,
    time_us    INTEGER NOT NULL,
    outcome    BLOB    NOT NULL,
    PRIMARY KEY (swarm_id, agent, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_age ON requests (swarm_id, time_us);

-- When entries expire.
CREATE TABLE expiries (
    swarm_id  INTEGER NOT NULL,
    expire_us INTEGER NOT NULL,
    namespace TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    PRIMARY KEY (swarm_id, expire_us, namespace, key)
) STRICT, WITHOUT ROWID;
