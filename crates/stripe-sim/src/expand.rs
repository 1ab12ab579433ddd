//! `expand[]`: ids in an answer that become the objects they name.

use serde_json::Value;

use crate::customers::Customer;
use crate::errors::Refusal;
use crate::prices::Price;
use crate::products::Product;
use crate::test_clocks::TestClock;
use crate::world::World;

/// Stripe's limit on the depth of a path.
const MAX_DEPTH: usize = 4;

/// Refuses, before anything happens, a path that no answer could expand.
pub(crate) fn check(paths: &[String]) -> Result<(), Refusal> {
    for path in paths {
        let last = path.rsplit('.').next().unwrap_or_default();
        let known = matches!(
            last,
            "customer"
                | "product"
                | "default_price"
                | "latest_invoice"
                | "subscription"
                | "test_clock"
        );
        if !known || path.split('.').count() > MAX_DEPTH + 1 {
            let message = format!("This property cannot be expanded ({path}).");
            return Err(Refusal::violation("expand", None, message));
        }
    }
    Ok(())
}

pub(crate) fn apply(world: &World, answer: &mut Value, paths: &[String]) {
    for path in paths {
        let segments: Vec<&str> = path.split('.').collect();
        walk(world, answer, &segments);
    }
}

fn walk(world: &World, value: &mut Value, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let Some(next) = value.get_mut(first) else {
        return;
    };
    if let Some(elements) = next.as_array_mut() {
        for element in elements {
            walk(world, element, rest);
        }
    } else if !rest.is_empty() {
        walk(world, next, rest);
    } else if let Some(object) = next.as_str().and_then(|id| find(world, first, id)) {
        *next = object;
    }
}

fn find(world: &World, property: &str, id: &str) -> Option<Value> {
    match property {
        "customer" => world.customers.get(id).map(Customer::to_value),
        "product" => world.products.get(id).map(Product::to_value),
        "latest_invoice" => {
            let invoice = world.invoices.store().get(id);
            invoice.map(|it| it.to_value(world))
        }
        "subscription" => world.subscriptions.get(id).map(|it| it.to_value(world)),
        "test_clock" => world.test_clocks.get(id).map(TestClock::to_value),
        "default_price" => world.prices.get(id).map(Price::to_value),
        _ => None,
    }
}
