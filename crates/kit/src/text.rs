//! Texts that strangers write and people read: what cannot be seen must not make two of them differ,
//! or turn around how they read.

use std::borrow::Cow;

use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

/// The accents of Latin, Greek and Cyrillic letters. The marks of other scripts make other letters.
const COMBINING_ACCENTS: std::ops::RangeInclusive<char> = '\u{300}'..='\u{36f}';
const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// One line of text as a person sees it, without what is around it: blanks, and characters that
/// cannot be seen (Unicode's category Cf: zero-width and soft hyphens, marks and overrides of the
/// direction, tags). Of these a joiner or non-joiner stays where it does something, which is between
/// two characters of a script or an emoji; so do the few that can be seen, such as Arabic's number
/// signs.
///
/// # Errors
/// A control character, or a separator of lines or paragraphs: then it is no line of text.
pub fn visible_line(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let is_control = |c: char| {
        matches!(
            get_general_category(c),
            GeneralCategory::Control
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
    };
    let text = text.trim();
    if text.chars().any(is_control) {
        return Err("It has control characters.");
    }
    if !text.chars().any(is_invisible) {
        return Ok(Cow::Borrowed(text));
    }
    let seen: Vec<char> = text.chars().filter(|c| !is_stray(*c)).collect();
    let neighbour = |at: Option<usize>| at.and_then(|at| seen.get(at)).copied();
    let in_its_place = |at: usize| {
        neighbour(at.checked_sub(1)).is_some_and(is_joined)
            && neighbour(at.checked_add(1)).is_some_and(is_joined)
    };
    let kept = seen.iter().enumerate();
    let kept = kept.filter(|(at, c)| !is_joiner(**c) || in_its_place(*at));
    let kept: String = kept.map(|(_, c)| *c).collect();
    Ok(Cow::Owned(kept.trim().to_owned()))
}

/// Whether the text holds anything that [`visible_line`] would take out, or refuse.
pub fn has_invisible(text: &str) -> bool {
    visible_line(text).map_or(true, |line| line != text)
}

/// The normal form in which texts are searched and compared: Unicode's compatibility form (NFKC), without
/// case, accents on letters, and the long and final forms of letters. It is never shown.
pub fn search_form(text: &str) -> String {
    let folded = text.nfkd().flat_map(char::to_lowercase);
    let mut form = String::with_capacity(text.len());
    for c in folded.filter(|c| !COMBINING_ACCENTS.contains(c)) {
        match c {
            'ß' => form.push_str("ss"),
            'ς' => form.push('σ'),
            'ı' => form.push('i'),
            'ø' => form.push('o'),
            'ł' => form.push('l'),
            'æ' => form.push_str("ae"),
            'œ' => form.push_str("oe"),
            c => form.push(c),
        }
    }
    form.nfkc().collect()
}

/// Whether two texts look the same to a reader: they are equal in Unicode's canonical form (NFC).
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || one.nfc().eq(other.nfc())
}

fn is_joiner(c: char) -> bool {
    matches!(c, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER)
}

fn is_invisible(c: char) -> bool {
    get_general_category(c) == GeneralCategory::Format && !is_seen_though_format(c)
}

fn is_stray(c: char) -> bool {
    is_invisible(c) && !is_joiner(c)
}

/// Unicode's `Prepended_Concatenation_Mark`: of the category Cf, and drawn.
fn is_seen_though_format(c: char) -> bool {
    matches!(
        c,
        '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}'
    )
}

/// Whether a joiner beside this character can change how it is drawn: Latin letters, digits and
/// blanks have no joined forms, so that there it could only hide.
fn is_joined(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && !is_joiner(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_taken_out() {
        for (text, seen) in [
            (" Acme Corp ", "Acme Corp"),
            ("Acme\u{200b} Corp", "Acme Corp"),
            ("\u{feff}Acme", "Acme"),
            ("\u{200e} Acme", "Acme"),
            ("Ac\u{ad}me", "Acme"),
            ("Acme\u{202e}proC", "AcmeproC"),
            ("Ac\u{200d}me", "Acme"),
            ("Acme \u{200c}\u{200c}", "Acme"),
            ("\u{200d}", ""),
            ("\u{e0041}Acme", "Acme"),
            // Persian, Devanagari and a family: here a joiner does something.
            (
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            ),
            (
                "\u{915}\u{94d}\u{200d}\u{937}",
                "\u{915}\u{94d}\u{200d}\u{937}",
            ),
            ("\u{1f468}\u{200d}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}"),
            ("\u{645}\u{200c}\u{200c}\u{62e}", "\u{645}\u{62e}"),
            ("\u{600}1", "\u{600}1"),
            (
                "Käthe & Søn \u{2014} \u{65e5}\u{672c}",
                "Käthe & Søn \u{2014} \u{65e5}\u{672c}",
            ),
        ] {
            assert_eq!(visible_line(text).as_deref(), Ok(seen), "{text:?}");
            // Once more changes nothing: two services may each look.
            assert_eq!(visible_line(seen).as_deref(), Ok(seen), "{text:?}");
            assert_eq!(has_invisible(text), text != seen, "{text:?}");
        }
    }

    #[test]
    fn a_search_finds_what_a_person_takes_for_the_same() {
        for (text, form) in [
            ("Société Générale", "societe generale"),
            ("Socie\u{301}te\u{301}", "societe"),
            ("SOCIÉTÉ", "societe"),
            ("Ａｃｍｅ", "acme"),
            ("ﬁne", "fine"),
            ("Straße", "strasse"),
            ("STRASSE", "strasse"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδος", "οδοσ"),
            ("İstanbul", "istanbul"),
            ("Søren", "soren"),
            ("Œuvre", "oeuvre"),
            ("ｶﾞ", "ガ"),
            ("Москва", "москва"),
            ("50%_\\x", "50%_\\x"),
            ("", ""),
        ] {
            assert_eq!(search_form(text), form, "{text}");
            // Once more changes nothing.
            assert_eq!(search_form(form), form, "{text}");
        }
    }

    #[test]
    fn the_same_letters_are_the_same_however_they_are_put_together() {
        assert!(is_same("é", "e\u{301}") && is_same("a", "a"));
        for (one, other) in [("é", "e"), ("A", "a"), ("Ａ", "A"), ("a", "ab")] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_breaks_the_line_is_refused() {
        for text in [
            "a\nb",
            "a\u{7}b",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{0}",
        ] {
            assert!(
                visible_line(text).is_err() && has_invisible(text),
                "{text:?}"
            );
        }
    }
}
