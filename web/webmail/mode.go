package webmail

import (
	"context"
	"fmt"
	"net/http"

	"doppelboden/web"
)

// A modePart is where a person says whether she works here or in the groupware.
type modePart struct {
	Used   bool // she works here
	Action string
}

// modeOf returns what the settings say about that; nil where there is nothing to choose.
func (d *Door) modeOf(ctx context.Context, k *desk) (*modePart, error) {
	if d.opts.SetMode == nil {
		return nil, nil
	}
	s, err := d.opts.Standing(ctx, k.Visitor.Tenant, k.grant.Mailbox)
	if err != nil || s.Here {
		return nil, err
	}
	return &modePart{Used: s.Used, Action: k.base + "/mode"}, nil
}

// setMode notes where a person works from now on.
func (d *Door) setMode(w http.ResponseWriter, r *http.Request, k *desk) error {
	mode := r.PostForm.Get("mode")
	if d.opts.SetMode == nil || mode != "emergency" && mode != "normal" {
		return web.ErrNotFound
	}
	by := fmt.Sprintf("person:%d", k.Visitor.Person)
	if err := d.opts.SetMode(r.Context(), k.grant.Mailbox, mode == "emergency", by); err != nil {
		return err
	}
	http.Redirect(w, r, k.base+"/settings?done=saved", http.StatusSeeOther)
	return nil
}
