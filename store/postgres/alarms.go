package postgres

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Raise opens an alarm, or changes the text of the open one of its kind and subject.
func (s *Store) Raise(ctx context.Context, a doppelboden.Alarm) error {
	said, err := store.EncodeTelling(a.Said)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO alarm (kind, subject, text, said, since) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (kind, subject) WHERE until IS NULL DO UPDATE SET text = excluded.text, said = excluded.said`,
			a.Kind, a.Subject, a.Text, said, micros(a.Since))
		if err != nil {
			return fmt.Errorf("write alarm: %w", err)
		}
		return nil
	})
}

// Clear ends an open alarm.
func (s *Store) Clear(ctx context.Context, kind, subject string, at time.Time) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec("UPDATE alarm SET until = $1 WHERE kind = $2 AND subject = $3 AND until IS NULL", at.UnixMicro(), kind, subject)
		if err != nil {
			return fmt.Errorf("end alarm: %w", err)
		}
		return nil
	})
}

// Alarms yields open alarms and those that ended after since, newest first.
func (s *Store) Alarms(ctx context.Context, since time.Time, yield func(doppelboden.Alarm) error) error {
	var alarms []doppelboden.Alarm
	ended := int64(-1 << 63)
	if !since.IsZero() {
		ended = since.UnixMicro()
	}
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			alarms = append(alarms, doppelboden.Alarm{Kind: asText(r[0]), Subject: asText(r[1]), Text: asText(r[2]),
				Said: store.DecodeTelling(asText(r[3])), Since: asTime(r[4]), Until: asTime(r[5])})
			return nil
		}, `SELECT kind, subject, text, said, since, until FROM alarm WHERE until IS NULL OR until > $1
			ORDER BY since DESC NULLS LAST, id DESC`, ended)
	})
	if err != nil {
		return err
	}
	for _, a := range alarms {
		if err := yield(a); err != nil {
			return err
		}
	}
	return nil
}
