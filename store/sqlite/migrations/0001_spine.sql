-- Times are microseconds since 1970 in UTC; NULL is the zero time.
-- Addresses are local@domain without quotes; '' is the null address.

CREATE TABLE tenant (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE mailbox (
	id         INTEGER PRIMARY KEY,
	tenant     INTEGER NOT NULL,
	name       TEXT NOT NULL,
	kind       TEXT NOT NULL,
	department TEXT NOT NULL,
	priority   INTEGER NOT NULL
) STRICT;

-- Every address of a mailbox, its own at position 0 and then its aliases.
CREATE TABLE address (
	key      TEXT PRIMARY KEY, -- Address.Key
	tenant   INTEGER NOT NULL,
	mailbox  INTEGER NOT NULL,
	position INTEGER NOT NULL,
	address  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX address_mailbox ON address (mailbox, position);

-- num is the Seq of the message's delivery 0, and num + n that of delivery n. So
-- neither table needs an index to find the other, and both grow at their ends.
CREATE TABLE message (
	num         INTEGER PRIMARY KEY,
	tenant      INTEGER NOT NULL,
	id          BLOB NOT NULL,
	receipt     BLOB NOT NULL,
	received    INTEGER NOT NULL,
	deliveries  INTEGER NOT NULL,
	recipients  INTEGER NOT NULL,
	expanded    INTEGER NOT NULL,
	merged      INTEGER NOT NULL,
	flags       INTEGER NOT NULL, -- 1 SMTPUTF8, 2 8BITMIME, 4 confirmed sender
	scan        INTEGER NOT NULL,
	class       TEXT NOT NULL,
	segment     INTEGER NOT NULL, -- segment.num
	offset      INTEGER NOT NULL,
	size        INTEGER NOT NULL,
	key_version INTEGER NOT NULL,
	body_key    BLOB,
	sum         BLOB NOT NULL,
	door        TEXT NOT NULL,
	peer        TEXT NOT NULL,
	helo        TEXT NOT NULL,
	sender      TEXT NOT NULL,
	ret         TEXT NOT NULL,
	envid       TEXT NOT NULL,
	prefix      BLOB
) STRICT;
CREATE UNIQUE INDEX message_id ON message (id);
-- For retention, and for receipts, which name the hour in which to look for them. An
-- index on receipts alone would be written all over the pages of an hour.
CREATE INDEX message_received ON message (received, receipt);
CREATE INDEX message_body ON message (tenant, key_version, segment);

-- The names of segment files.
CREATE TABLE segment (
	num  INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;

-- inbox is 1 while the INBOX of the mailbox shows the message although table copy has
-- no row for it: as it came, unread and not moved. So a mail that nobody looks at costs
-- one entry in one index that is written all over its pages, not three.
CREATE TABLE delivery (
	seq       INTEGER PRIMARY KEY,
	n         INTEGER NOT NULL,
	tenant    INTEGER NOT NULL,
	mailbox   INTEGER NOT NULL,
	box       INTEGER NOT NULL, -- the mailbox's number, or destination.id
	inbox     INTEGER NOT NULL,
	state     INTEGER NOT NULL,
	attempts  INTEGER NOT NULL,
	next      INTEGER,
	changed   INTEGER,
	recipient TEXT NOT NULL,
	notify    TEXT NOT NULL,
	orcpt     TEXT NOT NULL,
	reply     TEXT NOT NULL
) STRICT;
-- Both end in the row's seq, as every index of SQLite does.
CREATE INDEX delivery_box ON delivery (box, state);
CREATE INDEX delivery_rare ON delivery (state) WHERE state IN (1, 4, 5);

-- Where else mail goes than to a mailbox's own route.
CREATE TABLE destination (
	id      INTEGER PRIMARY KEY, -- negative
	tenant  INTEGER NOT NULL,
	mailbox INTEGER NOT NULL, -- 0: for the Internet
	route   TEXT NOT NULL,
	domain  TEXT NOT NULL,
	UNIQUE (tenant, mailbox, route, domain)
) STRICT;
CREATE INDEX destination_mailbox ON destination (mailbox);

-- How many deliveries a tenant has in a state. Written with every change.
CREATE TABLE count (
	tenant     INTEGER NOT NULL,
	state      INTEGER NOT NULL,
	deliveries INTEGER NOT NULL,
	PRIMARY KEY (tenant, state)
) STRICT, WITHOUT ROWID;

-- The Seq that the next delivery gets. No Seq is given twice, also after retention.
CREATE TABLE sequence (
	name TEXT PRIMARY KEY,
	next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('delivery', 1);

-- The folders of a mailbox; number 1 is its INBOX.
CREATE TABLE folder (
	tenant       INTEGER NOT NULL,
	mailbox      INTEGER NOT NULL,
	number       INTEGER NOT NULL,
	name         TEXT NOT NULL,
	uid_next     INTEGER NOT NULL,
	uid_validity INTEGER NOT NULL,
	PRIMARY KEY (mailbox, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX folder_name ON folder (mailbox, name);

-- Messages in folders; see also delivery.inbox.
CREATE TABLE copy (
	mailbox INTEGER NOT NULL,
	message INTEGER NOT NULL, -- message.num
	folder  INTEGER NOT NULL, -- folder.number
	tenant  INTEGER NOT NULL,
	uid     INTEGER,          -- NULL until somebody first looks into the folder
	flags   INTEGER NOT NULL,
	date    INTEGER,
	PRIMARY KEY (mailbox, message, folder)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_message ON copy (message);
CREATE UNIQUE INDEX copy_uid ON copy (mailbox, folder, uid) WHERE uid IS NOT NULL;

CREATE TABLE chain (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE link (
	num     INTEGER PRIMARY KEY,
	chain   INTEGER NOT NULL, -- chain.id
	number  INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	prev    BLOB NOT NULL,
	root    BLOB NOT NULL,
	hash    BLOB NOT NULL,
	entries BLOB
) STRICT;
CREATE UNIQUE INDEX link_number ON link (chain, number);

CREATE TABLE knot (
	number    INTEGER PRIMARY KEY,
	at        INTEGER NOT NULL,
	heads     BLOB NOT NULL, -- JSON
	prev      BLOB NOT NULL,
	hash      BLOB NOT NULL,
	signature BLOB
) STRICT;

CREATE TABLE alarm (
	id      INTEGER PRIMARY KEY,
	kind    TEXT NOT NULL,
	subject TEXT NOT NULL,
	text    TEXT NOT NULL,
	since   INTEGER,
	until   INTEGER -- NULL while it lasts
) STRICT;
CREATE UNIQUE INDEX alarm_open ON alarm (kind, subject) WHERE until IS NULL;

CREATE TABLE config_version (
	version INTEGER PRIMARY KEY,
	text    BLOB NOT NULL,
	by      TEXT NOT NULL,
	at      INTEGER
) STRICT;

CREATE TABLE tenant_key (
	tenant         INTEGER NOT NULL,
	version        INTEGER NOT NULL,
	master_version INTEGER NOT NULL,
	wrapped        BLOB NOT NULL,
	at             INTEGER,
	PRIMARY KEY (tenant, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
	name   TEXT PRIMARY KEY,
	epoch  INTEGER NOT NULL,
	joined INTEGER,
	beat   INTEGER
) STRICT, WITHOUT ROWID;

-- One row that is written to learn whether writing works.
CREATE TABLE probe (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	at INTEGER NOT NULL
) STRICT;
INSERT INTO probe VALUES (1, 0);
