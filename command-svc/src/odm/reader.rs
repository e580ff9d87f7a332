//! XML, one element at a time: namespaces resolved, nothing expanded, depth and sizes bounded.

use std::io::BufRead;

use exchange::odm::OdmVersion;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::demands::Demands;
use super::error::{OdmError, Place, shown};
use super::limits::Limits;
use super::report::Row;
use super::source::Source;

mod explain;
mod root;

/// An element that has begun.
#[derive(Debug)]
pub(super) struct Element {
    /// Its name, without a prefix.
    pub(super) name: String,
    /// Where its tag begins.
    pub(super) at: Place,
    /// Its namespace; none if it is in no namespace.
    namespace: Option<String>,
    pub(super) depth: usize,
    pub(super) attributes: Vec<(String, String)>,
}

impl Element {
    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The ODM whose element it is, if it is one.
    pub(super) fn odm(&self) -> Option<OdmVersion> {
        root::of_namespace(self.namespace.as_deref())
    }
}

enum Token {
    Start(Element),
    End,
    Text(String),
    Eof,
}

/// The file.
pub(super) struct Xml<R> {
    reader: NsReader<Source<R>>,
    buffer: Vec<u8>,
    open: Vec<String>,
    begun: bool,
    version: OdmVersion,
    demands: Option<Demands>,
    depth_limit: usize,
    piece_limit: u64,
    budget: Option<Budget>,
}

/// Up to which byte something may go on that is held in memory as a whole.
struct Budget {
    what: &'static str,
    limit: u64,
    end: u64,
}

impl<R: BufRead> Xml<R> {
    /// Begins to read, up to and including the tag of the root, which must be that of an ODM 1.3 file.
    pub(super) fn open(input: R, limits: &Limits) -> Result<(Self, Element), OdmError> {
        let mut source = Source::new(input, limits.piece_bytes);
        if source.is_wide().map_err(|error| OdmError::Unreadable(error.kind()))? {
            return Err(OdmError::NotOdm { at: Place::START, what: "it is not in UTF-8: save it in UTF-8".into() });
        }
        let mut reader = NsReader::from_reader(source);
        reader.config_mut().expand_empty_elements = true;
        let mut xml = Self {
            reader,
            buffer: Vec::new(),
            open: Vec::new(),
            begun: false,
            version: OdmVersion::V1_3_2,
            demands: None,
            depth_limit: limits.depth,
            piece_limit: limits.piece_bytes,
            budget: None,
        };
        let root = xml.root()?;
        Ok((xml, root))
    }

    fn root(&mut self) -> Result<Element, OdmError> {
        loop {
            match self.next()? {
                Token::Start(root) => {
                    let (root, version) = root::check(root)?;
                    self.version = version;
                    let mut demands = Demands::of(version);
                    demands.start(&root);
                    self.demands = Some(demands);
                    return Ok(root);
                }
                Token::Eof => {
                    return Err(OdmError::NotOdm { at: self.place(), what: "it holds no XML element".into() });
                }
                Token::End | Token::Text(_) => {}
            }
        }
    }

    /// Which ODM it is.
    pub(super) fn version(&self) -> OdmVersion {
        self.version
    }

    /// What was found since the last call that ODM does not allow.
    pub(super) fn take_broken(&mut self) -> Vec<Row> {
        self.demands.as_mut().map(Demands::take).unwrap_or_default()
    }

    /// Where the next piece begins.
    pub(super) fn place(&self) -> Place {
        self.reader.get_ref().place()
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.get_ref().bytes()
    }

    /// From here on, at most `limit` bytes are read until [`Self::end_budget`].
    pub(super) fn begin_budget(&mut self, what: &'static str, limit: u64) {
        self.budget = Some(Budget { what, limit, end: self.bytes().saturating_add(limit) });
    }

    /// What was limited is over.
    pub(super) fn end_budget(&mut self) {
        self.budget = None;
    }

    /// The next ODM element directly within `parent`, or none at its end. What is left of the one before is skipped,
    /// and so are elements of other namespaces.
    pub(super) fn child(&mut self, parent: &Element) -> Result<Option<Element>, OdmError> {
        while self.open.len() >= parent.depth {
            if let Token::Start(element) = self.next()?
                && element.depth == parent.depth + 1
                && element.odm() == Some(self.version)
            {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// All text within `element`, up to its end, without blanks around it.
    pub(super) fn text(&mut self, element: &Element) -> Result<String, OdmError> {
        Ok(self.verbatim(element)?.trim().to_owned())
    }

    /// All text within `element`, up to its end, blanks and all.
    pub(super) fn verbatim(&mut self, element: &Element) -> Result<String, OdmError> {
        let mut text = String::new();
        while self.open.len() >= element.depth {
            if let Token::Text(piece) = self.next()? {
                text.push_str(&piece);
            }
            if text.len() as u64 > self.piece_limit {
                return Err(OdmError::TooLarge { at: self.place(), what: "a text", limit: self.piece_limit });
            }
        }
        Ok(text)
    }

    /// Reads to the end of the file: nothing but blanks and comments may follow the root.
    pub(super) fn finish(&mut self) -> Result<(), OdmError> {
        while !matches!(self.next()?, Token::Eof) {}
        Ok(())
    }

    /// The next piece that counts. Never returns `Eof` while an element is open.
    fn next(&mut self) -> Result<Token, OdmError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let token = loop {
            buffer.clear();
            match self.piece(&mut buffer) {
                Ok(Some(token)) => break Ok(token),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        self.buffer = buffer;
        token
    }

    fn piece(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Token>, OdmError> {
        let at = self.place();
        if let Some(Budget { what, limit, .. }) = self.budget.as_ref().filter(|budget| self.bytes() > budget.end) {
            return Err(OdmError::TooLarge { at, what, limit: *limit });
        }
        self.reader.get_mut().begin_piece();
        let event = match self.reader.read_event_into(buffer) {
            Ok(event) => event,
            Err(error) => return Err(self.explain(&error, at)),
        };
        match event {
            Event::Start(start) | Event::Empty(start) => {
                let element = self.start(&start, at)?;
                if let Some(demands) = &mut self.demands {
                    demands.start(&element);
                }
                Ok(Some(Token::Start(element)))
            }
            Event::End(_) => {
                self.open.pop();
                if let Some(demands) = &mut self.demands {
                    demands.end(self.open.len());
                }
                Ok(Some(Token::End))
            }
            Event::Text(text) => self.words(&text.xml10_content(), at),
            Event::CData(text) => self.words(&text.xml10_content(), at),
            Event::GeneralRef(reference) => {
                let letter = match reference.resolve_char_ref() {
                    Ok(letter) => letter,
                    Err(error) => return Err(self.explain(&error, at)),
                };
                match letter.or_else(|| predefined(&reference)) {
                    Some(letter) => self.words(letter.encode_utf8(&mut [0; 4]), at),
                    None if self.begun => Err(OdmError::Entities { at, what: "a reference to an entity of its own" }),
                    None => Err(explain::no_xml(at)),
                }
            }
            Event::DocType(_) => Err(OdmError::Entities { at, what: "a DOCTYPE" }),
            Event::Decl(declaration) => match declaration.encoding() {
                Some(Ok(name)) if !["utf-8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => {
                    let what = format!("it is in the encoding {}: save it in UTF-8", shown(&name));
                    Err(OdmError::NotOdm { at, what })
                }
                _ => Ok(None),
            },
            Event::Comment(_) | Event::PI(_) => Ok(None),
            Event::Eof if self.open.is_empty() => Ok(Some(Token::Eof)),
            Event::Eof => Err(OdmError::CutOff { at, element: self.inside() }),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, at: Place) -> Result<Element, OdmError> {
        if self.begun && self.open.is_empty() {
            return Err(self.damaged(at, "a second root element begins"));
        }
        if self.open.len() == self.depth_limit {
            return Err(OdmError::TooDeep { at, element: self.inside(), limit: self.depth_limit });
        }
        let (namespace, name) = self.reader.resolver().resolve_element(start.name());
        let namespace = match namespace {
            ResolveResult::Bound(Namespace(uri)) => Some(uri.to_owned()),
            ResolveResult::Unbound | ResolveResult::Unknown(_) => None,
        };
        let name = name.as_ref().to_owned();
        self.begun = true;
        self.open.push(name.clone());
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.explain(&error.into(), at))?;
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| self.explain(&error, at))?;
            if !value.chars().all(is_xml) {
                return Err(self.damaged(at, "an attribute holds a character that XML does not allow"));
            }
            attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(Element { name, at, namespace, depth: self.open.len(), attributes })
    }

    fn words(&self, text: &str, at: Place) -> Result<Option<Token>, OdmError> {
        if !text.chars().all(is_xml) {
            return Err(self.damaged(at, "a text holds a character that XML does not allow"));
        }
        if !self.open.is_empty() {
            return Ok(Some(Token::Text(text.to_owned())));
        }
        match text.trim_start_matches('\u{FEFF}').trim().is_empty() {
            true => Ok(None),
            false if self.begun => Err(self.damaged(at, "text follows the end of the root element")),
            false => Err(explain::no_xml(at)),
        }
    }
}

fn predefined(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => None,
    }
}

/// XML 1.0, production 2.
fn is_xml(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}
