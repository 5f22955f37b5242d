package sink

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// lastIn returns the greatest number among the mails in a folder, or 0, so that a sink
// that is started again goes on behind it.
func lastIn(dir string) (last int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("look into the folder for mails: %w", err)
	}
	for _, e := range entries {
		name, mail := strings.CutSuffix(e.Name(), ".eml")
		if n, err := strconv.ParseInt(name, 10, 64); mail && err == nil {
			last = max(last, n)
		}
	}
	return last, nil
}

// save writes a mail that was taken into the folder. data is used when m has none.
func (s *Sink) save(m Message, data []byte) {
	if m.Data != nil {
		data = m.Data
	}
	name := filepath.Join(s.opts.Dir, fmt.Sprintf("%08d", m.Number))
	about, err := json.MarshalIndent(m, "", "\t")
	if err == nil {
		err = os.WriteFile(name+".eml", data, 0o600)
	}
	if err == nil { // the second file says that the first one is whole
		err = writeWhole(name+".json", about)
	}
	if err != nil {
		s.book.note(func(st *Stats) { st.WriteErrors++ })
	}
}

// writeWhole replaces a file, so that readers never see half of it.
func writeWhole(path string, text []byte) error {
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return nil
}

// writeStats writes the counts once a second until the sink is closed.
func (s *Sink) writeStats() {
	for s.pause(time.Second) {
		s.saveStats()
	}
}

// saveStats writes the counts into their file.
func (s *Sink) saveStats() {
	text, err := json.MarshalIndent(s.Stats(), "", "\t")
	if err == nil {
		err = writeWhole(s.opts.StatsFile, text)
	}
	if err != nil {
		s.book.note(func(st *Stats) { st.WriteErrors++ })
	}
}
