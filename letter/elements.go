package letter

import "golang.org/x/net/html/atom"

// kept are the elements that may stand in a page. Their value says which attributes they
// may have beyond those that all may have.
var kept = map[atom.Atom][]string{
	atom.A: {"name"}, atom.Abbr: nil, atom.Acronym: nil, atom.Address: nil, atom.Article: nil, atom.Aside: nil, atom.B: nil,
	atom.Big: nil, atom.Blockquote: nil, atom.Br: {"clear"}, atom.Caption: nil, atom.Center: nil, atom.Cite: nil,
	atom.Code: nil, atom.Col: {"span"}, atom.Colgroup: {"span"}, atom.Dd: nil, atom.Del: nil, atom.Dfn: nil, atom.Div: nil,
	atom.Dl: nil, atom.Dt: nil, atom.Em: nil, atom.Figcaption: nil, atom.Figure: nil, atom.Font: {"color", "face", "size"},
	atom.Footer: nil, atom.H1: nil, atom.H2: nil, atom.H3: nil, atom.H4: nil, atom.H5: nil, atom.H6: nil, atom.Header: nil,
	atom.Hr: {"size", "noshade", "color"}, atom.I: nil, atom.Img: {"border", "hspace", "vspace"}, atom.Ins: nil, atom.Kbd: nil,
	atom.Li: {"value", "type"}, atom.Main: nil, atom.Mark: nil, atom.Nav: nil, atom.Ol: {"start", "type"}, atom.P: nil,
	atom.Pre: nil, atom.Q: nil, atom.S: nil, atom.Samp: nil, atom.Section: nil, atom.Small: nil, atom.Span: nil, atom.Strike: nil,
	atom.Strong: nil, atom.Sub: nil, atom.Sup: nil, atom.Table: {"border", "cellpadding", "cellspacing", "rules", "frame"},
	atom.Tbody: nil, atom.Td: {"colspan", "rowspan", "nowrap"}, atom.Tfoot: nil, atom.Th: {"colspan", "rowspan", "nowrap"},
	atom.Thead: nil, atom.Time: nil, atom.Tr: nil, atom.Tt: nil, atom.U: nil, atom.Ul: {"type"}, atom.Var: nil, atom.Wbr: nil,
}

// everywhere are the attributes that every element may have, with values that plainValue
// takes. Others are looked at one by one: class, id, style, title, href, src, alt.
var everywhere = map[string]bool{
	"align": true, "valign": true, "bgcolor": true, "width": true, "height": true, "dir": true, "lang": true,
}

// empty are the elements without a closing tag.
var empty = map[atom.Atom]bool{atom.Br: true, atom.Col: true, atom.Hr: true, atom.Img: true, atom.Wbr: true}

// dropped are elements that go with all they hold. What is neither kept nor dropped goes
// alone, and what it holds stays.
var dropped = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Title: true, atom.Iframe: true, atom.Object: true, atom.Applet: true, atom.Svg: true,
	atom.Math: true, atom.Template: true, atom.Select: true, atom.Textarea: true, atom.Noembed: true, atom.Noframes: true,
	atom.Audio: true, atom.Video: true, atom.Canvas: true, atom.Map: true, atom.Frameset: true, atom.Xmp: true,
	atom.Plaintext: true, atom.Datalist: true, atom.Dialog: true,
}

// active are elements that could do something. That they are missing is said.
var active = map[atom.Atom]bool{
	atom.Script: true, atom.Iframe: true, atom.Object: true, atom.Embed: true, atom.Applet: true, atom.Form: true, atom.Input: true,
	atom.Button: true, atom.Select: true, atom.Textarea: true, atom.Svg: true, atom.Math: true, atom.Audio: true, atom.Video: true,
	atom.Canvas: true, atom.Frame: true, atom.Frameset: true,
}

// closes says which open elements an opening tag ends, up to the first of the others:
// HTML, sections 13.1.2.4 and 13.2.6.4.7, as far as mail needs it.
var closes = map[atom.Atom]struct{ these, until []atom.Atom }{
	atom.Li: {[]atom.Atom{atom.Li}, []atom.Atom{atom.Ul, atom.Ol, atom.Table}},
	atom.Dt: {[]atom.Atom{atom.Dt, atom.Dd}, []atom.Atom{atom.Dl, atom.Table}},
	atom.Dd: {[]atom.Atom{atom.Dt, atom.Dd}, []atom.Atom{atom.Dl, atom.Table}},
	atom.Td: {[]atom.Atom{atom.Td, atom.Th}, []atom.Atom{atom.Table, atom.Tr}},
	atom.Th: {[]atom.Atom{atom.Td, atom.Th}, []atom.Atom{atom.Table, atom.Tr}},
	atom.Tr: {[]atom.Atom{atom.Tr}, []atom.Atom{atom.Table}},
	atom.A:  {[]atom.Atom{atom.A}, []atom.Atom{atom.Table}},
}

// closesP are the elements that end a paragraph: HTML, section 13.1.2.4.
var closesP = map[atom.Atom]bool{
	atom.Address: true, atom.Article: true, atom.Aside: true, atom.Blockquote: true, atom.Center: true, atom.Div: true, atom.Dl: true,
	atom.Figcaption: true, atom.Figure: true, atom.Footer: true, atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true,
	atom.H5: true, atom.H6: true, atom.Header: true, atom.Hr: true, atom.Main: true, atom.Nav: true, atom.Ol: true, atom.P: true,
	atom.Pre: true, atom.Section: true, atom.Table: true, atom.Ul: true, atom.Li: true, atom.Dd: true, atom.Dt: true,
}
