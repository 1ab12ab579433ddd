//! The gRPC face: parses what comes in, all of it before anything is done, and writes what goes out.
//!
//! Architecture invariant: no decision is made here but whether a request can be read and whether an
//! admin vouches for it.

mod admin_session_service;
mod api_key_service;
mod audit_service;
mod door;
mod messages;
mod notice_service;
mod organization_service;
mod selection;

pub(crate) use admin_session_service::AdminSessions;
pub(crate) use api_key_service::ApiKeys;
pub(crate) use audit_service::Audit;
pub(crate) use notice_service::Notices;
pub(crate) use organization_service::OrganizationsService;
