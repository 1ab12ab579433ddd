//! Amounts of money, as people write them.

use super::i18n::Language;

/// Currencies without a smaller unit, and those with thousandths, as Stripe's documentation has them.
const WITHOUT_DECIMALS: [&str; 16] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
    "xaf", "xof", "xpf",
];
/// See [`WITHOUT_DECIMALS`].
const WITH_THREE_DECIMALS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// An amount in a currency's smallest unit.
pub(super) fn amount(language: Language, minor: i64, currency: &str) -> String {
    decimal(language, &minor.to_string(), currency)
}

/// The same of a decimal number, as prices are; what is no number is shown as it came.
pub(super) fn decimal(language: Language, minor: &str, currency: &str) -> String {
    let code = currency.to_ascii_uppercase();
    let (sign, digits) = match minor.strip_prefix('-') {
        Some(digits) => ("\u{2212}", digits),
        None => ("", minor),
    };
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let places = places(currency);
    // One digit at least stands before the point.
    let width = places + 1;
    let whole = format!("{whole:0>width$}");
    let split = whole.len().saturating_sub(places);
    let (units, cents) = whole.split_at_checked(split).unwrap_or((&whole, ""));
    let Ok(units) = units.parse::<i64>() else {
        return format!("{minor} {code}");
    };
    let rest = rest.trim_end_matches('0');
    let units = language.number(units);
    let fraction = format!("{cents}{rest}");
    let point = if fraction.is_empty() { "" } else { "." };
    let number = format!("{units}{}", language.decimal(&format!("{point}{fraction}")));
    format!("{sign}{number}\u{a0}{code}")
}

fn places(currency: &str) -> usize {
    let is = |known: &&str| known.eq_ignore_ascii_case(currency);
    if WITHOUT_DECIMALS.iter().any(is) {
        0
    } else if WITH_THREE_DECIMALS.iter().any(is) {
        3
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_each_language_does() {
        for (minor, currency, english, french) in [
            ("583", "eur", "5.83 EUR", "5,83 EUR"),
            ("0", "eur", "0.00 EUR", "0,00 EUR"),
            ("-5", "usd", "−0.05 USD", "−0,05 USD"),
            (
                "123456789",
                "eur",
                "1,234,567.89 EUR",
                "1\u{202f}234\u{202f}567,89 EUR",
            ),
            ("26.5", "eur", "0.265 EUR", "0,265 EUR"),
            ("33.3300", "eur", "0.3333 EUR", "0,3333 EUR"),
            ("1500", "jpy", "1,500 JPY", "1\u{202f}500 JPY"),
            ("0.5", "jpy", "0.5 JPY", "0,5 JPY"),
            ("1500", "KWD", "1.500 KWD", "1,500 KWD"),
            ("nonsense", "eur", "nonsense EUR", "nonsense EUR"),
        ] {
            let written = decimal(Language::English, minor, currency);
            assert_eq!(written.replace('\u{a0}', " "), english);
            let written = decimal(Language::French, minor, currency);
            assert_eq!(written.replace('\u{a0}', " "), french);
        }
        assert_eq!(
            amount(Language::English, -583, "eur"),
            "\u{2212}5.83\u{a0}EUR"
        );
    }
}
