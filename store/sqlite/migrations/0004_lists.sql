-- Where mailboxes come from. A mailbox that nobody lists any more keeps its row; the key
-- of its address then begins with a control character, so that others may have it.
ALTER TABLE mailbox ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE mailbox ADD COLUMN external TEXT NOT NULL DEFAULT '';
ALTER TABLE mailbox ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN gone INTEGER; -- NULL while somebody lists it

-- The members of distribution lists.
CREATE TABLE member (
	mailbox  INTEGER NOT NULL,
	position INTEGER NOT NULL,
	address  TEXT NOT NULL,
	PRIMARY KEY (mailbox, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE listing (
	tenant  INTEGER NOT NULL,
	source  TEXT NOT NULL,
	read    INTEGER,
	tried   INTEGER,
	trouble TEXT NOT NULL,
	writing INTEGER NOT NULL,
	lost    INTEGER NOT NULL,
	PRIMARY KEY (tenant, source)
) STRICT, WITHOUT ROWID;

-- What is held and belongs to nobody.
CREATE INDEX delivery_unassigned ON delivery (tenant) WHERE box = 0 AND state = 1;
