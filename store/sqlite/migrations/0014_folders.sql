-- What all folders of a mailbox share.
CREATE TABLE numbering (
	mailbox  INTEGER PRIMARY KEY,
	tenant   INTEGER NOT NULL,
	change   INTEGER NOT NULL, -- number of the last change
	validity INTEGER NOT NULL, -- the last UIDVALIDITY that a folder got
	folders  INTEGER NOT NULL, -- the last number that a folder got
	token    INTEGER NOT NULL  -- of the transaction that made the last change
) STRICT;

ALTER TABLE folder ADD COLUMN use TEXT NOT NULL DEFAULT '';
ALTER TABLE folder ADD COLUMN subscribed INTEGER NOT NULL DEFAULT 1;
-- Of the inbox: what delivery.inbox says of deliveries up to this seq counts no more; what
-- of them it shows is in table copy.
ALTER TABLE folder ADD COLUMN looked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE folder ADD COLUMN total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE folder ADD COLUMN unseen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE folder ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
UPDATE folder SET use = 'inbox' WHERE number = 1;
-- From now on no two folders of a mailbox have the same one. Nobody was told one yet.
UPDATE folder SET uid_validity = (SELECT max(o.uid_validity) FROM folder o WHERE o.mailbox = folder.mailbox) + number;
INSERT INTO numbering (mailbox, tenant, change, validity, folders, token)
	SELECT mailbox, max(tenant), 0, max(uid_validity), max(max(number), 1), 0 FROM folder GROUP BY mailbox;

ALTER TABLE copy RENAME TO copy_before;
DROP INDEX copy_message;
DROP INDEX copy_uid;

-- Messages in folders; see also delivery.inbox. The rows of a mailbox lie together, and
-- have of the message what lists show.
CREATE TABLE copy (
	mailbox    INTEGER NOT NULL,
	n          INTEGER NOT NULL,
	tenant     INTEGER NOT NULL,
	message    INTEGER NOT NULL, -- message.num
	id         BLOB NOT NULL,    -- message.id
	size       INTEGER NOT NULL, -- of prefix and body
	scan       INTEGER NOT NULL, -- message.scan
	folder     INTEGER NOT NULL, -- folder.number; 0: it was removed, and the groupware may have it still
	uid        INTEGER,          -- NULL until somebody looks into the folder
	flags      INTEGER NOT NULL,
	date       INTEGER,
	change     INTEGER NOT NULL, -- the last one that touched it
	known      INTEGER NOT NULL, -- the change up to which it is known how the groupware has it
	deed       INTEGER,          -- its number as a deed; NULL: it never was one
	open       INTEGER NOT NULL, -- 1: it is a deed
	was_folder TEXT,             -- while it is one: how the groupware has it; NULL: not at all
	was_use    TEXT,
	was_flags  INTEGER,
	at         INTEGER,          -- when it became one
	PRIMARY KEY (mailbox, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_message ON copy (message);
CREATE UNIQUE INDEX copy_uid ON copy (mailbox, folder, uid) WHERE uid IS NOT NULL;
CREATE INDEX copy_fresh ON copy (mailbox, folder) WHERE uid IS NULL AND folder > 0;
CREATE UNIQUE INDEX copy_deed ON copy (deed) WHERE deed IS NOT NULL;
CREATE INDEX copy_open ON copy (deed) WHERE open = 1;
CREATE INDEX copy_owed ON copy (mailbox, deed, tenant, at) WHERE open = 1;

INSERT INTO copy (mailbox, n, tenant, message, id, size, scan, folder, uid, flags, date, change, known, open)
	SELECT c.mailbox, row_number() OVER (PARTITION BY c.mailbox ORDER BY c.message, c.folder), c.tenant, c.message, m.id,
		m.size + ifnull(length(m.prefix), 0), m.scan, c.folder, c.uid, c.flags, c.date, 0, 0, 0
	FROM copy_before c JOIN message m ON m.num = c.message;
DROP TABLE copy_before;

UPDATE folder SET
	uid_next = max(uid_next, 1 + ifnull((SELECT max(c.uid) FROM copy c WHERE c.mailbox = folder.mailbox AND c.folder = folder.number), 0)),
	total = (SELECT count(*) FROM copy c WHERE c.mailbox = folder.mailbox AND c.folder = folder.number AND c.uid IS NOT NULL),
	unseen = (SELECT count(*) FROM copy c WHERE c.mailbox = folder.mailbox AND c.folder = folder.number AND c.uid IS NOT NULL AND c.flags & 1 = 0);

-- The number that the next deed gets.
INSERT INTO sequence VALUES ('deed', 1);
