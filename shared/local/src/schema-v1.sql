-- The comments within the statements are kept in the file: `sqlite3 cordon.db .schema` shows them.

CREATE TABLE messages (
    -- Times (…_us) are whole microseconds since 1970, UTC. To read one:
    --   SELECT id, queue, datetime(visible_at_us / 1000000, 'unixepoch') FROM messages;
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    body TEXT NOT NULL,             -- JSON
    sent_at_us INTEGER NOT NULL,
    visible_at_us INTEGER NOT NULL, -- not delivered before
    receives INTEGER NOT NULL,      -- how often it was delivered
    in_flight INTEGER NOT NULL      -- 1 from a delivery until it is settled; at visible_at_us it comes again
) STRICT;

CREATE INDEX messages_by_visibility ON messages (queue, visible_at_us, id);

CREATE TABLE dead_letters (
    -- What was set aside, and why. Nothing removes these but a person.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_us INTEGER NOT NULL
) STRICT;

CREATE INDEX dead_letters_by_queue ON dead_letters (queue, id);

CREATE TABLE items (
    -- A new version with every write, and never one that was used before: AUTOINCREMENT promises that, deleted
    -- rows included.
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    value BLOB NOT NULL,            -- JSON: CAST(value AS TEXT) reads it
    expires_at_us INTEGER,          -- from then on it counts as absent
    UNIQUE (partition, sort)
) STRICT;

CREATE INDEX items_by_expiry ON items (expires_at_us) WHERE expires_at_us IS NOT NULL;
