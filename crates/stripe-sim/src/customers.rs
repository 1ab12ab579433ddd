//! `/v1/customers`

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agenda::Timeline;
use crate::choice::choices;
use crate::errors::Refusal;
use crate::events::previous_attributes;
use crate::fields::{Fields, MAX_TEXT, Patch};
use crate::metadata::{self, Metadata};
use crate::moment::Moment;
use crate::page::{self, PageRequest};
use crate::search::{self, Searchable, Subject};
use crate::store::Record;
use crate::test_clocks;
use crate::world::{Answer, Call, World};

choices! {
    TaxExempt { None = "none", Exempt = "exempt", Reverse = "reverse" }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Address {
    city: Option<String>,
    country: Option<String>,
    line1: Option<String>,
    line2: Option<String>,
    postal_code: Option<String>,
    state: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) deleted: bool,
    pub(crate) email: Option<String>,
    pub(crate) currency: Option<String>,
    /// When search may see it as it is.
    pub(crate) changed_at: i64,
    #[serde(default)]
    pub(crate) test_clock: Timeline,
    name: Option<String>,
    description: Option<String>,
    phone: Option<String>,
    address: Option<Address>,
    preferred_locales: Vec<String>,
    tax_exempt: TaxExempt,
    balance: i64,
    invoice_prefix: String,
    /// Invoices that were finalized so far.
    #[serde(default)]
    invoice_count: u32,
    metadata: Metadata,
}

impl Record for Customer {
    const NOUN: &'static str = "customer";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Customer {
    /// The number of the customer's next invoice, which is then taken.
    pub(crate) fn take_invoice_number(&mut self) -> String {
        self.invoice_count += 1;
        format!("{}-{:04}", self.invoice_prefix, self.invoice_count)
    }

    pub(crate) fn to_value(&self) -> Value {
        if self.deleted {
            return json!({ "id": self.id, "object": "customer", "deleted": true });
        }
        json!({
            "id": self.id,
            "object": "customer",
            "address": self.address,
            "balance": self.balance,
            "created": self.created,
            "currency": self.currency,
            "customer_account": null,
            "default_source": null,
            "delinquent": false,
            "description": self.description,
            "discount": null,
            "email": self.email,
            "invoice_prefix": self.invoice_prefix,
            "invoice_settings": {
                "custom_fields": null,
                "default_payment_method": null,
                "footer": null,
                "rendering_options": null,
            },
            "livemode": false,
            "metadata": self.metadata,
            "name": self.name,
            "next_invoice_sequence": self.invoice_count + 1,
            "phone": self.phone,
            "preferred_locales": self.preferred_locales,
            "shipping": null,
            "tax_exempt": self.tax_exempt,
            "test_clock": self.test_clock,
        })
    }
}

/// What create and update have in common.
#[derive(Debug)]
struct Changes {
    name: Patch<String>,
    email: Patch<String>,
    description: Patch<String>,
    phone: Patch<String>,
    address: Patch<Address>,
    preferred_locales: Option<Vec<String>>,
    tax_exempt: Option<TaxExempt>,
    balance: Option<i64>,
    metadata: Patch<Metadata>,
}

impl Changes {
    fn read(fields: &mut Fields) -> Self {
        let email = fields.clearable("email", 512);
        if let Patch::Set(address) = &email
            && !is_email(address)
        {
            let message = format!("Invalid email address: {address}");
            fields.violate("email", Some("email_invalid"), message);
        }
        let has_locales = fields.has("preferred_locales");
        Self {
            name: fields.clearable("name", 256),
            email,
            description: fields.clearable("description", MAX_TEXT),
            phone: fields.clearable("phone", 20),
            address: read_address(fields),
            preferred_locales: has_locales.then(|| fields.texts("preferred_locales", 20)),
            tax_exempt: fields.choice("tax_exempt"),
            balance: fields.integer("balance", -99_999_999..=99_999_999),
            metadata: metadata::read(fields),
        }
    }

    fn apply(self, customer: &mut Customer) {
        let Self {
            name,
            email,
            description,
            phone,
            address,
            preferred_locales,
            tax_exempt,
            balance,
            metadata,
        } = self;
        name.apply(&mut customer.name);
        email.apply(&mut customer.email);
        description.apply(&mut customer.description);
        phone.apply(&mut customer.phone);
        address.apply(&mut customer.address);
        if let Some(locales) = preferred_locales {
            customer.preferred_locales = locales;
        }
        if let Some(tax_exempt) = tax_exempt {
            customer.tax_exempt = tax_exempt;
        }
        if let Some(balance) = balance {
            customer.balance = balance;
        }
        metadata::merge(&mut customer.metadata, metadata);
    }
}

fn read_address(fields: &mut Fields) -> Patch<Address> {
    if fields.is_empty_text("address") {
        return Patch::Clear;
    }
    let line = |address: &mut Fields, name| address.clearable(name, MAX_TEXT).into_option();
    let address = fields.object("address", |address| Address {
        city: line(address, "city"),
        country: line(address, "country"),
        line1: line(address, "line1"),
        line2: line(address, "line2"),
        postal_code: line(address, "postal_code"),
        state: line(address, "state"),
    });
    address.map_or(Patch::Keep, Patch::Set)
}

/// Loose on purpose: one `@` with something usable on both sides.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let usable = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && !part
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || "@<>,;\"".contains(c))
    };
    usable(local) && usable(domain)
}

/// The customer that a parameter names; a deleted one is as good as none.
pub(crate) fn named_by<'w>(
    world: &'w World,
    param: &str,
    id: &str,
) -> Result<&'w Customer, Refusal> {
    let found = world.customers.get(id).filter(|customer| !customer.deleted);
    found.ok_or_else(|| Refusal::no_such_in(param, Customer::NOUN, id))
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let changes = Changes::read(&mut call.fields);
    let test_clock = call.fields.text("test_clock", MAX_TEXT);
    call.fields.finish()?;
    let created = match &test_clock {
        Some(clock) => test_clocks::admit_customer(call.world, clock)?,
        None => call.now,
    };
    let mut customer = Customer {
        id: call.ids.customer(),
        created,
        deleted: false,
        email: None,
        currency: None,
        changed_at: call.now,
        test_clock,
        name: None,
        description: None,
        phone: None,
        address: None,
        preferred_locales: Vec::new(),
        tax_exempt: TaxExempt::None,
        balance: 0,
        invoice_prefix: call.ids.invoice_prefix(),
        invoice_count: 0,
        metadata: Metadata::new(),
    };
    changes.apply(&mut customer);
    let value = customer.to_value();
    call.world.customers.push(customer);
    let mut moment = Moment {
        world: call.world,
        ids: call.ids,
        at: created,
    };
    moment.tell("customer.created", &value, None);
    Ok(value)
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.customers.get(&call.id);
    let customer = found.ok_or_else(|| Refusal::no_such(Customer::NOUN, &call.id))?;
    Ok(customer.to_value())
}

pub(crate) fn update(mut call: Call<'_>) -> Answer {
    let changes = Changes::read(&mut call.fields);
    call.fields.finish()?;
    let found = call
        .world
        .customers
        .get_mut(&call.id)
        .filter(|customer| !customer.deleted);
    let customer = found.ok_or_else(|| Refusal::no_such(Customer::NOUN, &call.id))?;
    let before = customer.to_value();
    changes.apply(customer);
    customer.changed_at = call.now;
    let after = customer.to_value();
    let mut moment = Moment {
        at: call.world.time_of(&call.id, call.now),
        world: call.world,
        ids: call.ids,
    };
    if let Some(previous) = previous_attributes(&before, &after) {
        moment.tell("customer.updated", &after, Some(&previous));
    }
    Ok(after)
}

/// Deletes for good, and cancels what the customer had subscribed to.
pub(crate) fn delete(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.customers.get(&call.id);
    found
        .filter(|customer| !customer.deleted)
        .ok_or_else(|| Refusal::no_such(Customer::NOUN, &call.id))?;
    let at = call.world.time_of(&call.id, call.now);
    let mut moment = Moment {
        world: call.world,
        ids: call.ids,
        at,
    };
    remove(&mut moment, &call.id);
    Ok(json!({ "id": call.id, "object": "customer", "deleted": true }))
}

pub(crate) fn remove(moment: &mut Moment<'_>, id: &str) {
    crate::lifecycle::cancel_all_of(moment, id);
    if let Some(customer) = moment.world.customers.get_mut(id) {
        let value = customer.to_value();
        customer.deleted = true;
        moment.tell("customer.deleted", &value, None);
    }
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let page = PageRequest::read(&mut call.fields);
    let email = call.fields.text("email", 512);
    let test_clock = call.fields.text("test_clock", MAX_TEXT);
    let created = call.fields.range("created");
    call.fields.finish()?;
    // Without the parameter, those on a test clock are left out.
    let (customers, has_more) = page.of_store(&call.world.customers, |customer| {
        !customer.deleted
            && customer.test_clock == test_clock
            && created.holds(customer.created)
            && email
                .as_ref()
                .is_none_or(|email| customer.email.as_ref() == Some(email))
    })?;
    let data = customers.into_iter().map(Customer::to_value).collect();
    Ok(page::list("/v1/customers", data, has_more))
}

impl Searchable for Customer {
    const PLURAL: &'static str = "customers";

    fn subject(&self, name: &str) -> Subject<'_> {
        match name {
            "email" => Subject::Text(self.email.as_deref()),
            "name" => Subject::Text(self.name.as_deref()),
            "phone" => Subject::Text(self.phone.as_deref()),
            "created" => Subject::Number(self.created),
            _ => Subject::Unsupported,
        }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn is_visible(&self, as_of: i64) -> bool {
        !self.deleted && self.changed_at <= as_of
    }

    fn to_found(&self, _world: &World) -> Value {
        self.to_value()
    }
}

pub(crate) fn search(call: Call<'_>) -> Answer {
    search::run(call, "/v1/customers/search", |world| &world.customers)
}

#[cfg(test)]
mod tests {
    #[test]
    fn emails_are_checked_loosely() {
        for good in ["a@b", "billing+x@acme.example", "é@acme.fr"] {
            assert!(super::is_email(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b.",
            "a@.b",
            "Acme <a@b.c>",
        ] {
            assert!(!super::is_email(bad), "{bad}");
        }
    }
}
