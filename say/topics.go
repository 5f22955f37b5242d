package say

import "maps"

// german holds the German text of every key that stays the same whatever its numbers
// are: one map for each topic, in a file of its own.
var german = together(plain, database, events, held, wayback, backups, replays, notices, attacks, modes, accounts, harvests, handbacks, emergencies)

// foreign holds the German text of sentences that other packages make, such as the public
// texts of errors.
var foreign = together(plainForeign, databaseRefusals, eventRefusals, heldRefusals, backupRefusals, replayRefusals, notifyRefusals, attackRefusals, modeRefusals, accountRefusals, harvestRefusals, handbackReasons, alarmReasons)

// mistakes holds the German text of what package city says about mistakes in files, and
// of why an address is none. A mistake reads "problem; what to write instead".
var mistakes = together(plainMistakes, databaseMistakes, notifyMistakes, accountMistakes, certMistakes, harvestMistakes)

// together joins the texts of several topics.
func together(topics ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, t := range topics {
		maps.Copy(all, t)
	}
	return all
}
