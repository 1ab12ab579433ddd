//! The dashboard: pages that the server renders, in French and English, and that need no JavaScript.
//!
//! The browser gets one file of script of ours, which makes lists follow what is typed and exchanges
//! parts of pages. It fetches the same addresses as a person would, and shows what they answer.
//!
//! Architecture invariant: whatever a stranger named is escaped: templates escape everything, and
//! none marks anything as safe. The pages' policy lets a browser run nothing but that one file,
//! should that ever fail.
//! Architecture invariant: a page changes nothing without a form's token, beside the origin rule.

mod assets;
mod audit;
mod cancel;
mod chart;
mod export;
mod file;
mod form;
mod held;
mod held_groups;
mod i18n;
mod ignore;
mod intake;
mod invoices;
mod keys;
mod labels;
mod link;
mod list;
mod money;
mod notices;
mod organization;
mod overview;
mod page;
mod portal;
mod preferences;
mod reconciliation;
mod refused;
mod row;
mod sign_in;
mod sign_out;
mod signing_key;
mod subscription;
mod ui;
mod unlink;
mod webhooks;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};

use crate::web::Web;

pub(crate) use page::show_faults;

/// All pages.
pub(crate) fn routes(web: Web) -> Router {
    Router::new()
        .route("/", get(overview::overview))
        .route(list::PENDING, get(list::pending))
        .route(list::BILLED, get(list::billed))
        .route(list::IGNORED, get(list::ignored))
        .route(ignore::IGNORE, post(ignore::ignore))
        .route(ignore::RESTORE, post(ignore::restore))
        .route(export::PENDING, get(export::pending))
        .route(export::BILLED, get(export::billed))
        .route(export::IGNORED, get(export::ignored))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_out::sign_out))
        .route("/preferences", post(preferences::change))
        .route("/organizations/{id}", get(organization::organization))
        .route("/organizations/{id}/link", get(link::form).post(link::link))
        .route(
            "/organizations/{id}/unlink",
            get(unlink::form).post(unlink::unlink),
        )
        .route("/organizations/{id}/invoices", get(invoices::invoices))
        .route("/organizations/{id}/portal", post(portal::portal))
        .route(
            "/organizations/{id}/subscription",
            get(subscription::form).post(subscription::change),
        )
        .route(
            "/organizations/{id}/cancel",
            get(cancel::form).post(cancel::cancel),
        )
        .route(
            "/organizations/{id}/signing-key",
            get(signing_key::keys).post(signing_key::pin),
        )
        .route(
            "/organizations/{id}/signing-key/reset",
            post(signing_key::reset),
        )
        .route(held::PATH, get(held::held))
        .route(held_groups::PATH, post(held_groups::decide))
        .route(refused::PATH, get(refused::refused))
        .route(refused::RETRY, post(refused::retry))
        .route(
            "/organizations/{id}/held/release",
            get(held::release_form).post(held::release),
        )
        .route(
            "/organizations/{id}/held/discard",
            get(held::discard_form).post(held::discard),
        )
        .route(intake::REPLACE, post(intake::replace))
        .route(reconciliation::PATH, get(reconciliation::reconciliation))
        .route(
            "/reconciliation/{id}/dismiss",
            post(reconciliation::dismiss),
        )
        .route(webhooks::PATH, get(webhooks::webhooks))
        .route(webhooks::METER_ERRORS, get(webhooks::meter_errors))
        .route(webhooks::RETRY, post(webhooks::retry))
        .route(notices::PATH, get(notices::notices))
        .route(audit::PATH, get(audit::audit))
        .route(audit::FILE, get(audit::export))
        .route(keys::PATH, get(keys::keys).post(keys::create))
        .route(
            "/keys/{id}/revoke",
            get(keys::revoke_form).post(keys::revoke),
        )
        .layer(from_fn_with_state(web.clone(), page::dress))
        .route("/assets/{name}", get(assets::asset))
        .with_state(web)
}
