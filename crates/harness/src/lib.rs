//! The whole system in one process, on real parts, for end-to-end tests.
