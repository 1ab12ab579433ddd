//! The only door to Stripe: every call is stored before it is sent.
