-- What an alarm says as a key and values in JSON, so that every reader gets it in her language.
ALTER TABLE alarm ADD COLUMN said TEXT NOT NULL DEFAULT '';
