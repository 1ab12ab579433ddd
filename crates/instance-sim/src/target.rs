//! Where requests may go. Load and demo data are for one's own machine unless the caller insists.
use anyhow::{Context as _, bail};
use reqwest::Url;

/// Parses a base URL, without its trailing slash.
pub(crate) fn base_url(text: &str) -> anyhow::Result<String> {
    let url = Url::parse(text).with_context(|| format!("{text} is no URL"))?;
    if url.host_str().is_none() || !matches!(url.scheme(), "http" | "https") {
        bail!("{text} is no http(s) URL");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Fails unless the URL is on this machine or `allow_remote` is set.
pub(crate) fn must_be_local(text: &str, allow_remote: bool) -> anyhow::Result<()> {
    let url = Url::parse(text).with_context(|| format!("{text} is no URL"))?;
    let host = url.host_str().unwrap_or_default();
    let local = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if !local && !allow_remote {
        bail!("{host} is not this machine; pass --allow-remote if it is meant");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_local() {
        for local in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:8080",
        ] {
            must_be_local(local, false).unwrap();
        }
        for remote in [
            "https://billing.vaultai.eu",
            "http://10.0.0.1",
            "http://localhost.example",
        ] {
            must_be_local(remote, false).unwrap_err();
            must_be_local(remote, true).unwrap();
        }
        assert_eq!(
            base_url("http://127.0.0.1:8080/").unwrap(),
            "http://127.0.0.1:8080"
        );
        base_url("postgres://127.0.0.1").unwrap_err();
    }
}
