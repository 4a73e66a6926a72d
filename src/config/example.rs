//! A `waxwing.toml` with every setting: what it is, how else it can be given, and its default.

use std::fmt::Write;

use serde_json::Value;

use super::typed::{SETTINGS, variable_of};
use super::{Args, Config, FILE_NAME, Row};

/// Settings that are not set unless somebody sets them, each with how that could look. All others have their default in the
/// file.
pub(super) const UNSET: [(&str, &str); 17] = [
    ("secret_key", r#""64 hexadecimal characters""#),
    ("admin_key", r#""32 to 128 visible characters""#),
    ("free_space_reserve", r#""2 GiB""#),
    ("public_url", r#""https://hooks.example.com""#),
    ("tls_cert", r#""/etc/ssl/hooks.example.com.pem""#),
    ("tls_key", r#""/etc/ssl/private/hooks.example.com.key""#),
    ("listen_https", r#""0.0.0.0:443""#),
    ("listen_http", r#""0.0.0.0:80""#),
    ("acme_directory", r#""https://acme-staging-v02.api.letsencrypt.org/directory""#),
    ("acme_contact", r#""ops@example.com""#),
    ("acme_ca_root", r#""/etc/ssl/our-authority.pem""#),
    ("backup_to", r#""s3://a-bucket/waxwing""#),
    ("backup_passphrase", r#""several words""#),
    ("s3_endpoint", r#""https://storage.example.com""#),
    ("s3_access_key_id", r#""AKIAEXAMPLE""#),
    ("s3_secret_access_key", r#""its secret""#),
    ("otlp_endpoint", r#""http://127.0.0.1:4318""#),
];

/// Changes nothing as it is: each setting is a comment, which begins with `#` and no space.
pub fn example() -> String {
    let defaults = Config::resolve(&Args::default(), [], None).expect("the defaults fit together").rows();
    let mut text = format!(
        "# The configuration of Waxwing, read from {FILE_NAME} in the working directory. Take away the # in front of what\n\
         # you change. A flag wins over a variable, a variable over this file; `waxwing config` shows what holds.\n"
    );
    for Row { name, description, value, origin: _ } in defaults {
        let flag = SETTINGS.iter().find(|(known, _)| *known == name).and_then(|(_, flag)| *flag);
        let elsewhere: Vec<String> = flag.into_iter().map(str::to_owned).chain([variable_of(name)]).collect();
        let line = match UNSET.iter().find(|(known, _)| *known == name) {
            Some((_, looks_like)) => format!("# Not set by default; {name} = {looks_like}"),
            None => format!("#{name} = {}", as_toml(&value)),
        };
        _ = write!(text, "\n# {description}\n# Or {}\n{line}\n", elsewhere.join(", "));
    }
    text
}

/// Texts, numbers, true and false, and lists of them are written alike in JSON and TOML.
fn as_toml(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(as_toml).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;

    fn resolve(file: &str) -> Vec<Row> {
        let config = Config::resolve(&Args::default(), [], Some(file));
        config.unwrap_or_else(|errors| panic!("{errors:?} in:\n{file}")).rows()
    }

    #[test]
    fn every_setting_has_a_line_and_with_all_of_them_everything_is_as_without() {
        let uncommented: String = example()
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .fold(String::new(), |all, line| all + line + "\n");
        let (with, without) = (resolve(&uncommented), resolve(""));
        assert_eq!(with.len(), SETTINGS.len());
        for (with, without) in with.iter().zip(&without) {
            assert_eq!(with.value, without.value, "{}", with.name);
            let is_unset = UNSET.iter().any(|(name, _)| *name == with.name);
            assert_eq!(with.origin == Origin::Default, is_unset, "{} is in {uncommented}", with.name);
        }
    }

    #[test]
    fn as_it_is_it_changes_nothing() {
        assert!(resolve(&example()).iter().all(|row| row.origin == Origin::Default));
    }

    #[test]
    fn the_file_in_the_documentation_is_this_one() {
        expect_test::expect_file!["../../docs/waxwing.toml"].assert_eq(&example());
    }
}
