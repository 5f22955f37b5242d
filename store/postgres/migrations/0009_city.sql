-- Where a mailbox's people sit: what those in an outage may share.
ALTER TABLE mailbox ADD COLUMN building text COLLATE "C" NOT NULL DEFAULT '';
