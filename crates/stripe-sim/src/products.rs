//! `/v1/products`

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::errors::Refusal;
use crate::fields::{Fields, MAX_TEXT, Patch};
use crate::metadata::{self, Metadata};
use crate::page::{self, PageRequest};
use crate::store::Record;
use crate::world::{Answer, Call};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) active: bool,
    created: i64,
    updated: i64,
    pub(crate) name: String,
    description: Option<String>,
    images: Vec<String>,
    unit_label: Option<String>,
    statement_descriptor: Option<String>,
    tax_code: Option<String>,
    url: Option<String>,
    default_price: Option<String>,
    metadata: Metadata,
}

impl Record for Product {
    const NOUN: &'static str = "product";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Product {
    pub(crate) fn to_value(&self) -> Value {
        json!({
            "id": self.id,
            "object": "product",
            "active": self.active,
            "created": self.created,
            "default_price": self.default_price,
            "description": self.description,
            "images": self.images,
            "livemode": false,
            "marketing_features": [],
            "metadata": self.metadata,
            "name": self.name,
            "package_dimensions": null,
            "shippable": null,
            "statement_descriptor": self.statement_descriptor,
            "tax_code": self.tax_code,
            // The public specification hides it; Stripe's own clients demand it.
            "type": "service",
            "unit_label": self.unit_label,
            "updated": self.updated,
            "url": self.url,
        })
    }
}

#[derive(Debug)]
struct Changes {
    active: Option<bool>,
    name: Option<String>,
    description: Patch<String>,
    images: Option<Vec<String>>,
    unit_label: Patch<String>,
    statement_descriptor: Patch<String>,
    tax_code: Patch<String>,
    url: Patch<String>,
    metadata: Patch<Metadata>,
}

impl Changes {
    fn read(fields: &mut Fields) -> Self {
        let has_images = fields.has("images");
        Self {
            active: fields.boolean("active"),
            name: fields.text("name", MAX_TEXT),
            description: fields.clearable("description", 40_000),
            images: has_images.then(|| fields.texts("images", 8)),
            unit_label: fields.clearable("unit_label", 12),
            statement_descriptor: fields.clearable("statement_descriptor", 22),
            tax_code: fields.clearable("tax_code", MAX_TEXT),
            url: fields.clearable("url", MAX_TEXT),
            metadata: metadata::read(fields),
        }
    }

    fn apply(self, product: &mut Product) {
        let Self {
            active,
            name,
            description,
            images,
            unit_label,
            statement_descriptor,
            tax_code,
            url,
            metadata,
        } = self;
        if let Some(active) = active {
            product.active = active;
        }
        if let Some(name) = name {
            product.name = name;
        }
        if let Some(images) = images {
            product.images = images;
        }
        description.apply(&mut product.description);
        unit_label.apply(&mut product.unit_label);
        statement_descriptor.apply(&mut product.statement_descriptor);
        tax_code.apply(&mut product.tax_code);
        url.apply(&mut product.url);
        metadata::merge(&mut product.metadata, metadata);
    }
}

/// A product with nothing but its name.
fn named(id: String, name: String, now: i64) -> Product {
    Product {
        id,
        active: true,
        created: now,
        updated: now,
        name,
        description: None,
        images: Vec::new(),
        unit_label: None,
        statement_descriptor: None,
        tax_code: None,
        url: None,
        default_price: None,
        metadata: Metadata::new(),
    }
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let id = call.fields.text("id", MAX_TEXT);
    let mut changes = Changes::read(&mut call.fields);
    let name = call.fields.need("name", changes.name.take());
    call.fields.finish()?;
    if let Some(id) = &id
        && call.world.products.get(id).is_some()
    {
        return Err(Refusal::refused(
            Some("id"),
            Some("resource_already_exists"),
            "Product already exists.",
        ));
    }
    let mut product = named(id.unwrap_or_else(|| call.ids.product()), name, call.now);
    changes.apply(&mut product);
    let value = product.to_value();
    call.world.products.push(product);
    Ok(value)
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.products.get(&call.id);
    let product = found.ok_or_else(|| Refusal::no_such(Product::NOUN, &call.id))?;
    Ok(product.to_value())
}

pub(crate) fn update(mut call: Call<'_>) -> Answer {
    let changes = Changes::read(&mut call.fields);
    let default_price = call.fields.text("default_price", MAX_TEXT);
    call.fields.finish()?;
    let id = call.id;
    if let Some(price) = &default_price
        && call
            .world
            .prices
            .get(price)
            .is_none_or(|price| price.product != id)
    {
        return Err(Refusal::no_such_in("default_price", "price", price));
    }
    let found = call.world.products.get_mut(&id);
    let product = found.ok_or_else(|| Refusal::no_such(Product::NOUN, &id))?;
    changes.apply(product);
    if default_price.is_some() {
        product.default_price = default_price;
    }
    product.updated = call.now;
    Ok(product.to_value())
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let page = PageRequest::read(&mut call.fields);
    let active = call.fields.boolean("active");
    let ids = call.fields.texts("ids", 100);
    let created = call.fields.range("created");
    let url = call.fields.text("url", MAX_TEXT);
    call.fields.finish()?;
    let (products, has_more) = page.of_store(&call.world.products, |product| {
        active.is_none_or(|active| product.active == active)
            && (ids.is_empty() || ids.contains(&product.id))
            && created.holds(product.created)
            && (url.is_none() || product.url == url)
    })?;
    let data = products.into_iter().map(Product::to_value).collect();
    Ok(page::list("/v1/products", data, has_more))
}
