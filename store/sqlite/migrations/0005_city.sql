-- What people have decided about tenants. One without a row is open.
CREATE TABLE standing (
	tenant INTEGER PRIMARY KEY,
	state  TEXT NOT NULL,    -- open, paused, closed
	stops  INTEGER NOT NULL, -- 1: what waits is not handed over either
	why    TEXT NOT NULL,
	by     TEXT NOT NULL,
	at     INTEGER
) STRICT;

-- The mailboxes whose mail goes another way than that of their domain.
CREATE TABLE way (
	mailbox INTEGER PRIMARY KEY,
	tenant  INTEGER NOT NULL,
	route   TEXT NOT NULL, -- '': that of the domain
	also    TEXT NOT NULL, -- names of routes with blanks between them
	by      TEXT NOT NULL,
	at      INTEGER
) STRICT;

-- What a version of the configuration changed when it was applied, as JSON, and the
-- older version whose text it brought back, or 0.
ALTER TABLE config_version ADD COLUMN changes BLOB;
ALTER TABLE config_version ADD COLUMN again INTEGER NOT NULL DEFAULT 0;

-- The version that the node runs; 0: none yet.
ALTER TABLE node ADD COLUMN config INTEGER NOT NULL DEFAULT 0;
