-- Why deliveries are held: one row for each that is. seq is delivery.seq.
CREATE TABLE held (
	seq    INTEGER PRIMARY KEY,
	tenant INTEGER NOT NULL,
	box    INTEGER NOT NULL,
	grp    TEXT NOT NULL,    -- Hold.Group: the same reason, route and words
	reason INTEGER NOT NULL, -- HoldReason
	route  TEXT NOT NULL,
	at     INTEGER NOT NULL
) STRICT;
-- The first has all that is counted. All end in the row's seq, as every index of SQLite does.
CREATE INDEX held_group ON held (grp, box, at);
CREATE INDEX held_member ON held (grp);
CREATE INDEX held_box ON held (box);

-- What was held before: a next server's words begin with where they were said. They are
-- tried again once; what is refused anew then gets the group that its words have.
INSERT INTO held (seq, tenant, box, grp, reason, route, at)
	SELECT seq, tenant, box, '0' || tenant || '-' || CASE WHEN box = 0 THEN 6
		WHEN attempts > 0 AND (reply LIKE 'rcpt %' OR reply LIKE 'data %' OR reply LIKE 'dot %' OR reply LIKE 'mail %') THEN 2
		WHEN reply LIKE 'quarantine%' THEN 5 ELSE 0 END,
	CASE WHEN box = 0 THEN 6
		WHEN attempts > 0 AND (reply LIKE 'rcpt %' OR reply LIKE 'data %' OR reply LIKE 'dot %' OR reply LIKE 'mail %') THEN 2
		WHEN reply LIKE 'quarantine%' THEN 5 ELSE 0 END,
	'', coalesce(changed, 0)
	FROM delivery INDEXED BY delivery_rare WHERE state IN (1, 4, 5) AND state = 1;

-- What is queued and was tried without success.
CREATE INDEX delivery_failing ON delivery (tenant) WHERE state = 0 AND attempts > 0;
