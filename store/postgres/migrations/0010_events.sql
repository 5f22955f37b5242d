-- Outages and planned maintenance, numbered within a tenant.
CREATE TABLE event (
	tenant    bigint NOT NULL,
	number    bigint NOT NULL,
	kind      text COLLATE "C" NOT NULL,
	minor     boolean NOT NULL,
	route     text COLLATE "C" NOT NULL,
	whole     boolean NOT NULL,
	scope     text COLLATE "C" NOT NULL, -- JSON: what a maintenance is planned for
	since     bigint NOT NULL,
	until     bigint,
	closed_by text COLLATE "C" NOT NULL,
	starts    bigint,
	ends      bigint,
	concerned bigint NOT NULL, -- now
	most      bigint NOT NULL, -- at once
	why       text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, number)
);

-- What happened to an event. Who came to be concerned, and who no longer is, are lists of
-- mailboxes' numbers in a few bits each.
CREATE TABLE event_step (
	tenant bigint NOT NULL,
	event  bigint NOT NULL,
	n      bigint NOT NULL,
	at     bigint NOT NULL,
	what   text COLLATE "C" NOT NULL,
	by     text COLLATE "C" NOT NULL,
	note   text COLLATE "C" NOT NULL,
	joined bytea,
	parted bytea,
	PRIMARY KEY (tenant, event, n)
);

CREATE TABLE event_reply (
	tenant bigint NOT NULL,
	event  bigint NOT NULL,
	reply  text COLLATE "C" NOT NULL,
	count  bigint NOT NULL,
	first  bigint NOT NULL,
	last   bigint NOT NULL,
	PRIMARY KEY (tenant, event, reply)
);
