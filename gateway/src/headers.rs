//! What every answer says of itself, whichever handler gave it.

use http::{HeaderMap, HeaderValue, header};

/// A year: what lists of such sites ask for at least.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The headers of every answer. A handler's own `Cache-Control` stands: only what is the same for
/// everybody has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EveryAnswer {
    /// Whether the site's address is https. A browser that came by http believes no HSTS.
    pub(crate) is_https: bool,
}

impl EveryAnswer {
    /// Adds them.
    pub(crate) fn add(self, headers: &mut HeaderMap) {
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.is_https {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(is_https: bool, mut headers: HeaderMap) -> HeaderMap {
        EveryAnswer { is_https }.add(&mut headers);
        headers
    }

    #[test]
    fn nothing_is_kept_unless_its_handler_says_so() {
        let plain = added(false, HeaderMap::new());
        assert_eq!(plain[header::CACHE_CONTROL], "no-store");
        assert_eq!(plain[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let mut public = HeaderMap::new();
        let kept = HeaderValue::from_static("public, max-age=300");
        public.insert(header::CACHE_CONTROL, kept.clone());
        assert_eq!(added(false, public)[header::CACHE_CONTROL], kept);
    }

    #[test]
    fn only_a_site_behind_https_asks_browsers_to_stay_there() {
        let name = header::STRICT_TRANSPORT_SECURITY;
        assert!(!added(false, HeaderMap::new()).contains_key(&name));
        assert_eq!(added(true, HeaderMap::new())[&name], "max-age=31536000");
    }
}
