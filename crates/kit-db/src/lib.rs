//! The database side of the kit: the pool with its role, and database errors as faults.
