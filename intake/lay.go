package intake

import "doppelboden"

// Lay says anew in which folders the mail comes to lie besides what its recipients get: who
// begins a mail with copies may learn meanwhile that some of them are there already. It is
// to be called before Commit.
func (t *Transaction) Lay(copies []doppelboden.Copy) { t.env.Copies = copies }
