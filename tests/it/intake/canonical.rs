//! An ODM file without what may differ between two exports of the same data: times, ids, who, and what no file can bring back.

/// The file of a study as lines, without times, file ids and queries; participants in the order of their numbers.
pub(super) fn canonical(text: &str, study: &str) -> Vec<String> {
    let pieces = text.replace(&format!("=\"{study}\""), "=\"S\"");
    let mut subjects: Vec<Vec<String>> = Vec::new();
    let mut rest = Vec::new();
    let mut within = false;
    for element in elements(&pieces) {
        if element.starts_with("SubjectData ") {
            within = true;
            subjects.push(Vec::new());
        }
        let ends = element == "/SubjectData>";
        match subjects.last_mut().filter(|_| within) {
            Some(subject) => subject.push(element),
            None => rest.push(element),
        }
        within &= !ends;
    }
    subjects.sort();
    rest.extend(subjects.into_iter().flatten());
    rest
}

/// The same with each change and its reason.
pub(super) fn with_history(text: &str, study: &str) -> Vec<String> {
    canonical(text, study)
}

/// Tags with the text behind them.
fn elements(text: &str) -> Vec<String> {
    let all: Vec<&str> = text.split('<').skip(1).map(str::trim_end).collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let name = all[at].split([' ', '>', '/']).next().unwrap_or_default();
        let whole = ["Query", "AdminData", "Annotation", "AuditRecord"].contains(&name);
        if !whole || all[at].ends_with("/>") {
            kept.push(attributes(all[at]));
            at += 1;
            continue;
        }
        let end = format!("/{name}>");
        let length = 1 + all[at..].iter().position(|piece| *piece == end).expect("it ends");
        kept.extend(shortened(name, &all[at..at + length]));
        at += length;
    }
    kept
}

/// What remains of an element that says who and when.
fn shortened(name: &str, pieces: &[&str]) -> Vec<String> {
    let text = pieces.concat();
    match name {
        "AuditRecord" => pieces
            .iter()
            .filter(|piece| piece.starts_with("ReasonForChange"))
            .map(|piece| (*piece).to_owned())
            .collect(),
        // What checks ask, they ask anew; what persons asked stays with them.
        "Annotation" if text.contains("LETHE.QUERY") && !text.contains(">ANNOTATION") => vec![],
        "Annotation" => pieces.iter().map(|piece| attributes(piece)).collect(),
        _ => vec![],
    }
}

/// A tag without the ids and times of the file. Of a remark without its author.
fn attributes(piece: &str) -> String {
    let mut kept = piece.to_owned();
    for name in ["FileOID", "CreationDateTime", "AsOfDateTime", "ID", "SeqNum"] {
        let Some(begin) = kept.find(&format!(" {name}=\"")) else { continue };
        let value = begin + name.len() + 3;
        let end = value + kept[value..].find('"').expect("an attribute ends");
        kept.replace_range(begin..=end, "");
    }
    let remark = kept.starts_with("Comment") || kept.starts_with("TranslatedText");
    match kept.rfind(" [").filter(|_| remark && kept.ends_with(']')) {
        Some(author) => kept[..author].to_owned(),
        None => kept,
    }
}
