-- When a destination was last asked for; NULL: nobody knows, and it stays.
ALTER TABLE destination ADD COLUMN used INTEGER;

-- What waits for destinations, by the time when it is due. The mail of the city's own
-- mailboxes, whose boxes are positive, costs no entry.
CREATE INDEX delivery_due ON delivery (box, next) WHERE state = 0 AND box < 0;
