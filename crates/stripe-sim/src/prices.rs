//! `/v1/prices`

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::calendar::Interval;
use crate::choice::choices;
use crate::errors::Refusal;
use crate::fields::{Fields, MAX_TEXT, Patch};
use crate::metadata::{self, Metadata};
use crate::page::{self, PageRequest};
use crate::store::Record;
use crate::world::{Answer, Call, World};

/// The most lookup keys that one list may name.
const MAX_LOOKUP_KEYS: usize = 10;
/// Digits that an amount may have behind the point of the smallest currency unit.
const MAX_AMOUNT_PLACES: u32 = 12;
const MAX_AMOUNT: i64 = 999_999_999_999;

choices! {
    UsageType { Licensed = "licensed", Metered = "metered" }
}

choices! {
    TaxBehavior { Unspecified = "unspecified", Exclusive = "exclusive", Inclusive = "inclusive" }
}

choices! {
    BillingScheme { PerUnit = "per_unit" }
}

choices! {
    Kind { OneTime = "one_time", Recurring = "recurring" }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Recurring {
    pub(crate) interval: Interval,
    pub(crate) interval_count: i64,
    pub(crate) meter: Option<String>,
    pub(crate) usage_type: UsageType,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Price {
    pub(crate) id: String,
    pub(crate) active: bool,
    pub(crate) currency: String,
    pub(crate) product: String,
    pub(crate) recurring: Option<Recurring>,
    /// In the smallest unit of the currency.
    pub(crate) amount: Decimal,
    created: i64,
    lookup_key: Option<String>,
    nickname: Option<String>,
    tax_behavior: TaxBehavior,
    metadata: Metadata,
}

impl Record for Price {
    const NOUN: &'static str = "price";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Price {
    fn kind(&self) -> Kind {
        if self.recurring.is_some() {
            Kind::Recurring
        } else {
            Kind::OneTime
        }
    }

    /// The amount as an integer, which a price per fraction of a cent does not have.
    fn whole_amount(&self) -> Option<i64> {
        if self.amount.is_integer() {
            self.amount.to_i64()
        } else {
            None
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        let recurring = self.recurring.as_ref().map(|recurring| {
            json!({
                "interval": recurring.interval,
                "interval_count": recurring.interval_count,
                "meter": recurring.meter,
                "trial_period_days": null,
                "usage_type": recurring.usage_type,
            })
        });
        json!({
            "id": self.id,
            "object": "price",
            "active": self.active,
            "billing_scheme": BillingScheme::PerUnit,
            "created": self.created,
            "currency": self.currency,
            "custom_unit_amount": null,
            "livemode": false,
            "lookup_key": self.lookup_key,
            "metadata": self.metadata,
            "nickname": self.nickname,
            "product": self.product,
            "recurring": recurring,
            "tax_behavior": self.tax_behavior,
            "tiers_mode": null,
            "transform_quantity": null,
            "type": self.kind(),
            "unit_amount": self.whole_amount(),
            "unit_amount_decimal": self.amount.normalize().to_string(),
        })
    }

    /// The price as the older `plan` of a subscription item, which the public specification hides
    /// and Stripe's own clients demand. None for a one-time price, which has no plan.
    pub(crate) fn to_plan(&self) -> Option<Value> {
        let recurring = self.recurring.as_ref()?;
        Some(json!({
            "id": self.id,
            "object": "plan",
            "active": self.active,
            "amount": self.whole_amount(),
            "amount_decimal": self.amount.normalize().to_string(),
            "billing_scheme": BillingScheme::PerUnit,
            "created": self.created,
            "currency": self.currency,
            "interval": recurring.interval,
            "interval_count": recurring.interval_count,
            "livemode": false,
            "metadata": self.metadata,
            "meter": recurring.meter,
            "nickname": self.nickname,
            "product": self.product,
            "tiers_mode": null,
            "transform_usage": null,
            "trial_period_days": null,
            "usage_type": recurring.usage_type,
        }))
    }
}

fn read_recurring(fields: &mut Fields) -> Option<Recurring> {
    fields.object("recurring", |recurring| {
        let interval = recurring.need_choice("interval");
        // Stripe's limit is three years.
        let most = match interval {
            Interval::Day => 1_095,
            Interval::Week => 156,
            Interval::Month => 36,
            Interval::Year => 3,
        };
        let interval_count = recurring.integer("interval_count", 1..=most).unwrap_or(1);
        let usage_type = recurring
            .choice("usage_type")
            .unwrap_or(UsageType::Licensed);
        let meter = recurring.text("meter", MAX_TEXT);
        match usage_type {
            UsageType::Metered if meter.is_none() => recurring.violate(
                "meter",
                Some("parameter_missing"),
                "A price with `recurring[usage_type]=metered` must be backed by a meter: set \
                 `recurring[meter]`.",
            ),
            UsageType::Licensed if meter.is_some() => recurring.violate(
                "meter",
                None,
                "You may only specify `recurring[meter]` with `recurring[usage_type]=metered`.",
            ),
            UsageType::Metered | UsageType::Licensed => {}
        }
        Recurring {
            interval,
            interval_count,
            meter,
            usage_type,
        }
    })
}

fn read_amount(fields: &mut Fields) -> Decimal {
    let whole = fields
        .integer("unit_amount", 0..=MAX_AMOUNT)
        .map(Decimal::from);
    let exact = fields.decimal("unit_amount_decimal", MAX_AMOUNT_PLACES);
    if exact.is_some_and(|exact| exact.is_sign_negative() || exact > Decimal::from(MAX_AMOUNT)) {
        fields.violate(
            "unit_amount_decimal",
            None,
            "Invalid decimal: out of range.",
        );
    }
    if whole.is_some() && exact.is_some() {
        fields.violate(
            "unit_amount",
            Some("parameters_exclusive"),
            "You may only specify one of these parameters: unit_amount, unit_amount_decimal.",
        );
    }
    fields.need("unit_amount", whole.or(exact))
}

fn read_currency(fields: &mut Fields) -> String {
    let currency = fields.need_text("currency", MAX_TEXT).to_lowercase();
    let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_code && !currency.is_empty() {
        fields.violate("currency", None, format!("Invalid currency: {currency}."));
    }
    currency
}

/// Gives the key to a new holder, taking it from the old one where that is asked for.
fn claim_lookup_key(
    world: &mut World,
    holder: Option<&str>,
    key: &str,
    transfer: bool,
) -> Result<(), Refusal> {
    let old = world
        .prices
        .as_slice()
        .iter()
        .find(|price| price.lookup_key.as_deref() == Some(key));
    let Some(old) = old
        .filter(|old| Some(old.id.as_str()) != holder)
        .map(|old| old.id.clone())
    else {
        return Ok(());
    };
    if !transfer {
        return Err(Refusal::refused(
            Some("lookup_key"),
            None,
            format!("A price (`{old}`) already uses that lookup key."),
        ));
    }
    if let Some(old) = world.prices.get_mut(&old) {
        old.lookup_key = None;
    }
    Ok(())
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let currency = read_currency(fields);
    let amount = read_amount(fields);
    let product = fields.need_text("product", MAX_TEXT);
    let recurring = read_recurring(fields);
    let lookup_key = fields.text("lookup_key", 200);
    let transfer = fields.boolean("transfer_lookup_key").unwrap_or(false);
    let nickname = fields.text("nickname", MAX_TEXT);
    let tax_behavior = fields
        .choice("tax_behavior")
        .unwrap_or(TaxBehavior::Unspecified);
    let active = fields.boolean("active").unwrap_or(true);
    let _only_one_is_simulated: Option<BillingScheme> = fields.choice("billing_scheme");
    let metadata = metadata::created(metadata::read(fields));
    fields.finish()?;
    let world = call.world;
    if world.products.get(&product).is_none() {
        return Err(Refusal::no_such_in("product", "product", &product));
    }
    if let Some(meter) = recurring
        .as_ref()
        .and_then(|recurring| recurring.meter.as_ref())
    {
        let found = world.meters.get(meter);
        let meter =
            found.ok_or_else(|| Refusal::no_such_in("recurring[meter]", "billing meter", meter))?;
        if !meter.is_active() {
            return Err(Refusal::refused(
                Some("recurring[meter]"),
                None,
                format!("The meter {} is inactive.", meter.id),
            ));
        }
    }
    if let Some(key) = &lookup_key {
        claim_lookup_key(world, None, key, transfer)?;
    }
    let price = Price {
        id: call.ids.price(),
        active,
        currency,
        product,
        recurring,
        amount,
        created: call.now,
        lookup_key,
        nickname,
        tax_behavior,
        metadata,
    };
    let value = price.to_value();
    world.prices.push(price);
    Ok(value)
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.prices.get(&call.id);
    let price = found.ok_or_else(|| Refusal::no_such(Price::NOUN, &call.id))?;
    Ok(price.to_value())
}

pub(crate) fn update(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let active = fields.boolean("active");
    let lookup_key = fields.clearable("lookup_key", 200);
    let transfer = fields.boolean("transfer_lookup_key").unwrap_or(false);
    let nickname = fields.clearable("nickname", MAX_TEXT);
    let tax_behavior: Option<TaxBehavior> = fields.choice("tax_behavior");
    let metadata = metadata::read(fields);
    fields.finish()?;
    let id = call.id;
    let found = call.world.prices.get(&id);
    let price = found.ok_or_else(|| Refusal::no_such(Price::NOUN, &id))?;
    let is_settled = price.tax_behavior != TaxBehavior::Unspecified;
    if is_settled && tax_behavior.is_some_and(|behavior| behavior != price.tax_behavior) {
        return Err(Refusal::refused(
            Some("tax_behavior"),
            None,
            "The price's `tax_behavior` cannot be changed once it is set.",
        ));
    }
    if let Patch::Set(key) = &lookup_key {
        claim_lookup_key(call.world, Some(&id), key, transfer)?;
    }
    let found = call.world.prices.get_mut(&id);
    let price = found.ok_or_else(|| Refusal::no_such(Price::NOUN, &id))?;
    if let Some(active) = active {
        price.active = active;
    }
    if let Some(tax_behavior) = tax_behavior {
        price.tax_behavior = tax_behavior;
    }
    lookup_key.apply(&mut price.lookup_key);
    nickname.apply(&mut price.nickname);
    metadata::merge(&mut price.metadata, metadata);
    Ok(price.to_value())
}

#[derive(Debug, Default)]
struct RecurringFilter {
    interval: Option<Interval>,
    meter: Option<String>,
    usage_type: Option<UsageType>,
}

impl RecurringFilter {
    fn read(fields: &mut Fields) -> Option<Self> {
        fields.object("recurring", |recurring| Self {
            interval: recurring.choice("interval"),
            meter: recurring.text("meter", MAX_TEXT),
            usage_type: recurring.choice("usage_type"),
        })
    }

    fn holds(&self, recurring: &Recurring) -> bool {
        self.interval
            .is_none_or(|interval| recurring.interval == interval)
            && (self.meter.is_none() || self.meter == recurring.meter)
            && self
                .usage_type
                .is_none_or(|usage_type| recurring.usage_type == usage_type)
    }
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let page = PageRequest::read(fields);
    let active = fields.boolean("active");
    let product = fields.text("product", MAX_TEXT);
    let currency = fields.text("currency", 3);
    let lookup_keys = fields.texts("lookup_keys", MAX_LOOKUP_KEYS);
    let recurring = RecurringFilter::read(fields);
    let kind: Option<Kind> = fields.choice("type");
    let created = fields.range("created");
    fields.finish()?;
    let (prices, has_more) = page.of_store(&call.world.prices, |price| {
        let has_wanted_key = price
            .lookup_key
            .as_ref()
            .is_some_and(|key| lookup_keys.contains(key));
        let recurs = |filter: &RecurringFilter| {
            price
                .recurring
                .as_ref()
                .is_some_and(|recurring| filter.holds(recurring))
        };
        active.is_none_or(|active| price.active == active)
            && product
                .as_ref()
                .is_none_or(|product| price.product == *product)
            && currency
                .as_ref()
                .is_none_or(|currency| price.currency == *currency)
            && (lookup_keys.is_empty() || has_wanted_key)
            && recurring.as_ref().is_none_or(recurs)
            && kind.is_none_or(|kind| price.kind() == kind)
            && created.holds(price.created)
    })?;
    let data = prices.into_iter().map(Price::to_value).collect();
    Ok(page::list("/v1/prices", data, has_more))
}
