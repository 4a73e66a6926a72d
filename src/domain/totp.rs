//! Codes of an authenticator app as the second factor: RFC 6238 with SHA-1, six digits and steps of 30 seconds, which is
//! what every app knows.

use std::fmt;

use rand::{Rng, RngExt};
use totp_rs::{Builder, Secret};
use zeroize::Zeroizing;

use super::time::Timestamp;

/// How many steps a phone's clock may be off, in each direction.
const STEPS_OFF_MAX: u16 = 1;
/// RFC 4226, 4: at least 128 bits, 160 recommended.
pub const SECRET_BYTES: usize = 20;

/// The second factor of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Totp {
    pub secret: Zeroizing<[u8; SECRET_BYTES]>,
    /// Whether a code has shown that the app has the secret. Until then it asks for nothing.
    pub is_confirmed: bool,
    /// The step of the last code that was taken: it and those before it are used up.
    pub last_step: i64,
}

impl Totp {
    pub fn generate(chance: &mut impl Rng) -> Self {
        Self { secret: Zeroizing::new(chance.random()), is_confirmed: false, last_step: 0 }
    }

    /// The step of the code, when it is one of now and not used up.
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<i64> {
        let step = self.codes().check(code, seconds(now))?;
        i64::try_from(step).ok().filter(|step| *step > self.last_step)
    }

    /// The code at a moment: what the app shows.
    pub fn code_at(&self, now: Timestamp) -> String {
        self.codes().generate(seconds(now)).to_string()
    }

    fn codes(&self) -> totp_rs::Totp {
        let codes = Builder::new().with_secret(Secret::new_stack(*self.secret)).with_skew(STEPS_OFF_MAX);
        codes.build().expect("the secret is as long as RFC 4226 wants it")
    }

    /// In base32 without padding, as apps take it.
    pub fn secret_text(&self) -> Zeroizing<String> {
        Zeroizing::new(Secret::new_stack(*self.secret).to_base32())
    }

    /// What an app reads from a QR code. `account` is percent-encoded already.
    pub fn url(&self, account: &str) -> Zeroizing<String> {
        let secret = self.secret_text();
        Zeroizing::new(format!("otpauth://totp/Waxwing:{account}?secret={}&issuer=Waxwing", secret.as_str()))
    }
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_seconds()).unwrap_or(0)
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Totp").field("is_confirmed", &self.is_confirmed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totp() -> Totp {
        Totp { secret: Zeroizing::new(*b"12345678901234567890"), is_confirmed: true, last_step: 0 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, the last six of its eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp().code_at(at(seconds)), code);
            assert_eq!(totp().step_of(code, at(seconds)), Some(seconds / 30));
        }
        assert_eq!(totp().secret_text().as_str(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_code_works_a_step_early_and_a_step_late_and_once() {
        let mut totp = totp();
        for (seconds, expected) in
            [(0, false), (29, false), (30, true), (59, true), (60, true), (119, true), (120, false)]
        {
            assert_eq!(totp.step_of(&totp.code_at(at(60)), at(seconds)).is_some(), expected, "{seconds}");
        }
        totp.last_step = totp.step_of(&totp.code_at(at(60)), at(60)).unwrap();
        assert_eq!(totp.step_of(&totp.code_at(at(60)), at(60)), None, "again");
        assert_eq!(totp.step_of(&totp.code_at(at(30)), at(60)), None, "an older one");
        assert!(totp.step_of(&totp.code_at(at(90)), at(60)).is_some());
        for wrong in ["", "28708", "2870820", "abcdef", "+28708", " 28708", "０８１８０４"] {
            assert_eq!(totp.step_of(wrong, at(60)), None);
        }
    }
}
