//! The simulator over real HTTP. Every answer of `/v1` is also checked against Stripe's own
//! specification where that is at hand; see `spec`.

#[cfg(test)]
mod events;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod invoices;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod meter_errors;
#[cfg(test)]
mod metering;
#[cfg(test)]
mod months;
#[cfg(test)]
mod official_sdk;
#[cfg(test)]
mod parameters;
#[cfg(test)]
mod portal;
#[cfg(test)]
mod prices;
#[cfg(test)]
mod process;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod spec;
#[cfg(test)]
mod state;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod support;
#[cfg(test)]
mod test_clocks;
#[cfg(test)]
mod webhooks;
