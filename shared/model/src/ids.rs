//! Identifiers as types: each is checked once, where it enters, and can then be trusted everywhere.
//!
//! No identifier is ever derived from a name or an address: a device is its 40-hex machine id or nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// A text that is not the identifier that it should be. `Display` quotes the text, shortened and made safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {expected}", crate::one_line(.found, 80))]
pub struct BadId {
    expected: &'static str,
    found: String,
}

/// Defines a newtype over a checked string: `FromStr`, `Display`, and serde that checks again when reading.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let check: fn(&str) -> Option<String> = $check;
                check(text)
                    .map(Self)
                    .ok_or_else(|| BadId { expected: $expected, found: text.to_owned() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Printable ASCII without blanks, up to `max` characters: what an opaque identifier may look like.
fn opaque(text: &str, max: usize) -> Option<String> {
    let good = !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| text.to_owned())
}

fn guid(text: &str) -> Option<String> {
    let dashes = [8, 13, 18, 23];
    let good = text.len() == 36
        && text.bytes().enumerate().all(
            |(i, b)| {
                if dashes.contains(&i) { b == b'-' } else { b.is_ascii_hexdigit() }
            },
        );
    good.then(|| text.to_ascii_lowercase())
}

fn forty_hex(text: &str) -> Option<String> {
    let good = text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| text.to_ascii_lowercase())
}

id!(
    /// An Entra tenant: a GUID, kept in lower case.
    TenantId, "a tenant id (a GUID)", guid
);
id!(
    /// An alert's id as Defender gives it, such as `da637308392288907382_-880718168`. Opaque: never parsed.
    AlertId, "an alert id", |text| opaque(text, 200)
);
id!(
    /// A device's machine id: 40 hexadecimal digits, kept in lower case. The only name by which a device is
    /// ever acted upon. Source: Microsoft's "Machine resource type" page.
    DeviceId, "a machine id (40 hexadecimal digits)", forty_hex
);
id!(
    /// A machine action's id: a GUID in Microsoft's pages, though one example shows 40 hexadecimal digits,
    /// so it is kept as an opaque word.
    ActionId, "a machine action id", |text| opaque(text, 100)
);
id!(
    /// A message's id: deterministic, so that producing a message twice yields the same id.
    MessageId, "a message id", |text| opaque(text, 200)
);
id!(
    /// One claim on a device: names the attempt to cut it off. Stands as `[cordon:<claim>]` in the comment of
    /// the machine action, by which Cordon finds its own request again.
    ClaimId, "a claim id", |text| opaque(text, 60)
);

/// The first 16 bytes of a SHA-256 over the parts, as hexadecimal digits. The parts are length-prefixed, so
/// that no two lists of parts give the same input.
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

impl MessageId {
    /// The id of a message of this kind about these things.
    pub fn of(kind: &str, parts: &[&str]) -> MessageId {
        MessageId(format!("{kind}-{}", digest(parts)))
    }
}

impl ClaimId {
    /// The claim on a device in a generation that began at `claimed_at`, asked for the `attempt`-th time.
    /// Deterministic, so that a successor that takes a claim over knows what its predecessor wrote into the comment.
    pub fn of(
        tenant: &TenantId,
        device: &DeviceId,
        generation: u32,
        attempt: u32,
        claimed_at: Timestamp,
    ) -> ClaimId {
        let (generation, attempt) = (generation.to_string(), attempt.to_string());
        let parts = [tenant.as_str(), device.as_str(), &generation, &attempt, &claimed_at.to_string()];
        ClaimId(digest(&parts))
    }

    /// What every marker begins with.
    pub(crate) const MARK: &str = "[cordon:";

    /// The marker that stands in a machine action's comment.
    pub fn marker(&self) -> String {
        format!("{}{}]", ClaimId::MARK, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_forty_hex_digits_and_nothing_else() {
        let good = "1E5BC9D7E413DDD7902C2932E418702B84D0CC07";
        assert_eq!(good.parse::<DeviceId>().unwrap().as_str(), good.to_lowercase());
        for bad in [
            "",
            "pc1",
            "1e5bc9d7e413ddd7902c2932e418702b",
            "1e5bc9d7e413ddd7902c2932e418702b84d0cc0g",
            "../isolate",
        ] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_alert_id_with_a_blank_or_a_line_break_is_refused() {
        assert!("da637308392288907382_-880718168".parse::<AlertId>().is_ok());
        for bad in ["", "a b", "a\nb", "\u{202e}x"] {
            assert!(bad.parse::<AlertId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_bad_id_is_quoted_without_its_control_characters() {
        let error = "x\u{1b}[31m".parse::<DeviceId>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    #[test]
    fn digests_do_not_run_together() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
