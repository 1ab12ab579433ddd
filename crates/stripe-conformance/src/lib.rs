//! What we rely on of Stripe, as assertions that run against the simulator and against Stripe's own
//! test mode: the simulator must not be its own judge.
//!
//! Where it matters how we ask and how we read, an assertion goes through stripe-svc's own client;
//! the rest is plain HTTP. Everything that is made carries the run's id, lives on test clocks of the
//! run or is noted down, and is deleted in the end; the meter, the product and the prices are found
//! by their names or made once, and stay.
//!
//! Architecture invariant: the judgement knows nothing of the simulator. It is started, and asked over
//! HTTP like Stripe; its control plane is used only by assertions that say that they are for it
//! alone.
//!
//! Architecture invariant: no live key is ever used.

mod account;
mod assertions;
mod checks;
mod run;
mod scene;
mod target;

pub use assertions::{ASSERTIONS, Assertion, Runs};
pub use run::{Verdict, run};
pub use target::Target;
