-- Why deliveries are held: one row for each that is. seq is delivery.seq.
CREATE TABLE held (
	seq    bigint PRIMARY KEY,
	tenant bigint NOT NULL,
	box    bigint NOT NULL,
	grp    text COLLATE "C" NOT NULL, -- Hold.Group: the same reason, route and words
	reason bigint NOT NULL,           -- HoldReason
	route  text COLLATE "C" NOT NULL,
	at     bigint NOT NULL
);
CREATE INDEX held_group ON held (grp, box, seq);
CREATE INDEX held_member ON held (grp, seq);
CREATE INDEX held_box ON held (box, seq);

-- What is queued and was tried without success.
CREATE INDEX delivery_failing ON delivery (tenant, seq) WHERE state = 0 AND attempts > 0;
