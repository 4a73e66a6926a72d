//! `Accept-Language`: which of our languages a caller wants to read (RFC 9110 section 12.5.4, ranges of RFC 4647).

use poem::http::HeaderValue;

use crate::domain::language::Language;

/// Looked at, over all lines of the header. People list a handful of languages.
const RANGES_MAX: usize = 32;

/// A weight in thousandths.
type Weight = u16;

/// One member of the header that can be read.
struct Range {
    wish: Wish,
    weight: Weight,
}

#[derive(PartialEq, Eq)]
enum Wish {
    Language(Language),
    /// `*`: any that is not named.
    Any,
    /// One that we do not speak.
    Unknown,
}

/// The language with the greatest weight, the first of equal ones. A region means its language (`es-MX`: `es`), `*` the
/// default when it is not named, and what cannot be read means nothing. With no wish that can be met: the default.
pub fn accepted<'a>(fields: impl IntoIterator<Item = &'a HeaderValue>, default: Language) -> Language {
    let texts = fields.into_iter().filter_map(|field| field.to_str().ok());
    let members = texts.flat_map(|text| text.split(',')).take(RANGES_MAX);
    let ranges: Vec<Range> = members.filter_map(read).collect();
    let is_named = |language: Language| ranges.iter().any(|range| range.wish == Wish::Language(language));
    let mut best: Option<(Weight, Language)> = None;
    for Range { wish, weight } in &ranges {
        let language = match wish {
            Wish::Language(language) => Some(*language),
            Wish::Any => [default].into_iter().chain(Language::ALL).find(|language| !is_named(*language)),
            Wish::Unknown => None,
        };
        if let Some(language) = language
            && *weight > best.map_or(0, |(weight, _)| weight)
        {
            best = Some((*weight, language));
        }
    }
    best.map_or(default, |(_, language)| language)
}

/// `es-MX;q=0.8`
fn read(member: &str) -> Option<Range> {
    let (range, weight) = match member.split_once(';') {
        Some((range, parameter)) => (range.trim(), read_weight(parameter.trim())?),
        None => (member.trim(), 1000),
    };
    if range == "*" {
        return Some(Range { wish: Wish::Any, weight });
    }
    let mut subtags = range.split('-');
    let primary = subtags.next().filter(|tag| is_subtag(tag) && tag.bytes().all(|byte| byte.is_ascii_alphabetic()))?;
    if !subtags.all(is_subtag) {
        return None;
    }
    let wish = Language::from_tag(primary).map_or(Wish::Unknown, Wish::Language);
    Some(Range { wish, weight })
}

fn is_subtag(text: &str) -> bool {
    (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `q=0.8`: from 0 to 1, at most three digits behind the point.
fn read_weight(parameter: &str) -> Option<Weight> {
    let text = parameter.strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if digits.len() > 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: Weight = format!("{digits:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language_of(lines: &[&str], default: Language) -> Language {
        let fields: Vec<HeaderValue> =
            lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap()).collect();
        accepted(&fields, default)
    }

    #[test]
    fn the_language_with_the_greatest_weight_is_spoken() {
        for (header, expected) in [
            ("es", "es"),
            ("pt", "pt"),
            ("en", "en"),
            ("ES", "es"),
            ("es-MX", "es"),
            ("pt-BR", "pt"),
            ("pt-br", "pt"),
            ("zh-Hant-TW, es-419", "es"),
            ("es;q=0.5, pt;q=0.8", "pt"),
            ("es;q=0.8, pt;q=0.8", "es"),
            ("fr, es;q=0.1", "es"),
            ("es;q=0.001, pt;q=0.002", "pt"),
            ("es ; q=0.3 , pt ;q=0.4", "pt"),
            ("es;Q=0.3,pt;q=0.2", "es"),
            ("es-MX;q=0.4, pt;q=0.5, es;q=0.6", "es"),
            ("es;q=1.000, pt", "es"),
            ("es;q=1., pt;q=0.", "es"),
            // None of them, and nothing at all.
            ("fr, de", "en"),
            ("", "en"),
            (" , ,", "en"),
            // Not wanted.
            ("es;q=0", "en"),
            ("es;q=0.000, pt;q=0.1", "pt"),
            ("en;q=0", "en"),
        ] {
            assert_eq!(language_of(&[header], Language::English).tag(), expected, "{header:?}");
        }
    }

    #[test]
    fn a_star_is_the_default_or_any_other_that_is_not_named() {
        for (header, default, expected) in [
            ("*", "es", "es"),
            ("fr, *;q=0.1", "pt", "pt"),
            ("es;q=0.5, *", "en", "en"),
            ("es;q=0.5, *;q=0.1", "en", "es"),
            ("en;q=0, *", "en", "es"),
            ("en;q=0.1, *;q=0.2", "en", "es"),
            ("en;q=0.1, es;q=0, *;q=0.2", "en", "pt"),
            ("en, es;q=0.9, pt;q=0.8, *", "pt", "en"),
            ("*;q=0", "pt", "pt"),
        ] {
            let default = Language::from_tag(default).unwrap();
            assert_eq!(language_of(&[header], default).tag(), expected, "{header:?} with {default}");
        }
    }

    #[test]
    fn what_cannot_be_read_means_nothing_and_spoils_nothing() {
        for malformed in [
            "es;q=2",
            "es;q=1.001",
            "es;q=0.1234",
            "es;q=-1",
            "es;q=+1",
            "es;q=",
            "es;q",
            "es;level=1",
            "es;q=0.9;q=0.8",
            "es;q= 0.9",
            "es;q=0.9x",
            "es_MX",
            "es-",
            "-es",
            "es--MX",
            "es-abcdefghi",
            "e s",
            "español",
            "esp",
            "1es",
            "**",
            "*-es",
            ";q=1",
        ] {
            assert_eq!(language_of(&[malformed], Language::English), Language::English, "{malformed:?}");
            let beside = format!("{malformed}, pt;q=0.1");
            let expected = if beside.is_ascii() { Language::Portuguese } else { Language::English };
            assert_eq!(language_of(&[&beside], Language::English), expected, "{beside:?}");
        }
    }

    #[test]
    fn several_lines_are_one_list_and_a_long_one_is_read_up_to_its_limit() {
        assert_eq!(language_of(&["fr, es;q=0.2", "pt;q=0.3"], Language::English), Language::Portuguese);
        assert_eq!(language_of(&[], Language::Spanish), Language::Spanish);
        let within = format!("{}es", "fr,".repeat(RANGES_MAX - 1));
        assert_eq!(language_of(&[&within], Language::English), Language::Spanish);
        let beyond = format!("{}es", "fr,".repeat(RANGES_MAX));
        assert_eq!(language_of(&[&beyond], Language::English), Language::English);
    }
}
