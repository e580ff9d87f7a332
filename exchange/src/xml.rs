//! Well-formed XML, one tag at a time.

use std::borrow::Cow;
use std::io::Write;

use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesCData, BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;

use crate::ExchangeError;

/// A document that is being written. It knows which elements are open, so whoever writes cannot close another one.
pub struct Xml<W: Write> {
    writer: Writer<W>,
    open: Vec<&'static str>,
    replaced: u64,
}

/// A start tag that is being put together.
#[must_use = "a tag is written by start, empty or text"]
pub struct Tag<'x, W: Write> {
    xml: &'x mut Xml<W>,
    name: &'static str,
    start: BytesStart<'static>,
}

impl<W: Write> Xml<W> {
    /// Begins a document with its XML declaration.
    pub fn new(to: W) -> Result<Self, ExchangeError> {
        let mut writer = Writer::new_with_indent(to, b' ', 1);
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        Ok(Self { writer, open: Vec::new(), replaced: 0 })
    }

    /// Begins a document without an XML declaration: it is UTF-8, and a part of something that says so.
    pub fn bare(to: W) -> Self {
        Self { writer: Writer::new_with_indent(to, b' ', 1), open: Vec::new(), replaced: 0 }
    }

    /// Where it is written to.
    pub fn to_mut(&mut self) -> &mut W {
        self.writer.get_mut()
    }

    /// Begins a tag; attributes follow.
    pub fn tag(&mut self, name: &'static str) -> Tag<'_, W> {
        Tag { xml: self, name, start: BytesStart::new(name) }
    }

    /// Ends the innermost element that is open.
    pub fn end(&mut self) -> Result<(), ExchangeError> {
        let name = self.open.pop().expect("each end has its start: the writers pair them");
        Ok(self.writer.write_event(Event::End(BytesEnd::new(name)))?)
    }

    /// Ends all that is open and gives back where it was written to, and how many characters XML cannot hold stood in
    /// the texts (each was replaced by U+FFFD; who exports says so in the manifest).
    pub fn finish(mut self) -> Result<(W, u64), ExchangeError> {
        while !self.open.is_empty() {
            self.end()?;
        }
        let mut to = self.writer.into_inner();
        to.write_all(b"\n")?;
        to.flush()?;
        Ok((to, self.replaced))
    }
}

impl<W: Write> Tag<'_, W> {
    /// Adds an attribute.
    pub fn attr(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        let escaped = escape(value.as_ref(), &mut self.xml.replaced);
        self.start.push_attribute(Attribute { key: QName(name), value: Cow::Borrowed(escaped.as_ref()) });
        self
    }

    /// Adds an attribute if there is a value.
    pub fn maybe(self, name: &'static str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Writes it as a start tag: what follows is inside, until [`Xml::end`].
    pub fn start(self) -> Result<(), ExchangeError> {
        self.xml.writer.write_event(Event::Start(self.start))?;
        self.xml.open.push(self.name);
        Ok(())
    }

    /// Writes it as an element with nothing in it.
    pub fn empty(self) -> Result<(), ExchangeError> {
        Ok(self.xml.writer.write_event(Event::Empty(self.start))?)
    }

    /// Writes it as an element that holds a text as a CDATA section: for readers that take a text in one piece, which one
    /// with references is not.
    pub fn cdata(self, text: impl AsRef<str>) -> Result<(), ExchangeError> {
        let plain = plain(text.as_ref(), &mut self.xml.replaced);
        self.xml.writer.write_event(Event::Start(self.start))?;
        self.xml.writer.write_event(Event::CData(BytesCData::new(plain)))?;
        Ok(self.xml.writer.write_event(Event::End(BytesEnd::new(self.name)))?)
    }

    /// Writes it as an element that holds a text.
    pub fn text(self, text: impl AsRef<str>) -> Result<(), ExchangeError> {
        let escaped = escape(text.as_ref(), &mut self.xml.replaced);
        self.xml.writer.write_event(Event::Start(self.start))?;
        self.xml.writer.write_event(Event::Text(BytesText::from_escaped(escaped)))?;
        Ok(self.xml.writer.write_event(Event::End(BytesEnd::new(self.name)))?)
    }
}

/// A text for a CDATA section, whose end it may not hold; what XML cannot hold is replaced.
fn plain<'a>(text: &'a str, replaced: &mut u64) -> Cow<'a, str> {
    let taken =
        |character: char| is_plain(character) || matches!(character, '&' | '<' | '>' | '"' | '\n' | '\r' | '\t');
    if text.chars().all(taken) && !text.contains("]]>") {
        return Cow::Borrowed(text);
    }
    *replaced += text.chars().filter(|character| !taken(*character)).count() as u64;
    let text: String = text.chars().map(|character| if taken(character) { character } else { '\u{FFFD}' }).collect();
    Cow::Owned(text.replace("]]>", "]]]]><![CDATA[>"))
}

/// Escapes for text and attributes alike. White space other than blanks is written as references: a reader would make
/// blanks of them in an attribute.
fn escape<'a>(text: &'a str, replaced: &mut u64) -> Cow<'a, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' => escaped.push_str("&#9;"),
            other if is_plain(other) => escaped.push(other),
            _ => {
                *replaced += 1;
                escaped.push('\u{FFFD}');
            }
        }
    }
    Cow::Owned(escaped)
}

/// Stands as it is: a character of XML 1.0 that has no meaning of its own.
fn is_plain(character: char) -> bool {
    !matches!(character, '&' | '<' | '>' | '"' | '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(build: impl FnOnce(&mut Xml<Vec<u8>>)) -> (String, u64) {
        let mut xml = Xml::new(Vec::new()).unwrap();
        build(&mut xml);
        let (bytes, replaced) = xml.finish().unwrap();
        (String::from_utf8(bytes).unwrap(), replaced)
    }

    #[test]
    fn texts_are_escaped_and_line_breaks_survive_in_attributes() {
        let (text, replaced) = written(|xml| xml.tag("a").attr("v", "x<\"&\n\ty").text("1 > 0\r\n").unwrap());
        assert!(text.ends_with("<a v=\"x&lt;&quot;&amp;&#10;&#9;y\">1 &gt; 0&#13;&#10;</a>\n"), "{text}");
        assert_eq!(replaced, 0);
    }

    #[test]
    fn a_cdata_section_holds_any_text_in_one_piece_but_its_own_end() {
        let (text, replaced) = written(|xml| xml.tag("a").cdata("1 < 2 & \"x\"\n").unwrap());
        assert!(text.ends_with("<a><![CDATA[1 < 2 & \"x\"\n]]></a>\n"), "{text}");
        assert_eq!(replaced, 0);
        let (text, replaced) = written(|xml| xml.tag("a").cdata("x]]>y\u{1}").unwrap());
        assert!(text.ends_with("<a><![CDATA[x]]]]><![CDATA[>y\u{FFFD}]]></a>\n"), "{text}");
        assert_eq!(replaced, 1);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced_and_counted() {
        let (text, replaced) = written(|xml| xml.tag("a").attr("v", "\u{1}b\u{FFFF}").empty().unwrap());
        assert!(text.contains("v=\"\u{FFFD}b\u{FFFD}\""), "{text}");
        assert_eq!(replaced, 2);
    }

    #[test]
    fn what_is_open_is_ended_in_order() {
        let (text, _) = written(|xml| {
            xml.tag("a").start().unwrap();
            xml.tag("b").maybe("n", Some("1")).maybe("m", None::<&str>).start().unwrap();
        });
        assert!(text.ends_with("<a>\n <b n=\"1\">\n </b>\n</a>\n"), "{text}");
    }
}
