//! The whole system in one process, on real parts.
