//! Enumerations that the service may extend: known words have a variant, every other word is kept as it came.
//!
//! Words are compared by their letters and digits alone and without case, because Microsoft's pages and services
//! disagree: `InformationalExpectedActivity` is also printed as "Informational, expected activity".

/// Defines an enum with one variant per known word and `Other(String)` for the rest, with serde as a string.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $(
                #[doc = concat!("`", $word, "`")]
                $variant,
            )+
            /// A word that this version does not know, as it came.
            Other(String),
        }

        impl $name {
            /// The word as Microsoft writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                $(if $crate::open_enum::same(word, $word) { return Self::$variant; })+
                Self::Other(word.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                Self::from(word.as_str())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use open_enum;

/// Whether two words differ in nothing but case, blanks and punctuation.
pub(crate) fn same(word: &str, known: &str) -> bool {
    let letters = |text: &str| -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect()
    };
    word.is_ascii() && letters(word) == letters(known)
}

#[cfg(test)]
mod tests {
    use crate::Classification;

    #[test]
    fn a_word_is_known_however_it_is_punctuated() {
        let printed = Classification::from("Informational, expected activity");
        assert_eq!(printed, Classification::InformationalExpectedActivity);
        assert!(matches!(Classification::from("False"), Classification::Other(_)));
        assert!(matches!(Classification::from(""), Classification::Other(_)));
    }
}
