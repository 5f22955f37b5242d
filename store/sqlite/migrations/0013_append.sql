-- What a folder said right before mails of a box were put into it; see store.Filing.
CREATE TABLE filing (
	box      INTEGER PRIMARY KEY,
	tenant   INTEGER NOT NULL,
	route    TEXT NOT NULL,
	validity INTEGER NOT NULL,
	next     INTEGER NOT NULL,
	through  INTEGER NOT NULL, -- delivery.seq
	at       INTEGER
) STRICT;
