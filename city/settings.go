package city

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Settings returns every value that a text of city.toml writes, by its path, such as
// "tenant.musterstadt.scan.clamd": tables of a list are named by their name, or else by
// their place from 1. The values are as a mistake would show them, so a secret is not
// among them. It is for saying what is different between two texts; a text that is not
// TOML has none.
func Settings(text []byte) map[string]string {
	var values map[string]any
	if toml.Unmarshal(text, &values) != nil {
		return nil
	}
	found := map[string]string{}
	gatherSettings(found, "", values)
	return found
}

// gatherSettings adds what lies below path.
func gatherSettings(found map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			gatherSettings(found, join(path, key), below)
		}
	case []any:
		if texts, plain := listed(path, v); plain {
			found[path] = texts
			return
		}
		for i, below := range v {
			name := fmt.Sprint(i + 1)
			if table, ok := below.(map[string]any); ok {
				if s, ok := table["name"].(string); ok && s != "" {
					name = s
				}
			}
			gatherSettings(found, join(path, name), below)
		}
	default:
		found[path] = shown(path, v)
	}
}

// listed returns a list of plain values in one line.
func listed(path string, list []any) (text string, plain bool) {
	shows := make([]string, len(list))
	for i, v := range list {
		switch v.(type) {
		case map[string]any, []any:
			return "", false
		}
		shows[i] = shown(path, v)
	}
	return strings.Join(shows, ", "), true
}
