package app

import (
	"fmt"

	"doppelboden/search"
)

// openSearch makes what finds mails and sums them up for lists.
func (n *Node) openSearch() error {
	room, err := search.New(search.Options{Store: n.store, Bodies: n.bodies, Keys: n.ring, Log: n.log, Registry: n.registry, Clock: n.clock})
	if err != nil {
		return fmt.Errorf("prepare the search: %w", err)
	}
	n.search, n.extracts = room, search.NewWorker(room, n.opts.Timer)
	return nil
}
