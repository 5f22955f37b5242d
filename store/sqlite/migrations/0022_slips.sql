-- Notes that people leave with mailboxes; see store.Slip.
CREATE TABLE slip (
	mailbox     INTEGER NOT NULL,
	kind        TEXT NOT NULL,
	key         TEXT NOT NULL,
	tenant      INTEGER NOT NULL,
	value       BLOB NOT NULL,
	wrapped     BLOB NOT NULL,
	key_version INTEGER NOT NULL,
	at          INTEGER,
	until       INTEGER,
	PRIMARY KEY (mailbox, kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX slip_until ON slip (until) WHERE until IS NOT NULL;
