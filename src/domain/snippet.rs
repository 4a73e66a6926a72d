//! Programs that verify a delivery, for the receiver to copy: one template a language, filled from the profile's recipe.

use super::header::HeaderPrefix;
use super::profile::Profile;
use super::profile::recipe::{Encoding, KeyForm, TimePlace};
use super::profile::verify::TOLERANCE_DEFAULT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Node,
    Python,
    Go,
    Ruby,
    Php,
    Rust,
    CSharp,
    Java,
}

impl Language {
    pub const ALL: [Self; 8] =
        [Self::Node, Self::Python, Self::Go, Self::Ruby, Self::Php, Self::Rust, Self::CSharp, Self::Java];

    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Go => "go",
            Self::Ruby => "ruby",
            Self::Php => "php",
            Self::Rust => "rust",
            Self::CSharp => "csharp",
            Self::Java => "java",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.name() == name)
    }

    /// A line that begins with `[condition]` is kept, without it, when the condition holds: see [`holds`]. `«name»`
    /// stands for a value: see [`value`].
    fn template(self) -> &'static str {
        match self {
            Self::Node => include_str!("snippet/node.txt"),
            Self::Python => include_str!("snippet/python.txt"),
            Self::Go => include_str!("snippet/go.txt"),
            Self::Ruby => include_str!("snippet/ruby.txt"),
            Self::Php => include_str!("snippet/php.txt"),
            Self::Rust => include_str!("snippet/rust.txt"),
            Self::CSharp => include_str!("snippet/csharp.txt"),
            Self::Java => include_str!("snippet/java.txt"),
        }
    }
}

/// The program in `language` that verifies deliveries of `profile`. `prefix` is the tenant's brand part of the names of
/// headers, if it has one.
pub fn snippet(language: Language, profile: Profile, prefix: Option<&HeaderPrefix>) -> String {
    let mut program = String::new();
    for line in language.template().lines() {
        let line = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((condition, line)) if holds(condition, profile) => line,
            Some(_) => continue,
            None => line,
        };
        let mut parts = line.split(['«', '»']);
        program.push_str(parts.next().unwrap_or_default());
        while let (Some(name), Some(text)) = (parts.next(), parts.next()) {
            program.push_str(&value(name, profile, prefix));
            program.push_str(text);
        }
        program.push('\n');
    }
    program
}

fn holds(condition: &str, profile: Profile) -> bool {
    let recipe = profile.recipe();
    let is_list = matches!(recipe.time, TimePlace::SecondsHeader(_));
    let is_rfc3339 = matches!(recipe.time, TimePlace::Rfc3339Header(_));
    let is_pair = recipe.time == TimePlace::InSignature;
    let is_key_base64 = matches!(recipe.key, KeyForm::Base64 { .. });
    let is_key_prefixed = matches!(recipe.key, KeyForm::Base64 { prefix } if !prefix.is_empty());
    let (is_key_hex, is_key_text) = (recipe.key == KeyForm::Hex, recipe.key == KeyForm::Text);
    let (is_mac_hex, is_mac_base64) = (recipe.encoding == Encoding::Hex, recipe.encoding == Encoding::Base64);
    match condition {
        "id" => recipe.id_header.is_some(),
        "no_id" => recipe.id_header.is_none(),
        "list" => is_list,
        "single" => is_rfc3339,
        "pair" => is_pair,
        "own_time" => !is_pair,
        "seconds" => !is_rfc3339,
        "rfc3339" => is_rfc3339,
        "key_text" => is_key_text,
        "key_hex" => is_key_hex,
        "key_base64" => is_key_base64 && !is_key_prefixed,
        "key_prefixed" => is_key_prefixed,
        "key_decoded" => !is_key_text,
        "mac_hex" => is_mac_hex,
        "mac_base64" => is_mac_base64,
        "uses_hex" => is_key_hex || is_mac_hex,
        "uses_base64" => is_key_base64 || is_mac_base64,
        "uses_strings" => is_list || is_pair || is_key_prefixed,
        _ => unreachable!("the templates are known, and a test writes them all"),
    }
}

fn value(name: &str, profile: Profile, prefix: Option<&HeaderPrefix>) -> String {
    let recipe = profile.recipe();
    let header = |header| profile.header_name(header, prefix);
    match name {
        "profile" => profile.name().to_owned(),
        "secret" => profile.secret_expected().to_owned(),
        "tolerance" => TOLERANCE_DEFAULT.as_secs().to_string(),
        "id_header" => recipe.id_header.map(header).unwrap_or_default(),
        "time_header" => match recipe.time {
            TimePlace::SecondsHeader(name) | TimePlace::Rfc3339Header(name) => header(name),
            TimePlace::InSignature => header(recipe.signature_header),
        },
        "signature_header" => header(recipe.signature_header),
        "signature_prefix" => recipe.signature_prefix.to_owned(),
        // All of the languages write it like Rust does.
        "separator" => recipe.separator.escape_default().to_string(),
        "key_prefix" => match recipe.key {
            KeyForm::Base64 { prefix } => prefix.to_owned(),
            KeyForm::Text | KeyForm::Hex => String::new(),
        },
        "encoding" => match recipe.encoding {
            Encoding::Hex => "hex".to_owned(),
            Encoding::Base64 => "base64".to_owned(),
        },
        "crates" => {
            let crates = [
                ("base64", holds("uses_base64", profile)),
                ("hex", holds("uses_hex", profile)),
                ("hmac", true),
                ("sha2", true),
                ("subtle", true),
                ("time (features formatting, parsing)", holds("rfc3339", profile)),
            ];
            crates.into_iter().filter(|(_, is_used)| *is_used).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
        }
        _ => unreachable!("the templates are known, and a test writes them all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_whole_and_names_the_headers_of_its_profile_and_tenant() {
        let acme: HeaderPrefix = "X-Acme-".parse().unwrap();
        for profile in Profile::ALL {
            for language in Language::ALL {
                for prefix in [None, Some(&acme)] {
                    let program = snippet(language, profile, prefix);
                    let place = format!("{} for {}:\n{program}", language.name(), profile.name());
                    let header = profile.header_name(profile.recipe().signature_header, prefix);
                    assert!(
                        program.contains(&format!("\"{header}\"")) || program.contains(&format!("'{header}'")),
                        "{place}"
                    );
                    assert!(!program.contains(['«', '»']), "{place}");
                    assert!(program.lines().all(|line| !line.starts_with('[')), "{place}");
                    assert!(program.contains(profile.recipe().signature_prefix), "{place}");
                }
            }
        }
    }

    #[test]
    fn languages_are_found_by_their_names() {
        for language in Language::ALL {
            assert_eq!(Language::from_name(language.name()), Some(language));
        }
        assert_eq!(Language::from_name("cobol"), None);
    }
}
