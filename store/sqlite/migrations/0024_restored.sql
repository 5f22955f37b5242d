-- Up to when what vanished may have been lost by a restore of the groupware; NULL: it lacks nothing.
ALTER TABLE harvest_box ADD COLUMN restored INTEGER;
