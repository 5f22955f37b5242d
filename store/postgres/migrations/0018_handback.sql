-- How far what people did in a mailbox has gone back to the groupware; see store.Handback.
CREATE TABLE handback (
	mailbox bigint PRIMARY KEY,
	tenant  bigint NOT NULL,
	state   text COLLATE "C" NOT NULL, -- store.HandbackState.Pack
	at      bigint
);

-- The folder that a filing is about; '': that for new mail.
ALTER TABLE filing ADD COLUMN folder text COLLATE "C" NOT NULL DEFAULT '';
