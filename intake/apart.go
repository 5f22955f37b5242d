package intake

import (
	"fmt"
	"io"

	"doppelboden"
)

// apart makes the messages that show, among the sent mail of who wrote them, mails that
// belong to another administration.
func (in *Intake) apart(list []*Transaction, messages []*doppelboden.Message) (made []*doppelboden.Message, err error) {
	for i, t := range list {
		if t.apart == nil {
			continue
		}
		of := messages[i]
		m := &doppelboden.Message{
			ID: in.ids.New(of.Received), Tenant: t.env.Own.Tenant, Receipt: doppelboden.NewReceipt(of.Received), Door: of.Door, Received: of.Received,
			Peer: of.Peer, Helo: of.Helo, Sender: of.Sender, SMTPUTF8: of.SMTPUTF8, EightBit: of.EightBit, Prefix: of.Prefix,
		}
		m.Copies = []doppelboden.Copy{*t.apart}
		m.Copies[0].Message = m.ID
		if m.Body, err = in.again(m.Tenant, of); err != nil {
			return nil, fmt.Errorf("keep the sender's copy: %w", err)
		}
		made = append(made, m)
	}
	return made, nil
}

// again seals the body of a message for another tenant.
func (in *Intake) again(t doppelboden.TenantID, of *doppelboden.Message) (doppelboden.Body, error) {
	r, err := in.opts.Bodies.Reader(of.Tenant, of.Body)
	if err != nil {
		return doppelboden.Body{}, err
	}
	defer r.Close()
	if of.Body.Size <= inMemory {
		all, err := io.ReadAll(r)
		if err != nil {
			return doppelboden.Body{}, err
		}
		return in.opts.Bodies.Put(t, all)
	}
	w, err := in.opts.Bodies.Create(t)
	if err != nil {
		return doppelboden.Body{}, err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.Abort()
		return doppelboden.Body{}, err
	}
	return w.Close()
}
