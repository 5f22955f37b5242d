-- Which ways to the tenant's own systems are shut in attack mode: store.Shut.
ALTER TABLE standing ADD COLUMN shut bigint NOT NULL DEFAULT 0;
