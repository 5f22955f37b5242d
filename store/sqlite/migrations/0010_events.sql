-- Where the people of a mailbox work, as their administration calls it.
ALTER TABLE mailbox ADD COLUMN building TEXT NOT NULL DEFAULT '';

-- Outages and planned maintenance, numbered within a tenant.
CREATE TABLE event (
	tenant    INTEGER NOT NULL,
	number    INTEGER NOT NULL,
	kind      TEXT NOT NULL,
	minor     INTEGER NOT NULL,
	route     TEXT NOT NULL,
	whole     INTEGER NOT NULL,
	scope     TEXT NOT NULL, -- JSON: what a maintenance is planned for
	since     INTEGER NOT NULL,
	until     INTEGER,
	closed_by TEXT NOT NULL,
	starts    INTEGER,
	ends      INTEGER,
	concerned INTEGER NOT NULL, -- now
	most      INTEGER NOT NULL, -- at once
	why       TEXT NOT NULL,
	PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;

-- What happened to an event. Who came to be concerned, and who no longer is, are lists of
-- mailboxes' numbers in a few bits each.
CREATE TABLE event_step (
	tenant INTEGER NOT NULL,
	event  INTEGER NOT NULL,
	n      INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	what   TEXT NOT NULL,
	by     TEXT NOT NULL,
	note   TEXT NOT NULL,
	joined BLOB,
	parted BLOB,
	PRIMARY KEY (tenant, event, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_reply (
	tenant INTEGER NOT NULL,
	event  INTEGER NOT NULL,
	reply  TEXT NOT NULL,
	count  INTEGER NOT NULL,
	first  INTEGER NOT NULL,
	last   INTEGER NOT NULL,
	PRIMARY KEY (tenant, event, reply)
) STRICT, WITHOUT ROWID;
