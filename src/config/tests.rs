use super::*;

/// Resolves `sources` (lines `--flag value`, `WAXWING_X=value`, anything else is a line of the file) and shows the
/// rows that are no defaults, or what is wrong.
#[track_caller]
fn check(sources: &str, expected: expect_test::Expect) {
    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }
    let (mut flags, mut environment, mut file) = (vec!["waxwing"], Vec::new(), String::new());
    for line in sources.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once('=') {
            _ if line.starts_with("--") => flags.extend(line.split(' ')),
            Some((variable, text)) if variable.starts_with("WAXWING_") => {
                environment.push((variable.to_owned(), text.to_owned()));
            }
            _ => file.push_str(&format!("{line}\n")),
        }
    }
    let args = <Typed as clap::Parser>::try_parse_from(flags).unwrap().args;
    let shown = match Config::resolve(&args, environment, Some(&file)) {
        Ok(config) => config
            .rows()
            .iter()
            .filter(|row| row.origin != Origin::Default)
            .map(|row| format!("{} = {} ({})\n", row.name, row.value, row.origin))
            .chain(config.unknown_variables.iter().map(|text| format!("{text}\n")))
            .collect::<String>(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn nothing_typed_means_the_documented_defaults() {
    let config = Config::resolve(&Args::default(), [], None).unwrap();
    let shown: String = config.rows().iter().map(|row| format!("{} = {}\n", row.name, row.value)).collect();
    expect_test::expect![[r#"
        data_dir = "./waxwing-data"
        listen = "127.0.0.1:8620"
        dev = false
        allow_http_targets = false
        allow_target_range = []
        allow_target_host = []
        allow_metadata_targets = false
        allow_target_port = []
        refuse_target_port = []
        nat64_prefix = []
        public_url = null
        management_rate = 6
        publish_rate = 1000
        trusted_proxies = []
        language = "en"
        compat = ["marea","agentmessage"]
        domain = []
        tls_cert = null
        tls_key = null
        listen_https = "off"
        listen_http = "off"
        acme_directory = "https://acme-v02.api.letsencrypt.org/directory"
        acme_contact = null
        acme_ca_root = null
        secret_key = "not set"
        admin_key = "not set"
        payload_days = 30
        metadata_days = 90
        free_space_reserve = "max(256 MiB, 2 %)"
        backup_to = "<data_dir>/backups"
        backup_passphrase = "not set"
        s3_endpoint = "Amazon's"
        s3_region = "us-east-1"
        s3_access_key_id = "the role of the machine"
        s3_secret_access_key = "not set"
        otlp_endpoint = "not set"
        log = "pretty"
        log_level = "warn,waxwing=info"
    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    check(
        "--listen 127.0.0.1:1
         WAXWING_LISTEN=127.0.0.1:2
         listen = \"127.0.0.1:3\"",
        expect_test::expect![[r#"
            listen = "127.0.0.1:1" (--listen)
        "#]],
    );
    check(
        "WAXWING_LISTEN=127.0.0.1:2
         listen = \"127.0.0.1:3\"
         management_rate = \"off\"
         publish_rate = 5
         log = \"json\"
         language = \"PT\"",
        expect_test::expect![[r#"
            listen = "127.0.0.1:2" (WAXWING_LISTEN)
            management_rate = "off" (waxwing.toml line 2)
            publish_rate = 5 (waxwing.toml line 3)
            language = "pt" (waxwing.toml line 5)
            log = "json" (waxwing.toml line 4)
        "#]],
    );
}

#[test]
fn lists_are_repeated_flags_commas_or_arrays() {
    check(
        "--allow-target-range 10.1.0.0/16
         --allow-target-range 10.2.0.0/16,fd00:1::/32
         WAXWING_TRUSTED_PROXIES=127.0.0.1, 192.168.0.0/24",
        expect_test::expect![[r#"
            allow_target_range = ["10.1.0.0/16","10.2.0.0/16","fd00:1::/32"] (--allow-target-range)
            trusted_proxies = ["127.0.0.1/32","192.168.0.0/24"] (WAXWING_TRUSTED_PROXIES)
        "#]],
    );
    check(
        r#"trusted_proxies = ["10.0.0.0/8", "::1"]"#,
        expect_test::expect![[r#"
            trusted_proxies = ["10.0.0.0/8","::1/128"] (waxwing.toml line 1)
        "#]],
    );
}

#[test]
fn dev_opens_http_and_this_machine_only() {
    check(
        "--dev
         --allow-target-range 10.1.0.0/16",
        expect_test::expect![[r#"
            dev = true (--dev)
            allow_http_targets = true (--dev)
            allow_target_range = ["127.0.0.0/8","::1/128","10.1.0.0/16"] (--allow-target-range)
            log_level = "warn" (--dev)
        "#]],
    );
}

#[test]
fn where_deliveries_may_go_is_said_in_hosts_ports_and_prefixes() {
    check(
        "--allow-target-host Hooks.Internal
         --allow-target-host *.corp.example
         --allow-metadata-targets
         --allow-target-port 81,8500
         WAXWING_NAT64_PREFIX=64:ff9b:1:abcd::/64
         refuse_target_port = [8080, \"9000\"]
         public_url = \"https://hooks.example.com\"",
        expect_test::expect![[r#"
            allow_target_host = ["hooks.internal","*.corp.example"] (--allow-target-host)
            allow_metadata_targets = true (--allow-metadata-targets)
            allow_target_port = [81,8500] (--allow-target-port)
            refuse_target_port = [8080,9000] (waxwing.toml line 1)
            nat64_prefix = ["64:ff9b:1:abcd::/64"] (WAXWING_NAT64_PREFIX)
            public_url = "https://hooks.example.com" (waxwing.toml line 2)
        "#]],
    );
    check(
        "--allow-target-host 10.0.0.1
         --allow-target-host *.com
         --allow-target-port 0
         --public-url hooks.example.com
         WAXWING_NAT64_PREFIX=64:ff9b::/72
         refuse_target_port = 65536",
        expect_test::expect![[r#"
            --allow-target-host: `10.0.0.1`: a host is a name like hooks.example.internal, or *.example.internal for all names below it
            --allow-target-port: `0` is not a port; give a number from 1 to 65535
            waxwing.toml line 1, refuse_target_port: `65536` is not a port; give a number from 1 to 65535
            WAXWING_NAT64_PREFIX: `64:ff9b::/72`: a NAT64 prefix is one of IPv6 with a length of 32, 40, 48, 56, 64 or 96
            --public-url: `hooks.example.com` is not an http or https URL without user, query and fragment, at most 512 characters; write it like https://hooks.example.com
        "#]],
    );
}

#[test]
fn secrets_are_not_shown() {
    check(
        "WAXWING_SECRET_KEY=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
         WAXWING_ADMIN_KEY=a-text-of-thirty-two-characters!,and=more",
        expect_test::expect![[r#"
            secret_key = "set" (WAXWING_SECRET_KEY)
            admin_key = "set" (WAXWING_ADMIN_KEY)
        "#]],
    );
}

#[test]
fn everything_that_is_wrong_is_named_with_the_place_to_change() {
    check(
        "--management-rate fast
         WAXWING_LISTEN=8620
         WAXWING_ADMIN_KEY=too-short
         WAXWING_SECRET_KEY=abc
         WAXWING_DEV=perhaps
         WAXWING_LANGUAGE=es-MX
         WAXWING_LOG_LEVEL=waxwing=loud
         # a comment
         listn = \"127.0.0.1:1\"
         colour = \"blue\"
         trusted_proxies = \"10.0.0.0/99\"
         payload_days = 0
         free_space_reserve = \"lots\"
         publish_rate = { fast = true }",
        expect_test::expect![[r#"
            waxwing.toml line 3: `colour` is not a setting; known are data_dir, listen, dev, allow_http_targets, allow_target_range, allow_target_host, allow_metadata_targets, allow_target_port, refuse_target_port, nat64_prefix, public_url, management_rate, publish_rate, trusted_proxies, language, compat, domain, tls_cert, tls_key, listen_https, listen_http, acme_directory, acme_contact, acme_ca_root, secret_key, admin_key, payload_days, metadata_days, free_space_reserve, backup_to, backup_passphrase, s3_endpoint, s3_region, s3_access_key_id, s3_secret_access_key, otlp_endpoint, log, log_level
            waxwing.toml line 2: `listn` is not a setting; did you mean `listen`?
            waxwing.toml line 7, publish_rate: takes a text, a number, true, false or a list of texts
            WAXWING_LISTEN: `8620` is not an address; write it like 127.0.0.1:8620, or 0.0.0.0:8620 for every interface
            WAXWING_DEV: `perhaps` is neither true nor false
            --management-rate: `fast` is not a rate; give 1 to 1000000 per second, or off
            waxwing.toml line 4, trusted_proxies: `10.0.0.0/99` is not an address range; write it like 10.1.0.0/16 or fd00:1::/32
            WAXWING_LANGUAGE: `es-MX` is not a language that errors are told in; give en, es or pt
            WAXWING_SECRET_KEY: is not 64 hexadecimal characters (32 bytes); `openssl rand -hex 32` makes one
            WAXWING_ADMIN_KEY: has 9 characters; 32 to 128 are wanted. `openssl rand -hex 32` makes a good one
            waxwing.toml line 5, payload_days: `0` is not a number of days from 1 to 36500
            waxwing.toml line 6, free_space_reserve: `lots` is not a size; write it like 268435456, 512 MiB or 2 GiB
            WAXWING_LOG_LEVEL: `waxwing=loud` is not a log level (error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5); give error, warn, info, debug or trace
        "#]],
    );
    check(
        "listen = ",
        expect_test::expect![[r#"
            waxwing.toml line 1: string values must be quoted, expected literal string
        "#]],
    );
    check(
        "payload_days = 91",
        expect_test::expect![[r#"
            waxwing.toml line 1, payload_days: is more than metadata_days: a payload cannot outlive its event
        "#]],
    );
}

#[test]
fn an_admin_key_has_32_to_128_visible_characters() {
    let read = |text: &str| read::admin_key(&[text.to_owned()]).is_ok();
    for (text, expected) in [
        ("", false),
        (&"a".repeat(31), false),
        (&"a".repeat(32), true),
        (&"~".repeat(128), true),
        (&"a".repeat(129), false),
        (&format!("{} ", "a".repeat(40)), false),
        (&format!("{}\n", "a".repeat(40)), false),
        (&format!("{}, {}", "a".repeat(20), "a".repeat(20)), false),
        (&"é".repeat(40), false),
    ] {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn a_misspelt_variable_is_mentioned() {
    check(
        "WAXWING_LISTN=127.0.0.1:1
         WAXWING_URL=http://127.0.0.1:8620",
        expect_test::expect![[r#"
            WAXWING_LISTN means nothing; did you mean WAXWING_LISTEN?
        "#]],
    );
}

#[test]
fn a_domain_or_a_certificate_turns_https_on_at_the_usual_ports() {
    let of = |flags: &[&str]| {
        let file = flags.join("\n");
        let https = Config::resolve(&Args::default(), [], Some(&file)).unwrap().https;
        (https.listen_https.value, https.listen_http.value)
    };
    let at = |text: &str| Some(text.parse().unwrap());
    assert_eq!(of(&[]), (None, None));
    assert_eq!(of(&["domain = 'hooks.example.com'"]), (at("[::]:443"), at("[::]:80")));
    let own = ["tls_cert = 'a.pem'", "tls_key = 'b.pem'"];
    assert_eq!(of(&own), (at("[::]:443"), at("[::]:80")));
    assert_eq!(of(&[own[0], own[1], "listen_http = 'off'"]), (at("[::]:443"), None));
    assert_eq!(of(&[own[0], own[1], "listen_https = '10.0.0.1:8443'"]), (at("10.0.0.1:8443"), at("[::]:80")));
}

#[test]
fn an_address_that_is_shown_holds_no_secret_and_the_error_does_not_repeat_it() {
    for read in [read::endpoint, read::collector] {
        for text in ["https://user:hunter2@example.com", "https://user@example.com", "https://example.com/?key=hunter2"]
        {
            let refused = read(&[text.to_owned()]).unwrap_err();
            assert!(refused.contains("leave it out") && !refused.contains("hunter2"), "{refused}");
        }
        assert!(read(&["https://example.com:9000/path".to_owned()]).is_ok());
    }
}

#[test]
fn domains_are_names_that_an_authority_makes_certificates_for() {
    let read = |text: &str| read::domains(&[text.to_owned()]).map(|names| names.join(" "));
    for (text, expected) in [
        ("hooks.example.com", Ok("hooks.example.com")),
        (" Hooks.Example.com , b.example.com,hooks.example.com", Ok("hooks.example.com b.example.com")),
        ("b\u{fc}cher.example", Ok("xn--bcher-kva.example")),
        ("localhost", Err(())),
        ("*.example.com", Err(())),
        ("hooks.example.com.", Err(())),
        ("hooks.example.com:443", Err(())),
        ("https://hooks.example.com", Err(())),
        ("../../etc/passwd", Err(())),
        ("a..b", Err(())),
        ("203.0.113.9", Err(())),
        ("[::1]", Err(())),
    ] {
        assert_eq!(read(text).as_deref().map_err(|_| ()), expected, "{text}");
    }
    let many: Vec<String> = (0..21).map(|n| format!("a{n}.example.com")).collect();
    assert!(read(&many.join(",")).is_err());
}
