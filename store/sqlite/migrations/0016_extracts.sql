-- What lists and searches need of messages; see store.Extract.
CREATE TABLE extract (
	message INTEGER PRIMARY KEY, -- message.num
	tenant  INTEGER NOT NULL,
	format  INTEGER NOT NULL,
	summary BLOB NOT NULL,
	text    BLOB NOT NULL
) STRICT;
