-- How far the groupware's mailboxes were read; see store.Harvests.
CREATE TABLE harvest_box (
	mailbox  bigint PRIMARY KEY,
	tenant   bigint NOT NULL,
	began    bigint,
	at       bigint,
	trouble  text COLLATE "C" NOT NULL,
	tried    bigint,
	vanished bigint NOT NULL,
	confirm  boolean NOT NULL
);
CREATE INDEX harvest_box_tenant ON harvest_box (tenant, mailbox);

CREATE TABLE harvest_folder (
	mailbox  bigint NOT NULL,
	number   bigint NOT NULL, -- within the mailbox, from 1
	tenant   bigint NOT NULL,
	name     text COLLATE "C" NOT NULL, -- as the groupware calls it
	use      text COLLATE "C" NOT NULL,
	ours     bigint NOT NULL, -- folder.number; 0: none yet
	validity bigint NOT NULL,
	next     bigint NOT NULL,
	low      bigint NOT NULL,
	filled   boolean NOT NULL,
	modseq   bigint NOT NULL,
	total    bigint NOT NULL,
	flags    bigint,
	since    bigint,
	at       bigint,
	gone     boolean NOT NULL,
	PRIMARY KEY (mailbox, number)
);
CREATE UNIQUE INDEX harvest_folder_name ON harvest_folder (mailbox, name);

-- Where the groupware has a message.
CREATE TABLE harvest_mail (
	mailbox  bigint NOT NULL,
	folder   bigint NOT NULL, -- harvest_folder.number
	validity bigint NOT NULL,
	uid      bigint NOT NULL,
	tenant   bigint NOT NULL,
	message  bigint NOT NULL, -- message.num
	flags    bigint NOT NULL,
	gone     bigint,          -- NULL while it is there
	PRIMARY KEY (mailbox, folder, validity, uid)
);
CREATE INDEX harvest_mail_message ON harvest_mail (message, mailbox);

-- What a mail has in common with itself however it comes.
CREATE TABLE harvest_mark (
	tenant  bigint NOT NULL,
	sum     bytea NOT NULL,
	message bigint NOT NULL, -- message.num
	PRIMARY KEY (tenant, sum, message)
);
CREATE INDEX harvest_mark_message ON harvest_mark (message);

-- How far a tenant's messages have their marks; see store.Marking.
CREATE TABLE harvest_marked (
	tenant        bigint PRIMARY KEY,
	number        bigint NOT NULL,
	sum_key       bytea,
	key_version   bigint NOT NULL,
	journal_first bigint,
	journal_last  bigint,
	hairpin_first bigint,
	hairpin_last  bigint
);
