-- How mailboxes are used; see store.Mode.
CREATE TABLE mode (
	mailbox   bigint PRIMARY KEY,
	tenant    bigint NOT NULL,
	emergency boolean NOT NULL,
	by        text COLLATE "C" NOT NULL,
	at        bigint,
	event     bigint NOT NULL,
	used      bigint
);

-- What somebody was about to send; see store.Sending.
CREATE TABLE sending (
	mailbox bigint NOT NULL,
	key     bytea NOT NULL,
	tenant  bigint NOT NULL,
	message bytea NOT NULL,
	node    text COLLATE "C" NOT NULL,
	at      bigint NOT NULL,
	PRIMARY KEY (mailbox, key)
);

CREATE INDEX sending_at ON sending (at);
