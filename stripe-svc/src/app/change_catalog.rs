//! `catalog plan` and `catalog apply`: what differs in Stripe, and making it agree.

use billing_kit::Ids;

use crate::{
    domain::{
        catalog::Catalog,
        catalog_diff::{Action, Found, Plan, plan},
        ids::MeterId,
    },
    stripe::{ReadError, Stripe},
};

/// What differs between the catalog and Stripe.
///
/// # Errors
/// Stripe refused or did not say.
pub(crate) async fn plan_catalog(
    stripe: &Stripe,
    catalog: &Catalog,
) -> Result<(Plan, Found), ReadError> {
    let found = stripe.find_catalog(catalog).await?;
    Ok((plan(catalog, &found), found))
}

/// Carries a plan out, in its order; tells of each action once it is done.
///
/// Every action leaves Stripe in a state from which the next plan goes on, so it can be cut short and
/// run again.
///
/// # Errors
/// Stripe refused or did not say; what was told is done.
pub(crate) async fn apply_catalog(
    stripe: &Stripe,
    catalog: &Catalog,
    plan: &Plan,
    found: &Found,
    ids: &Ids,
    mut told: impl FnMut(&Action),
) -> Result<(), ReadError> {
    let mut meter = found.meter.as_ref().map(|meter| meter.id.clone());
    for action in &plan.actions {
        match action {
            Action::CreateMeter => meter = Some(stripe.create_meter(catalog, ids.next()).await?),
            Action::ReactivateMeter(id) => stripe.reactivate_meter(id, ids.next()).await?,
            Action::RenameMeter(id) => {
                let name = &catalog.meter.display_name;
                stripe.rename_meter(id, name, ids.next()).await?;
            }
            Action::CreateProduct => stripe.create_product(catalog, ids.next()).await?,
            Action::UpdateProduct => stripe.update_product(catalog, ids.next()).await?,
            Action::CreatePrice(price) => {
                let meter = known(meter.as_ref())?;
                stripe
                    .create_price(catalog, price, meter, ids.next())
                    .await?;
            }
            Action::ActivatePrice(_, id) => stripe.set_price_active(id, true, ids.next()).await?,
            Action::ReplacePrice(price, old, _) => {
                let meter = known(meter.as_ref())?;
                stripe
                    .create_price(catalog, price, meter, ids.next())
                    .await?;
                stripe.set_price_active(old, false, ids.next()).await?;
            }
            Action::ClosePrice(id) => stripe.set_price_active(id, false, ids.next()).await?,
        }
        told(action);
    }
    Ok(())
}

/// A plan creates the meter before any price where there is none.
fn known(meter: Option<&MeterId>) -> Result<&MeterId, ReadError> {
    meter.ok_or_else(|| {
        ReadError::Refused(crate::domain::refusal::Refusal::ours(
            "no_meter",
            "The plan has a price and no meter.",
        ))
    })
}
