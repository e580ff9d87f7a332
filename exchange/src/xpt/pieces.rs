//! A text in pieces of at most 200 bytes.

/// The longest text of a variable.
pub(super) const LONGEST: usize = 200;

/// The pieces of a text. None of them ends with a blank unless it must: blanks at the end are not told from padding.
pub(super) fn of(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let longest = cut(rest, LONGEST);
        let whole = longest.len() == rest.len();
        let trimmed = longest.trim_end_matches(' ');
        let piece = if whole || trimmed.is_empty() { longest } else { trimmed };
        rest = &rest[piece.len()..];
        Some(piece)
    })
}

/// The longest beginning of a text that has at most so many bytes.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// Whether a reader would lose blanks.
pub(super) fn loses_blanks(text: &str) -> bool {
    of(text).any(|piece| piece.ends_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_pieces_make_the_text_and_each_fits(text in "[a-zä€ ]{0,900}") {
            let pieces: Vec<_> = of(&text).collect();
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= LONGEST));
            prop_assert_eq!(pieces.concat(), text.clone());
            if !loses_blanks(&text) {
                prop_assert_eq!(pieces.iter().map(|piece| piece.trim_end()).collect::<String>(), text);
            }
        }
    }

    #[test]
    fn a_piece_ends_before_a_blank() {
        let text = format!("{} b", "a".repeat(199));
        assert_eq!(of(&text).collect::<Vec<_>>(), ["a".repeat(199).as_str(), " b"]);
        assert!(loses_blanks("a "));
    }
}
