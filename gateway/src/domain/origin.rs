//! Which changes that a browser sends are believed: Better Auth's origin rule.
//!
//! A browser adds cookies to whatever any page has it send; that a change is meant is told by the
//! page's origin, which a page cannot choose.
//!
//! The admins' API has one exception: a request that no browser could have sent needs no origin. The
//! specification's own `curl` line is one, a cookie and JSON.

use url::Url;

/// The origins whose pages may change something.
#[derive(Debug, Clone, Default)]
pub struct TrustedOrigins(Vec<Pattern>);

#[derive(Debug, Clone)]
enum Pattern {
    Exact(String),
    /// With `*` for any text and `?` for any one character, over the origin, or, where it names no
    /// scheme, over host and port.
    Wildcard(String),
}

/// Why a change is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginFault {
    /// The origin is known, and is none of ours.
    Invalid,
    /// An origin is needed and there is none.
    MissingOrNull,
    /// Another site had the browser navigate to the sign-in.
    CrossSiteNavigation,
}

/// What a request's headers say of where it came from; an empty header counts as none.
#[derive(Debug, Clone, Copy, Default)]
pub struct OriginFacts<'a> {
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Referer`.
    pub referer: Option<&'a str>,
    /// `Host`, or HTTP/2's authority.
    pub host: Option<&'a str>,
    /// Whether there is any `Cookie`.
    pub has_cookie: bool,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// `Sec-Fetch-Mode`.
    pub fetch_mode: Option<&'a str>,
    /// `Sec-Fetch-Dest`.
    pub fetch_dest: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
}

impl OriginFacts<'_> {
    /// Whether no browser sent the request. A page that sends JSON across origins is asked for
    /// permission first (CORS), and each browser then names an origin, a referrer or `Sec-Fetch-*`.
    fn is_from_a_program(&self) -> bool {
        let is_json = self.content_type.is_some_and(|kind| {
            let essence = kind.split(';').next().unwrap_or_default();
            essence.trim().eq_ignore_ascii_case("application/json")
        });
        let named_by_browsers = [
            self.origin,
            self.referer,
            self.fetch_site,
            self.fetch_mode,
            self.fetch_dest,
        ];
        is_json && named_by_browsers.iter().all(Option::is_none)
    }
}

impl TrustedOrigins {
    /// Adds the origin of one of our own URLs.
    pub fn trust_url(&mut self, url: &Url) {
        let origin = url.origin().ascii_serialization();
        self.0.push(Pattern::Exact(origin));
    }

    /// Adds an entry of the configuration: an origin, or a pattern such as `https://*.example.com`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn trust_entry(&mut self, entry: &str) -> Result<(), String> {
        if entry.contains(['*', '?']) {
            self.0.push(Pattern::Wildcard(entry.to_owned()));
            return Ok(());
        }
        match Url::parse(entry) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                self.trust_url(&url);
                Ok(())
            }
            Ok(_) | Err(_) => Err(format!(
                "'{entry}' is no origin, for example https://billing.example.com"
            )),
        }
    }

    /// Whether an origin, in its serialized form, is trusted.
    pub fn trusts(&self, origin: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Exact(trusted) => trusted == origin,
            Pattern::Wildcard(pattern) if pattern.contains("://") => matches(pattern, origin),
            Pattern::Wildcard(pattern) => origin
                .split_once("://")
                .is_some_and(|(_, host)| matches(pattern, host)),
        })
    }

    /// The rule for changes: where there is a cookie, the origin must be one of ours.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check_change(&self, facts: &OriginFacts<'_>) -> Result<(), OriginFault> {
        if facts.has_cookie {
            self.validate(facts)
        } else {
            Ok(())
        }
    }

    /// The rule for changes in the admins' API: as for every change, but what no browser sent needs no
    /// origin.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check_admin_change(&self, facts: &OriginFacts<'_>) -> Result<(), OriginFault> {
        if facts.is_from_a_program() {
            return Ok(());
        }
        self.check_change(facts)
    }

    /// The rule for sign-in, which makes a cookie and needs none: whatever shows that a browser
    /// sends it calls for an origin of ours.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check_sign_in(&self, facts: &OriginFacts<'_>) -> Result<(), OriginFault> {
        if facts.has_cookie {
            return self.validate(facts);
        }
        let fetch = [facts.fetch_site, facts.fetch_mode, facts.fetch_dest];
        if facts.fetch_site == Some("cross-site") && facts.fetch_mode == Some("navigate") {
            return Err(OriginFault::CrossSiteNavigation);
        }
        let from_browser = fetch.iter().any(Option::is_some);
        if from_browser || facts.origin.is_some() || facts.referer.is_some() {
            return self.validate(facts);
        }
        Ok(())
    }

    fn validate(&self, facts: &OriginFacts<'_>) -> Result<(), OriginFault> {
        match facts.origin {
            // Privacy settings make a browser hide the origin; it still says whether it is the same.
            Some("null") if facts.fetch_site == Some("same-origin") => {
                self.validate_own(facts.host)
            }
            Some("null") => Err(OriginFault::MissingOrNull),
            Some(origin) if self.trusts(origin) => Ok(()),
            Some(_) => Err(OriginFault::Invalid),
            None => match facts.referer {
                None => Err(OriginFault::MissingOrNull),
                Some(referer) => {
                    let origin = Url::parse(referer).map(|url| url.origin().ascii_serialization());
                    if origin.is_ok_and(|origin| self.trusts(&origin)) {
                        Ok(())
                    } else {
                        Err(OriginFault::Invalid)
                    }
                }
            },
        }
    }

    /// Behind an ingress the request does not tell its scheme, so either may be the trusted one.
    fn validate_own(&self, host: Option<&str>) -> Result<(), OriginFault> {
        let host = host.ok_or(OriginFault::MissingOrNull)?;
        let own = ["https", "http"].map(|scheme| format!("{scheme}://{host}"));
        if own.iter().any(|origin| self.trusts(origin)) {
            Ok(())
        } else {
            Err(OriginFault::Invalid)
        }
    }

    /// Whether a sign-in may lead to this address: a plain path of ours, or a trusted origin.
    pub fn trusts_callback(&self, callback: &str) -> bool {
        match callback.strip_prefix('/') {
            Some(path) => is_plain_path(path),
            None => Url::parse(callback)
                .is_ok_and(|url| self.trusts(&url.origin().ascii_serialization())),
        }
    }
}

/// Whether what follows the first slash stays with us: `//host` and `/\host` lead a browser away.
fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let leads_away = ["/", "\\", "%2f", "%5c"]
        .iter()
        .any(|start| lower.starts_with(start));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let in_path = |c: char| c.is_ascii_alphanumeric() || "_-.+/@".contains(c);
    let in_query = |c: char| in_path(c) || "=&%".contains(c);
    !leads_away && path.chars().all(in_path) && query.chars().all(in_query)
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let tails = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            tails
                .filter_map(|at| text.get(at..))
                .any(|tail| matches(rest.as_str(), tail))
        }
        Some(wanted) => {
            let mut chars = text.chars();
            chars.next().is_some_and(|c| {
                (wanted == '?' || wanted == c) && matches(rest.as_str(), chars.as_str())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OriginFault::{CrossSiteNavigation, Invalid, MissingOrNull};

    const OURS: &str = "https://billing.vaultai.eu";

    fn trusted() -> TrustedOrigins {
        let mut origins = TrustedOrigins::default();
        origins.trust_url(&Url::parse(&format!("{OURS}/base")).unwrap());
        origins.trust_entry("http://127.0.0.1:8080/").unwrap();
        origins.trust_entry("https://*.example.com").unwrap();
        origins
    }

    #[test]
    fn origins_match_exactly_or_by_pattern() {
        let origins = trusted();
        for (origin, good) in [
            (OURS, true),
            ("http://billing.vaultai.eu", false),
            ("https://billing.vaultai.eu:8443", false),
            ("https://billing.vaultai.eu.evil.com", false),
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080", false),
            ("https://a.example.com", true),
            ("https://example.com", false),
            ("https://a.example.com.evil.org", false),
            ("", false),
        ] {
            assert_eq!(origins.trusts(origin), good, "{origin}");
        }
        let mut loose = TrustedOrigins::default();
        loose.trust_entry("app?.example.com").unwrap();
        assert!(loose.trusts("http://app1.example.com"));
        assert!(loose.trust_entry("example.com").is_err());
    }

    /// Headers as one text: `o=` Origin, `r=` Referer, `h=` Host, `s=`, `m=` and `d=` Sec-Fetch-Site,
    /// -Mode and -Dest, `t=` Content-Type, `c` a cookie.
    fn facts(headers: &'static str) -> OriginFacts<'static> {
        let value = |name: &str| {
            let mut parts = headers.split(' ');
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        OriginFacts {
            origin: value("o"),
            referer: value("r"),
            host: value("h"),
            has_cookie: headers.split(' ').any(|part| part == "c"),
            fetch_site: value("s"),
            fetch_mode: value("m"),
            fetch_dest: value("d"),
            content_type: value("t"),
        }
    }

    #[test]
    fn the_table_for_changes() {
        for (headers, want) in [
            ("", Ok(())),
            ("o=https://evil.example", Ok(())),
            ("c", Err(MissingOrNull)),
            ("c o=https://billing.vaultai.eu", Ok(())),
            ("c o=https://evil.example", Err(Invalid)),
            (
                "c o=https://evil.example r=https://billing.vaultai.eu/",
                Err(Invalid),
            ),
            ("c r=https://billing.vaultai.eu/x?y", Ok(())),
            ("c r=https://evil.example/x", Err(Invalid)),
            ("c r=nonsense", Err(Invalid)),
            ("c o=null", Err(MissingOrNull)),
            (
                "c o=null s=cross-site h=billing.vaultai.eu",
                Err(MissingOrNull),
            ),
            ("c o=null s=same-origin h=billing.vaultai.eu", Ok(())),
            ("c o=null s=same-origin h=evil.example", Err(Invalid)),
            ("c o=null s=same-origin", Err(MissingOrNull)),
        ] {
            assert_eq!(trusted().check_change(&facts(headers)), want, "{headers}");
        }
    }

    #[test]
    fn the_table_for_changes_by_programs() {
        for (headers, want) in [
            ("c t=application/json", Ok(())),
            ("c t=Application/JSON;charset=utf-8", Ok(())),
            ("c", Err(MissingOrNull)),
            ("c t=application/x-www-form-urlencoded", Err(MissingOrNull)),
            ("c t=text/plain;application/json", Err(MissingOrNull)),
            ("c t=application/json s=cross-site", Err(MissingOrNull)),
            ("c t=application/json m=cors", Err(MissingOrNull)),
            ("c t=application/json d=empty", Err(MissingOrNull)),
            ("c t=application/json o=null", Err(MissingOrNull)),
            ("c t=application/json o=https://evil.example", Err(Invalid)),
            ("c t=application/json r=https://evil.example/", Err(Invalid)),
            (
                "c t=application/json o=https://billing.vaultai.eu s=same-origin",
                Ok(()),
            ),
        ] {
            assert_eq!(
                trusted().check_admin_change(&facts(headers)),
                want,
                "{headers}"
            );
        }
    }

    #[test]
    fn the_table_for_sign_in() {
        for (headers, want) in [
            ("", Ok(())),
            ("o=https://billing.vaultai.eu", Ok(())),
            ("o=https://evil.example", Err(Invalid)),
            ("r=https://evil.example/", Err(Invalid)),
            ("s=same-origin", Err(MissingOrNull)),
            ("d=document", Err(MissingOrNull)),
            (
                "s=cross-site m=navigate o=https://billing.vaultai.eu",
                Err(CrossSiteNavigation),
            ),
            ("s=cross-site m=cors o=https://billing.vaultai.eu", Ok(())),
            ("c", Err(MissingOrNull)),
        ] {
            assert_eq!(trusted().check_sign_in(&facts(headers)), want, "{headers}");
        }
    }

    #[test]
    fn a_callback_stays_with_us() {
        for (callback, good) in [
            ("/", true),
            ("/dashboard?x=1&y=%20", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("/%2Fevil.example", false),
            ("/a b", false),
            ("https://billing.vaultai.eu/x", true),
            ("https://evil.example/x", false),
            ("javascript:alert(1)", false),
            ("dashboard", false),
        ] {
            assert_eq!(trusted().trusts_callback(callback), good, "{callback}");
        }
    }
}
