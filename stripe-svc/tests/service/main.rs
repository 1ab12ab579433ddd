//! The service as its callers see it: real gRPC, a real database, and the simulator over HTTP.

#[cfg(test)]
mod access;
#[cfg(test)]
mod adopt;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod customers;
mod feed;
#[cfg(test)]
mod invoices;
#[cfg(test)]
mod meter_events;
#[cfg(test)]
mod pace;
mod provision;
#[cfg(test)]
mod support;
mod sweep;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod usage_summaries;
#[cfg(test)]
mod webhooks;
