-- What lists and searches need of messages; see store.Extract. They are random bytes, which
-- the server should not try to compress.
CREATE TABLE extract (
	message bigint PRIMARY KEY, -- message.num
	tenant  bigint NOT NULL,
	format  bigint NOT NULL,
	summary bytea NOT NULL,
	text    bytea NOT NULL
);
ALTER TABLE extract ALTER COLUMN summary SET STORAGE EXTERNAL, ALTER COLUMN text SET STORAGE EXTERNAL;
