//! The labels by which a counter is told apart. Each has a fixed set of values: what a peer sends
//! never adds one, since each is a time series that is stored forever.
//!
//! Owns what a label is; which there are, and what each is derived from, is left to
//! [`end`](crate::server::end).

/// A value with a label.
pub(in crate::server) trait Label: Copy + 'static {
    /// The labels, of letters, digits and `_`.
    const NAMES: &'static [&'static str];

    /// The position of its label.
    fn index(self) -> usize;
}

/// Defines an enum whose variants have a label each.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident: $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Label for $name {
            const NAMES: &'static [&'static str] = &[$($text,)+];

            fn index(self) -> usize {
                self as usize
            }
        }

        impl $name {
            /// The name in JSON and Prometheus.
            #[must_use]
            pub fn name(self) -> &'static str {
                Self::NAMES[self.index()]
            }
        }
    };
}

pub(in crate::server) use labels;
