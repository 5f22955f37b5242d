-- How people are known without the city's directory; see store/accounts.go.
CREATE TABLE credential (
	id          INTEGER PRIMARY KEY,
	tenant      INTEGER NOT NULL,
	person      INTEGER NOT NULL, -- mailbox.id; 0: the tenant's own
	kind        TEXT NOT NULL,
	label       TEXT NOT NULL,
	lookup      BLOB UNIQUE,
	data        BLOB,
	key_version INTEGER NOT NULL, -- 0: data is not sealed
	counter     INTEGER NOT NULL,
	made        INTEGER NOT NULL,
	until       INTEGER,
	by          TEXT NOT NULL,
	ended       INTEGER,
	why         TEXT NOT NULL,
	token       BLOB              -- who spent it
) STRICT;
CREATE INDEX credential_person ON credential (person, kind);
CREATE INDEX credential_live ON credential (tenant, kind) WHERE ended IS NULL;
CREATE INDEX credential_sealed ON credential (tenant, key_version) WHERE key_version > 0;

CREATE TABLE session (
	hash   BLOB PRIMARY KEY,
	tenant INTEGER NOT NULL,
	person INTEGER NOT NULL,
	needs  TEXT NOT NULL,
	source TEXT NOT NULL,
	second INTEGER NOT NULL,
	code   INTEGER NOT NULL,
	state  BLOB,
	made   INTEGER NOT NULL,
	seen   INTEGER NOT NULL,
	until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_person ON session (person);
CREATE INDEX session_until ON session (until);

CREATE TABLE belonging (
	mailbox INTEGER NOT NULL,
	person  INTEGER NOT NULL,
	kind    TEXT NOT NULL,
	tenant  INTEGER NOT NULL,
	until   INTEGER,
	by      TEXT NOT NULL,
	at      INTEGER NOT NULL,
	PRIMARY KEY (mailbox, person, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX belonging_person ON belonging (person);

CREATE TABLE role (
	tenant     INTEGER NOT NULL,
	person     INTEGER NOT NULL,
	name       TEXT NOT NULL,
	department TEXT NOT NULL,
	by         TEXT NOT NULL,
	at         INTEGER NOT NULL,
	PRIMARY KEY (tenant, person, name, department)
) STRICT, WITHOUT ROWID;
CREATE INDEX role_person ON role (person);

CREATE TABLE memo (
	what    TEXT NOT NULL,
	tenant  INTEGER NOT NULL,
	mailbox INTEGER NOT NULL, -- 0: the tenant itself
	at      INTEGER NOT NULL,
	PRIMARY KEY (what, tenant, mailbox)
) STRICT, WITHOUT ROWID;
