-- How far the groupware's mailboxes were read; see store.Harvests.
CREATE TABLE harvest_box (
	mailbox  INTEGER PRIMARY KEY,
	tenant   INTEGER NOT NULL,
	began    INTEGER,
	at       INTEGER,
	trouble  TEXT NOT NULL,
	tried    INTEGER,
	vanished INTEGER NOT NULL,
	confirm  INTEGER NOT NULL
) STRICT;
CREATE INDEX harvest_box_tenant ON harvest_box (tenant, mailbox);

CREATE TABLE harvest_folder (
	mailbox  INTEGER NOT NULL,
	number   INTEGER NOT NULL, -- within the mailbox, from 1
	tenant   INTEGER NOT NULL,
	name     TEXT NOT NULL,    -- as the groupware calls it
	use      TEXT NOT NULL,
	ours     INTEGER NOT NULL, -- folder.number; 0: none yet
	validity INTEGER NOT NULL,
	next     INTEGER NOT NULL,
	low      INTEGER NOT NULL,
	filled   INTEGER NOT NULL,
	modseq   INTEGER NOT NULL,
	total    INTEGER NOT NULL,
	flags    INTEGER,
	since    INTEGER,
	at       INTEGER,
	gone     INTEGER NOT NULL,
	PRIMARY KEY (mailbox, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX harvest_folder_name ON harvest_folder (mailbox, name);

-- Where the groupware has a message.
CREATE TABLE harvest_mail (
	mailbox  INTEGER NOT NULL,
	folder   INTEGER NOT NULL, -- harvest_folder.number
	validity INTEGER NOT NULL,
	uid      INTEGER NOT NULL,
	tenant   INTEGER NOT NULL,
	message  INTEGER NOT NULL, -- message.num
	flags    INTEGER NOT NULL,
	gone     INTEGER,          -- NULL while it is there
	PRIMARY KEY (mailbox, folder, validity, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX harvest_mail_message ON harvest_mail (message, mailbox);

-- What a mail has in common with itself however it comes.
CREATE TABLE harvest_mark (
	tenant  INTEGER NOT NULL,
	sum     BLOB NOT NULL,
	message INTEGER NOT NULL, -- message.num
	PRIMARY KEY (tenant, sum, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX harvest_mark_message ON harvest_mark (message);

-- How far a tenant's messages have their marks; see store.Marking.
CREATE TABLE harvest_marked (
	tenant        INTEGER PRIMARY KEY,
	number        INTEGER NOT NULL,
	sum_key       BLOB,
	key_version   INTEGER NOT NULL,
	journal_first INTEGER,
	journal_last  INTEGER,
	hairpin_first INTEGER,
	hairpin_last  INTEGER
) STRICT;
