//! Organizations, their link to Stripe, and the admins.
