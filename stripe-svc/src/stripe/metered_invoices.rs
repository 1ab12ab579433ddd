//! Invoices, as far as they ask for what the meter counted.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    domain::{
        ids::{CustomerId, InvoiceId, SubscriptionId},
        metered_invoice::{MeteredInvoice, UsageLine},
    },
    stripe::{
        PAGE_SIZE, PAGES_MAX, Stripe,
        customers::too_many_pages,
        subscription_state::{get, read_json, time, times, unreadable},
        transport::ReadError,
        unknown::Unknown,
    },
};

/// How many invoices of a subscription are looked at to see how far it is invoiced: Stripe lists the
/// latest first, and drafts that nobody finalizes may come before it.
const LATEST_MAX: usize = 12;

#[derive(Deserialize)]
struct InvoiceJson {
    id: String,
    currency: String,
    status_transitions: TransitionsJson,
    parent: Option<InvoiceParentJson>,
    lines: LinesJson,
}

#[derive(Deserialize)]
struct TransitionsJson {
    finalized_at: Option<i64>,
}

#[derive(Deserialize)]
struct InvoiceParentJson {
    subscription_details: Option<SubscriptionDetailsJson>,
}

#[derive(Deserialize)]
struct SubscriptionDetailsJson {
    subscription: String,
}

#[derive(Deserialize)]
struct LinesJson {
    data: Vec<LineJson>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct LineJson {
    id: String,
    amount: i64,
    period: PeriodJson,
    pricing: Option<PricingJson>,
    parent: Option<LineParentJson>,
    quantity: Option<i64>,
    quantity_decimal: Option<String>,
}

#[derive(Deserialize)]
struct PeriodJson {
    start: i64,
    end: i64,
}

#[derive(Deserialize)]
struct PricingJson {
    price_details: Option<PriceDetailsJson>,
}

#[derive(Deserialize)]
struct PriceDetailsJson {
    product: Option<String>,
}

#[derive(Deserialize)]
struct LineParentJson {
    subscription_item_details: Option<ItemDetailsJson>,
}

#[derive(Deserialize)]
struct ItemDetailsJson {
    #[serde(default)]
    proration: bool,
}

impl LineJson {
    /// Whether it bills a subscription for this product. Usage is never prorated.
    fn bills(&self, product: &str) -> bool {
        let details = self
            .pricing
            .as_ref()
            .and_then(|it| it.price_details.as_ref());
        let parent = self.parent.as_ref();
        let item = parent.and_then(|it| it.subscription_item_details.as_ref());
        details.and_then(|it| it.product.as_deref()) == Some(product)
            && item.is_some_and(|item| !item.proration)
    }

    fn read(&self) -> Result<UsageLine, Unknown> {
        let quantity = match (&self.quantity_decimal, self.quantity) {
            (Some(text), _) => Decimal::from_str(text).ok(),
            (None, quantity) => Some(Decimal::from(quantity.unwrap_or_default())),
        };
        let quantity = quantity.ok_or_else(|| {
            unreadable(format!(
                "The line {} has a quantity that is not a number.",
                self.id
            ))
        })?;
        Ok(UsageLine {
            start: time(self.period.start)?,
            end: time(self.period.end)?,
            quantity,
            amount: self.amount,
        })
    }
}

impl Stripe {
    /// The latest invoices of a subscription, with their lines of this product; none where Stripe has
    /// no such subscription.
    ///
    /// # Errors
    /// Stripe did not say, or what it said cannot be read.
    pub(crate) async fn latest_invoices(
        &self,
        subscription: &SubscriptionId,
        product: &str,
    ) -> Result<Vec<MeteredInvoice>, Unknown> {
        let limit = LATEST_MAX.to_string();
        let query = [("subscription", subscription.as_str()), ("limit", &limit)];
        match self.look(&get("/invoices", &query)).await {
            Ok(page) => self.read_metered(data_of(&page)?, product).await,
            Err(ReadError::Refused(refusal)) if refusal.is_resource_missing() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The invoices of a customer that were made since then, the latest first, with their lines of
    /// this product.
    ///
    /// # Errors
    /// Stripe did not say, or refuses to speak of this customer.
    pub(crate) async fn invoices_since(
        &self,
        customer: &CustomerId,
        since: DateTime<Utc>,
        product: &str,
    ) -> Result<Vec<MeteredInvoice>, ReadError> {
        let (limit, since) = (PAGE_SIZE.to_string(), since.timestamp().to_string());
        let mut after: Option<String> = None;
        let mut invoices = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut query = vec![
                ("customer", customer.as_str()),
                ("created[gte]", &*since),
                ("limit", &*limit),
            ];
            query.extend(after.as_deref().map(|id| ("starting_after", id)));
            let page = self.look(&get("/invoices", &query)).await?;
            let data = data_of(&page)?;
            invoices.extend(self.read_metered(data, product).await?);
            after = next_of(&page, data);
            if after.is_none() {
                return Ok(invoices);
            }
        }
        Err(too_many_pages().into())
    }

    /// Reads invoices, and asks for the lines that did not fit into the list of them.
    async fn read_metered(
        &self,
        data: &[Value],
        product: &str,
    ) -> Result<Vec<MeteredInvoice>, Unknown> {
        let mut invoices = Vec::new();
        for value in data {
            let InvoiceJson {
                id,
                currency,
                status_transitions,
                parent,
                lines,
            } = InvoiceJson::deserialize(value).map_err(|error| {
                unreadable(format!("Stripe's invoice cannot be read: {error}."))
            })?;
            let Some(details) = parent.and_then(|it| it.subscription_details) else {
                continue;
            };
            let lines = if lines.has_more {
                self.all_lines(&id).await?
            } else {
                lines.data
            };
            let ours = lines.iter().filter(|line| line.bills(product));
            invoices.push(MeteredInvoice {
                id: InvoiceId::new(id),
                subscription_id: SubscriptionId::new(details.subscription),
                currency,
                finalized_at: times(status_transitions.finalized_at)?,
                lines: ours.map(LineJson::read).collect::<Result<_, _>>()?,
            });
        }
        Ok(invoices)
    }

    async fn all_lines(&self, invoice: &str) -> Result<Vec<LineJson>, Unknown> {
        let path = format!("/invoices/{invoice}/lines");
        let limit = PAGE_SIZE.to_string();
        let mut after: Option<String> = None;
        let mut lines = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut query = vec![("limit", &*limit)];
            query.extend(after.as_deref().map(|id| ("starting_after", id)));
            let page = read_json(&self.ask(&get(&path, &query)).await?.body)?;
            let LinesJson { data, has_more } = LinesJson::deserialize(&page)
                .map_err(|error| unreadable(format!("Stripe's lines cannot be read: {error}.")))?;
            after = data.last().filter(|_| has_more).map(|last| last.id.clone());
            lines.extend(data);
            if after.is_none() {
                return Ok(lines);
            }
        }
        Err(too_many_pages())
    }
}

fn data_of(page: &Value) -> Result<&[Value], Unknown> {
    let data = page.get("data").and_then(Value::as_array);
    data.map(Vec::as_slice)
        .ok_or_else(|| unreadable("Stripe's list has no data.".to_owned()))
}

/// Behind which the next page begins; none after the last.
fn next_of(page: &Value, data: &[Value]) -> Option<String> {
    let has_more = page.get("has_more").and_then(Value::as_bool) == Some(true);
    let last = data.last().filter(|_| has_more)?;
    last.get("id")?.as_str().map(str::to_owned)
}
