package harvest

import (
	"strings"

	"doppelboden/mailbox"
)

// usual are names that folders have in German and English groupware, in lower case, for
// servers that do not say what a folder is for.
var usual = map[string]string{
	"sent": `\Sent`, "sent items": `\Sent`, "sent messages": `\Sent`, "gesendet": `\Sent`, "gesendete objekte": `\Sent`, "gesendete elemente": `\Sent`,
	"drafts": `\Drafts`, "entwürfe": `\Drafts`,
	"trash": `\Trash`, "deleted items": `\Trash`, "deleted messages": `\Trash`, "papierkorb": `\Trash`, "gelöschte objekte": `\Trash`, "gelöschte elemente": `\Trash`,
	"junk": `\Junk`, "spam": `\Junk`, "junk-e-mail": `\Junk`, "junk e-mail": `\Junk`,
	"archive": `\Archive`, "archiv": `\Archive`,
}

// guess gives folders of the top their usual use, where the server names none for it.
func guess(tree []mailbox.Branch) {
	told := map[string]bool{}
	for _, b := range tree {
		told[b.Use] = true
	}
	for i := range tree {
		name := strings.TrimPrefix(strings.ToLower(tree[i].Name), "inbox/")
		if use := usual[name]; tree[i].Use == "" && use != "" && !told[use] {
			tree[i].Use, told[use] = use, true
		}
	}
}
