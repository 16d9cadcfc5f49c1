//! The one macro for names and ids that are shared strings.

/// Adds `as_str` and `Display` to a newtype of `Arc<str>`; with `, new` also a constructor for texts that need no check.
macro_rules! string_newtype {
    ($name:ident) => {
        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
    ($name:ident, new) => {
        string_newtype!($name);

        impl $name {
            #[must_use]
            pub fn new(text: impl Into<std::sync::Arc<str>>) -> Self {
                Self(text.into())
            }
        }
    };
}
