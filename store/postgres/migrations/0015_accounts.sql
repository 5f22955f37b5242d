-- How people are known without the city's directory; see store/accounts.go.
CREATE TABLE credential (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tenant      bigint NOT NULL,
	person      bigint NOT NULL, -- mailbox.id; 0: the tenant's own
	kind        text COLLATE "C" NOT NULL,
	label       text COLLATE "C" NOT NULL,
	lookup      bytea UNIQUE,
	data        bytea,
	key_version bigint NOT NULL, -- 0: data is not sealed
	counter     bigint NOT NULL,
	made        bigint NOT NULL,
	until       bigint,
	by          text COLLATE "C" NOT NULL,
	ended       bigint,
	why         text COLLATE "C" NOT NULL,
	token       bytea            -- who spent it
);
CREATE INDEX credential_person ON credential (person, kind);
CREATE INDEX credential_live ON credential (tenant, kind) WHERE ended IS NULL;
CREATE INDEX credential_sealed ON credential (tenant, key_version) WHERE key_version > 0;

CREATE TABLE session (
	hash   bytea PRIMARY KEY,
	tenant bigint NOT NULL,
	person bigint NOT NULL,
	needs  text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL,
	second boolean NOT NULL,
	code   bigint NOT NULL,
	state  bytea,
	made   bigint NOT NULL,
	seen   bigint NOT NULL,
	until  bigint NOT NULL
);
CREATE INDEX session_person ON session (person);
CREATE INDEX session_until ON session (until);

CREATE TABLE belonging (
	mailbox bigint NOT NULL,
	person  bigint NOT NULL,
	kind    text COLLATE "C" NOT NULL,
	tenant  bigint NOT NULL,
	until   bigint,
	by      text COLLATE "C" NOT NULL,
	at      bigint NOT NULL,
	PRIMARY KEY (mailbox, person, kind)
);
CREATE INDEX belonging_person ON belonging (person);

CREATE TABLE role (
	tenant     bigint NOT NULL,
	person     bigint NOT NULL,
	name       text COLLATE "C" NOT NULL,
	department text COLLATE "C" NOT NULL,
	by         text COLLATE "C" NOT NULL,
	at         bigint NOT NULL,
	PRIMARY KEY (tenant, person, name, department)
);
CREATE INDEX role_person ON role (person);

CREATE TABLE memo (
	what    text COLLATE "C" NOT NULL,
	tenant  bigint NOT NULL,
	mailbox bigint NOT NULL, -- 0: the tenant itself
	at      bigint NOT NULL,
	PRIMARY KEY (what, tenant, mailbox)
);
