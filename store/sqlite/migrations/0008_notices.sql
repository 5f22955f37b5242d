-- Which deliveries the notices that we make are about.
CREATE TABLE notice (
	about   INTEGER NOT NULL, -- delivery.seq
	message INTEGER NOT NULL, -- message.num of the notice
	PRIMARY KEY (about, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_message ON notice (message);
