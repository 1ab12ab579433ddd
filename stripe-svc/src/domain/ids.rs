//! Names of things: ours are UUIDs, Stripe's are texts.

use std::fmt;

use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

uuid_id!(
    /// org-svc's stored link operation.
    OperationId
);
uuid_id!(
    /// An organization.
    OrganizationId
);
uuid_id!(
    /// A row of `stripe_calls`.
    CallId
);
text_id!(
    /// A customer in Stripe.
    CustomerId
);
text_id!(
    /// A subscription in Stripe.
    SubscriptionId
);
text_id!(
    /// An invoice in Stripe.
    InvoiceId
);
text_id!(
    /// A price in Stripe.
    PriceId
);
text_id!(
    /// A meter in Stripe.
    MeterId
);
text_id!(
    /// An event that Stripe sent.
    EventId
);
text_id!(
    /// What Stripe tells two meter events apart by.
    EventIdentifier
);
text_id!(
    /// What Stripe tells two attempts of one request from two requests by.
    IdempotencyKey
);
