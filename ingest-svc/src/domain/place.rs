//! Instance URLs as places: a host and a port. People and releases write one place in many ways.

use std::net::IpAddr;

use url::Url;

/// The ports that nobody writes, whatever the scheme.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// In lower case and ASCII (punycode), without the dot at its end.
    host: String,
    /// Where it is not a default one.
    port: Option<u16>,
}

impl Place {
    /// The place that a text names. Scheme, user, path, query, default ports, case and the dot and slash
    /// at the end do not matter.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.trim();
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&with_scheme).ok();
        let host = url.as_ref().and_then(Url::host_str);
        let Some((url, host)) = url.as_ref().zip(host) else {
            // It names no host: it is compared as it is written.
            return Self {
                host: text.to_lowercase(),
                port: None,
            };
        };
        // A scheme that is not known keeps the case of its host.
        let host = host.trim_end_matches('.').to_lowercase();
        Self {
            host,
            port: url.port().filter(|port| !DEFAULT_PORTS.contains(port)),
        }
    }

    fn labels(&self) -> Vec<&str> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() {
            // The parts of an address have no meaning of their own.
            vec![self.host.as_str()]
        } else {
            self.host.split('.').collect()
        }
    }

    fn port_text(&self) -> String {
        self.port.map_or_else(String::new, |it| format!(":{it}"))
    }
}

/// The change from one place to another without the part that is the organization's own, which is `*`:
/// `*` to `app.*`, `*.eu` to `*.com`, `*` to `*:8443`. Two organizations whose URLs a new release writes
/// in another way show the same change.
pub(crate) fn change(from: &Place, to: &Place) -> String {
    let (known, new) = (from.labels(), to.labels());
    let common = |a: &[&str], b: &[&str]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let front = common(&known, &new);
    let (known_rest, new_rest) = (rest(&known, front), rest(&new, front));
    let reversed = |labels: &[&'_ str]| -> Vec<String> {
        labels.iter().rev().map(|it| (*it).to_owned()).collect()
    };
    let (known_back, new_back) = (reversed(known_rest), reversed(new_rest));
    let back = known_back
        .iter()
        .zip(&new_back)
        .take_while(|(a, b)| a == b)
        .count();
    let middle = |labels: &[&str]| labels.get(..labels.len() - back).unwrap_or(&[]).join(".");
    let (known_middle, new_middle) = (middle(known_rest), middle(new_rest));
    if front + back == 0 && known != new {
        // Nothing is common: what it comes from is the organization's own.
        return format!("* to {}{}", to.host, to.port_text());
    }
    let own = |middle: &str| pattern(front > 0, middle, back > 0);
    let (mut from_text, mut to_text) = (own(&known_middle), own(&new_middle));
    if !known_middle.is_empty() && new_middle.contains(&known_middle) {
        // acme to acme-prod: the label is the organization's own.
        from_text = pattern(front > 0, "*", back > 0);
        to_text = pattern(
            front > 0,
            &new_middle.replacen(&known_middle, "*", 1),
            back > 0,
        );
    }
    format!(
        "{from_text}{} to {to_text}{}",
        from.port_text(),
        to.port_text()
    )
}

fn rest<'a>(labels: &'a [&'a str], from: usize) -> &'a [&'a str] {
    labels.get(from..).unwrap_or(&[])
}

/// What is common at both ends as `*`, and what is between them.
fn pattern(has_front: bool, middle: &str, has_back: bool) -> String {
    let front = has_front.then_some("*");
    let back = has_back.then_some("*");
    let parts = front.into_iter().chain(Some(middle)).chain(back);
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    let all_common = middle.is_empty();
    if all_common {
        "*".to_owned()
    } else {
        parts.join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_written_in_many_ways() {
        let place = Place::of("acme.vaultai.eu");
        for text in [
            "https://acme.vaultai.eu",
            "HTTPS://Acme.VaultAI.eu/",
            "http://acme.vaultai.eu",
            "acme.vaultai.eu:443",
            "acme.vaultai.eu:80",
            "http://acme.vaultai.eu:443/",
            "https://acme.vaultai.eu.",
            "https://acme.vaultai.eu:443/app/login?next=%2F#top",
            "https://admin@acme.vaultai.eu/",
            " acme.vaultai.eu ",
        ] {
            assert_eq!(Place::of(text), place, "{text}");
        }
        for text in [
            "acme.vaultai.eu.example",
            "app.acme.vaultai.eu",
            "acme.vaultai.eu:8443",
            "acme-vaultai.eu",
            "acme.vaultai.eu@elsewhere.example",
        ] {
            assert_ne!(Place::of(text), place, "{text}");
        }
        let umlaut = Place::of("müller.example");
        for text in [
            "MÜLLER.example",
            "xn--mller-kva.example",
            "https://xn--mller-kva.example:443",
        ] {
            assert_eq!(Place::of(text), umlaut, "{text}");
        }
        assert_eq!(
            Place::of("[2001:DB8::1]"),
            Place::of("https://[2001:db8:0::1]:443/")
        );
        assert_eq!(
            Place::of("Intranet Server 1"),
            Place::of("intranet server 1")
        );
    }

    #[test]
    fn a_new_release_shows_the_same_change_for_each_organization() {
        for (from, to, expected) in [
            ("acme.vaultai.eu", "app.acme.vaultai.eu", "* to app.*"),
            ("beta.customer.org", "app.beta.customer.org", "* to app.*"),
            ("acme.vaultai.eu", "acme.vaultai.com", "*.eu to *.com"),
            ("acme.vaultai.eu", "acme.vaultai.eu:8443", "* to *:8443"),
            ("acme.vaultai.eu:8443", "acme.vaultai.eu", "*:8443 to *"),
            ("acme.vaultai.eu", "acme.cloud.vaultai.eu", "* to *.cloud.*"),
            ("acme.vaultai.eu", "acme-prod.vaultai.eu", "*.* to *-prod.*"),
            (
                "acme.vaultai.eu",
                "elsewhere.example",
                "* to elsewhere.example",
            ),
            ("10.0.0.5", "10.0.0.7", "* to 10.0.0.7"),
        ] {
            assert_eq!(change(&Place::of(from), &Place::of(to)), expected, "{from}");
        }
    }
}
