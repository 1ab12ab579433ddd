//! Words that Stripe takes from a closed list, such as `month` or `metered`.
//!
//! One macro declares the list once, so that parsing, printing and storing cannot disagree.

/// A value that is one word of a closed list.
pub(crate) trait Choice: Copy + Default + PartialEq + 'static {
    /// Every word with its value, in the order in which errors name them.
    const ALL: &'static [(&'static str, Self)];

    fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, value)| *value == self);
        found.map(|(word, _)| *word).unwrap_or_default()
    }
}

/// Declares an enum whose variants are words of the API; the first one is its default.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $first:ident = $first_word:literal $(, $variant:ident = $word:literal)* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub(crate) enum $name {
            #[default]
            #[serde(rename = $first_word)]
            $first,
            $(#[serde(rename = $word)] $variant,)*
        }

        impl $crate::choice::Choice for $name {
            const ALL: &'static [(&'static str, Self)] =
                &[($first_word, Self::$first) $(, ($word, Self::$variant))*];
        }
    };
}

pub(crate) use choices;
