-- Notes that people leave with mailboxes; see store.Slip.
CREATE TABLE slip (
	mailbox     bigint NOT NULL,
	kind        text COLLATE "C" NOT NULL,
	key         text COLLATE "C" NOT NULL,
	tenant      bigint NOT NULL,
	value       bytea NOT NULL,
	wrapped     bytea NOT NULL,
	key_version bigint NOT NULL,
	at          bigint,
	until       bigint,
	PRIMARY KEY (mailbox, kind, key)
);

CREATE INDEX slip_until ON slip (until) WHERE until IS NOT NULL;
