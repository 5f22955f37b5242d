-- How far what people did in a mailbox has gone back to the groupware; see store.Handback.
CREATE TABLE handback (
	mailbox INTEGER PRIMARY KEY,
	tenant  INTEGER NOT NULL,
	state   TEXT NOT NULL, -- store.HandbackState.Pack
	at      INTEGER
) STRICT;

-- The folder that a filing is about; '': that for new mail.
ALTER TABLE filing ADD COLUMN folder TEXT NOT NULL DEFAULT '';
