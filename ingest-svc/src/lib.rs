//! Usage reports: recorded, deduplicated and delivered to stripe-svc.
