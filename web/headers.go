package web

import (
	"net/http"
)

// policy is the content security policy of our own pages. Frames are only those of mails,
// which have a policy of their own and an opaque origin.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; font-src 'self'; manifest-src 'self'; frame-src 'self'; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'"

// headers adds to every answer what protects who reads it. A handler that must answer with
// another policy sets that header again.
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()")
		h.Set("Strict-Transport-Security", "max-age=31536000") // RFC 6797, section 7.2
		h.Set("X-Robots-Tag", "noindex, nofollow")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// HeadersOfMail makes an answer that came with a mail harmless: it gets an opaque origin,
// may load nothing but what extra allows, and may be framed by our own pages only.
func HeadersOfMail(w http.ResponseWriter, extra string) {
	h := w.Header()
	p := "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; " +
		"sandbox allow-popups allow-popups-to-escape-sandbox"
	if extra != "" {
		p += "; " + extra
	}
	h.Set("Content-Security-Policy", p)
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Del("Cross-Origin-Opener-Policy")
}
