-- How mailboxes are used; see store.Mode.
CREATE TABLE mode (
	mailbox   INTEGER PRIMARY KEY,
	tenant    INTEGER NOT NULL,
	emergency INTEGER NOT NULL,
	by        TEXT NOT NULL,
	at        INTEGER,
	event     INTEGER NOT NULL,
	used      INTEGER
) STRICT;

-- What somebody was about to send; see store.Sending.
CREATE TABLE sending (
	mailbox INTEGER NOT NULL,
	key     BLOB NOT NULL,
	tenant  INTEGER NOT NULL,
	message BLOB NOT NULL,
	node    TEXT NOT NULL,
	at      INTEGER NOT NULL,
	PRIMARY KEY (mailbox, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX sending_at ON sending (at);
