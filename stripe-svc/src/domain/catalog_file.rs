//! Reads the catalog's file, strictly: a field that is missing, wrong or unknown is a problem, and
//! every problem is told at once. A slip in this file is a wrong invoice.

use std::str::FromStr;

use rust_decimal::Decimal;
use toml::{Table, Value};

use crate::domain::{
    catalog::{
        Catalog, CatalogMeter, CatalogPrice, CatalogProduct, EVENT_TIME_WINDOW, Formula, Interval,
        TaxBehavior,
    },
    terms::{DeploymentType, PlanType},
};

/// Characters of a name that people see, and of an id.
const TEXT_CHARS_MAX: usize = 250;
/// Characters of an event name or a payload key.
const KEY_CHARS_MAX: usize = 100;
/// Characters of a lookup key.
const LOOKUP_KEY_CHARS_MAX: usize = 200;
/// Decimal places of a unit amount.
const AMOUNT_DECIMALS_MAX: u32 = 12;
/// Stripe looks up 10 prices at a time and the catalog has 4.
const PRICES_MAX: usize = 10;
const DAYS_UNTIL_DUE_MAX: u32 = 365;
/// Stripe's two descriptions of this formula differ for events that come late, and nothing here keeps
/// an earlier day from being sent after a later one.
const LAST_REFUSED: &str = "it is \"last\", which is not supported: a late report would count for its whole period. It must be \"sum\".";

/// A table while it is read: what is taken from it is known, what remains is not.
struct Fields<'p> {
    table: Table,
    /// Where the table stands, as a prefix: `meter.`.
    path: String,
    problems: &'p mut Vec<String>,
}

impl Fields<'_> {
    fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{}{name}: {what}", self.path));
    }

    fn take<T>(
        &mut self,
        name: &str,
        want: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.table.remove(name) else {
            self.problem(name, &format!("it is missing. It is {want}."));
            return None;
        };
        let read = read(&value);
        if read.is_none() {
            self.problem(name, &format!("it is {value}, but must be {want}."));
        }
        read
    }

    fn text(&mut self, name: &str, chars_max: usize) -> Option<String> {
        self.take(
            name,
            &format!("a text of 1 to {chars_max} characters"),
            |value| {
                let text = value.as_str()?;
                let fits = !text.trim().is_empty() && text.chars().count() <= chars_max;
                fits.then(|| text.to_owned())
            },
        )
    }

    fn word<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let words: Vec<_> = all.iter().map(|it| format!("\"{}\"", word(*it))).collect();
        self.take(name, &words.join(" or "), |value| {
            let text = value.as_str()?;
            all.iter().copied().find(|it| word(*it) == text)
        })
    }

    /// Reads a table with `read`, which must take all of its fields.
    fn table<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let table = self.take(name, "a table", |value| value.as_table().cloned())?;
        let path = format!("{}{name}.", self.path);
        read_table(table, path, self.problems, read)
    }
}

fn read_table<T>(
    table: Table,
    path: String,
    problems: &mut Vec<String>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let mut fields = Fields {
        table,
        path,
        problems,
    };
    let value = read(&mut fields);
    let unknown: Vec<_> = fields.table.keys().cloned().collect();
    for name in unknown {
        fields.problem(&name, "there is no such field.");
    }
    value
}

/// Reads a catalog.
///
/// # Errors
/// Every problem, a sentence each.
pub fn parse(text: &str) -> Result<Catalog, Vec<String>> {
    let table = Table::from_str(text).map_err(|error| vec![format!("it is not TOML: {error}")])?;
    let mut problems = Vec::new();
    let catalog = read_table(table, String::new(), &mut problems, read_catalog);
    if let Some(catalog) = &catalog {
        check_prices(&catalog.prices, &mut problems);
    }
    match catalog {
        Some(catalog) if problems.is_empty() => Ok(catalog),
        Some(_) | None => Err(problems),
    }
}

/// Reads every field before it gives up, so that every problem is told.
fn read_catalog(fields: &mut Fields<'_>) -> Option<Catalog> {
    let sample = fields.take("sample", "true or false", Value::as_bool);
    let currency = fields.take(
        "currency",
        "three lower-case letters, such as \"eur\"",
        |value| {
            let text = value.as_str()?;
            let is_code = text.len() == 3 && text.bytes().all(|b| b.is_ascii_lowercase());
            is_code.then(|| text.to_owned())
        },
    );
    let interval = fields.word("interval", &Interval::ALL, Interval::as_str);
    let tax_behavior = fields.word("tax_behavior", &TaxBehavior::ALL, TaxBehavior::as_str);
    let want = format!("a number of days from 1 to {DAYS_UNTIL_DUE_MAX}");
    let days_until_due = fields.take("days_until_due", &want, |value| {
        let days = u32::try_from(value.as_integer()?).ok()?;
        (1..=DAYS_UNTIL_DUE_MAX).contains(&days).then_some(days)
    });
    let meter = fields.table("meter", read_meter);
    let product = fields.table("product", read_product);
    let prices = read_prices(fields);
    Some(Catalog {
        sample: sample?,
        currency: currency?,
        interval: interval?,
        tax_behavior: tax_behavior?,
        days_until_due: days_until_due?,
        meter: meter?,
        product: product?,
        prices: prices?,
    })
}

fn read_meter(fields: &mut Fields<'_>) -> Option<CatalogMeter> {
    let event_name = fields.text("event_name", KEY_CHARS_MAX);
    let display_name = fields.text("display_name", TEXT_CHARS_MAX);
    let formula = fields.word("formula", &Formula::ALL, Formula::as_str);
    if formula == Some(Formula::Last) {
        fields.problem("formula", LAST_REFUSED);
    }
    let window = fields.word("event_time_window", &[EVENT_TIME_WINDOW], |word| word);
    let customer_key = fields.text("customer_payload_key", KEY_CHARS_MAX);
    let value_key = fields.text("value_payload_key", KEY_CHARS_MAX);
    if customer_key.is_some() && customer_key == value_key {
        fields.problem("value_payload_key", "it is the customer's key.");
    }
    window?;
    Some(CatalogMeter {
        event_name: event_name?,
        display_name: display_name?,
        formula: formula?,
        customer_key: customer_key?,
        value_key: value_key?,
    })
}

fn read_product(fields: &mut Fields<'_>) -> Option<CatalogProduct> {
    let id = fields.take("id", "letters, digits, '_' and '-'", |value| {
        let text = value.as_str()?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fits = (1..=TEXT_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain);
        fits.then(|| text.to_owned())
    });
    let name = fields.text("name", TEXT_CHARS_MAX);
    // Stripe prints it behind every quantity and allows no more.
    let unit_label = fields.text("unit_label", 12);
    Some(CatalogProduct {
        id: id?,
        name: name?,
        unit_label: unit_label?,
    })
}

fn read_prices(fields: &mut Fields<'_>) -> Option<Vec<CatalogPrice>> {
    let want = format!("1 to {PRICES_MAX} [[prices]]");
    let tables = fields.take("prices", &want, |value| {
        let tables = value.as_array()?.iter().map(|it| it.as_table().cloned());
        let tables: Vec<Table> = tables.collect::<Option<_>>()?;
        (1..=PRICES_MAX).contains(&tables.len()).then_some(tables)
    })?;
    let prices = tables.into_iter().enumerate().map(|(index, table)| {
        let path = format!("{}prices[{index}].", fields.path);
        read_table(table, path, fields.problems, read_price)
    });
    // All of them are read before the first that failed ends it.
    prices.collect::<Vec<_>>().into_iter().collect()
}

fn read_price(fields: &mut Fields<'_>) -> Option<CatalogPrice> {
    let plan_type = fields.word("plan_type", &PlanType::ALL, PlanType::as_str);
    let deployment_type = fields.word(
        "deployment_type",
        &DeploymentType::ALL,
        DeploymentType::as_str,
    );
    let lookup_key = fields.text("lookup_key", LOOKUP_KEY_CHARS_MAX);
    let want = format!(
        "a decimal number of cents in quotes, 0 or more, with at most {AMOUNT_DECIMALS_MAX} decimals"
    );
    // A TOML float would lose what cents are made of.
    let unit_amount = fields.take("unit_amount_decimal", &want, |value| {
        let amount = Decimal::from_str_exact(value.as_str()?).ok()?;
        let fits = !amount.is_sign_negative() && amount.normalize().scale() <= AMOUNT_DECIMALS_MAX;
        fits.then_some(amount)
    });
    Some(CatalogPrice {
        plan_type: plan_type?,
        deployment_type: deployment_type?,
        lookup_key: lookup_key?,
        unit_amount: unit_amount?,
    })
}

fn check_prices(prices: &[CatalogPrice], problems: &mut Vec<String>) {
    for (index, price) in prices.iter().enumerate() {
        let mut earlier = prices.iter().take(index);
        if earlier.clone().any(|it| it.lookup_key == price.lookup_key) {
            problems.push(format!(
                "prices[{index}].lookup_key: '{}' is the key of an earlier price.",
                price.lookup_key
            ));
        }
        let terms = |it: &CatalogPrice| (it.plan_type, it.deployment_type);
        if earlier.any(|it| terms(it) == terms(price)) {
            problems.push(format!(
                "prices[{index}]: plan '{}' on '{}' has a price already.",
                price.plan_type.as_str(),
                price.deployment_type.as_str()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SAMPLE_CATALOG;

    #[test]
    fn the_sample_reads_has_a_price_for_every_term_and_says_that_it_is_one() {
        let catalog = parse(SAMPLE_CATALOG).unwrap();
        assert!(catalog.sample);
        for plan in PlanType::ALL {
            for deployment in DeploymentType::ALL {
                assert!(
                    catalog.price(plan, deployment).is_some(),
                    "{plan:?} {deployment:?}"
                );
            }
        }
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let text = SAMPLE_CATALOG
            .replace("currency = \"eur\"", "currency = \"Euro\"")
            .replace("formula = \"sum\"", "formula = \"max\"")
            .replace("days_until_due = ", "due_days = ")
            .replace(
                "plan_type = \"self-hosted\"",
                "plan_type = \"managed-cloud\"",
            )
            .replace("unit_amount_decimal = \"33\"", "unit_amount_decimal = 33");
        let problems = parse(&text).unwrap_err().join("\n");
        for part in [
            "currency: it is \"Euro\"",
            "meter.formula",
            "days_until_due: it is missing",
            "due_days: there is no such field",
            "prices[0].unit_amount_decimal: it is 33",
        ] {
            assert!(problems.contains(part), "{part} is not in:\n{problems}");
        }
    }

    #[test]
    fn a_meter_that_a_late_report_would_upset_is_refused() {
        let text = SAMPLE_CATALOG.replace("formula = \"sum\"", "formula = \"last\"");
        let problems = parse(&text).unwrap_err().join("\n");
        assert!(
            problems.contains("meter.formula: it is \"last\""),
            "{problems}"
        );
    }

    #[test]
    fn one_term_has_one_price_and_one_price_one_key() {
        let text = SAMPLE_CATALOG
            .replace(
                "plan_type = \"self-hosted\"",
                "plan_type = \"managed-cloud\"",
            )
            .replace("_self_hosted_", "_managed_cloud_");
        let problems = parse(&text).unwrap_err().join("\n");
        assert!(problems.contains("has a price already"), "{problems}");
        assert!(
            problems.contains("is the key of an earlier price"),
            "{problems}"
        );
    }
}
