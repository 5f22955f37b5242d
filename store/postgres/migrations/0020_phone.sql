-- A mobile telephone, for SMS in an emergency: E.164, '' for none.
ALTER TABLE mailbox ADD COLUMN phone text COLLATE "C" NOT NULL DEFAULT '';
