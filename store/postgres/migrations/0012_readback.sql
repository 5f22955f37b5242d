-- When a next server took it (NULL: none did, or it was opened again), and what was seen of
-- it in its mailbox.
ALTER TABLE delivery ADD COLUMN handed bigint;
ALTER TABLE delivery ADD COLUMN seen_validity bigint;
ALTER TABLE delivery ADD COLUMN seen_uid bigint;
ALTER TABLE delivery ADD COLUMN seen_size bigint;
ALTER TABLE delivery ADD COLUMN seen_date bigint;

-- It grows at its end, as time does.
CREATE INDEX delivery_handed ON delivery (handed, seq) WHERE handed IS NOT NULL;
