-- What a folder said right before mails of a box were put into it; see store.Filing.
CREATE TABLE filing (
	box      bigint PRIMARY KEY,
	tenant   bigint NOT NULL,
	route    text COLLATE "C" NOT NULL,
	validity bigint NOT NULL,
	next     bigint NOT NULL,
	through  bigint NOT NULL, -- delivery.seq
	at       bigint
);
