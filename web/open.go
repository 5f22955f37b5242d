package web

import "net/http"

// MountOpen adds what programs ask with POST, without a page of ours and without a session:
// it must change nothing, and bounds what it reads itself.
func (s *Server) MountOpen(pattern string, h http.Handler) {
	if s.opened == nil {
		s.opened = map[string]bool{}
	}
	s.opened[pattern] = true
	s.Mount(pattern, h)
}

// isOpen reports whether a request is for something that MountOpen added.
func (s *Server) isOpen(r *http.Request) bool {
	_, pattern := s.mux.Handler(r)
	return s.opened[pattern]
}
