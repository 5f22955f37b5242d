-- When a next server took it (NULL: none did, or it was opened again), and what was seen of
-- it in its mailbox.
ALTER TABLE delivery ADD COLUMN handed INTEGER;
ALTER TABLE delivery ADD COLUMN seen_validity INTEGER;
ALTER TABLE delivery ADD COLUMN seen_uid INTEGER;
ALTER TABLE delivery ADD COLUMN seen_size INTEGER;
ALTER TABLE delivery ADD COLUMN seen_date INTEGER;

UPDATE delivery SET handed = changed WHERE state = 2 AND attempts > 0;

-- It grows at its end, as time does.
CREATE INDEX delivery_handed ON delivery (handed) WHERE handed IS NOT NULL;
