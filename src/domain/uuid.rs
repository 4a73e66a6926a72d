//! UUIDs (RFC 9562) as other contracts want their ids.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::id::InvalidId;

/// Shown as 32 lower-case hexadecimal digits in five groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(u128);

impl Uuid {
    /// Every id of ours is a UUIDv7.
    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }

    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Version 4 with the first bits of a SHA-256 where others have chance: the same text gives the same id.
    pub fn v4_of(text: &str) -> Self {
        let digest = Sha256::digest(text);
        let (first, _) = digest.split_first_chunk::<16>().expect("SHA-256 has 32 bytes");
        let version_and_variant = (0xf << 76) | (0b11 << 62);
        Self((u128::from_be_bytes(*first) & !version_and_variant) | (0x4 << 76) | (0b10 << 62))
    }
}

/// As it is shown, in digits of either case (RFC 9562, section 4).
impl FromStr for Uuid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let groups: Vec<&str> = text.split('-').collect();
        let is_digits = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) || !groups.iter().all(is_digits) {
            return Err(InvalidId);
        }
        u128::from_str_radix(&groups.concat(), 16).map(Self).map_err(|_| InvalidId)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        f.write_str(&groups.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_back_and_nothing_else_is_one() {
        let text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
        assert_eq!(text.to_uppercase().parse(), text.parse::<Uuid>());
        for wrong in [
            "",
            "017f22e279b07cc398c4dc0c0c07398f",
            "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
            "+17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "017f22e2-79b0-7cc398c4--dc0c0c07398f",
        ] {
            assert!(wrong.parse::<Uuid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_uuid_has_five_groups_and_version_4_keeps_its_two_marks() {
        // The example of RFC 9562, appendix A.6.
        let uuid = Uuid::from_u128(0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f);
        assert_eq!(uuid.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(Uuid::from_u128(1).to_string(), "00000000-0000-0000-0000-000000000001");
        // SHA-256 of "abc" begins with ba7816bf 8f01 cfea 4141 40de5dae2223 (FIPS 180-2, appendix B.1).
        assert_eq!(Uuid::v4_of("abc").to_string(), "ba7816bf-8f01-4fea-8141-40de5dae2223");
    }
}
