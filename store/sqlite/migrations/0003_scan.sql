-- When the scanners said what scan holds; NULL: when the message was received.
ALTER TABLE message ADD COLUMN scanned INTEGER;

-- What waits for scanners: messages whose scan is Unscanned.
CREATE INDEX message_unscanned ON message (tenant) WHERE scan = 1;
