//! The body of `POST /api/usage-report`, to the letter of the specification.
use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// What an instance reports: how many users it has at a moment.
#[derive(Debug, Clone, Serialize)]
pub struct UsageReport {
    /// The organization's id in the instance's own database.
    pub organization_id: Uuid,
    /// Its name there.
    pub organization_name: String,
    /// The instance's host, for example `acme.vaultai.eu`.
    pub instance_url: String,
    /// Number of users.
    pub user_count: i64,
    /// The moment of the count. On the wire to the second.
    #[serde(serialize_with = "to_the_second")]
    pub timestamp: DateTime<Utc>,
}

/// What the billing service answers to a report that it has recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// Always true.
    pub success: bool,
    /// `Usage report received`.
    pub message: String,
    /// The recorded report's id.
    pub report_id: String,
    /// How the organization stands: `pending` until it is linked.
    pub organization_status: String,
    /// UTC days without a report; only where the billing service knows who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_days: Option<Vec<NaiveDate>>,
}

fn to_the_second<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.format("%Y-%m-%dT%H:%M:%SZ"))
}

/// The `instance_url` of a report: the host of `NEXT_PUBLIC_APP_URL`, with its port if it names one.
pub fn instance_url(app_url: &str) -> anyhow::Result<String> {
    let url = if app_url.contains("://") {
        app_url.to_owned()
    } else {
        format!("https://{app_url}")
    };
    let url = reqwest::Url::parse(&url).with_context(|| format!("{app_url} is no URL"))?;
    let Some(host) = url.host_str() else {
        bail!("{app_url} names no host");
    };
    Ok(url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn the_body_is_the_one_of_the_specification() {
        let report = UsageReport {
            organization_id: Uuid::from_u128(0xabc),
            organization_name: "Acme Corp".to_owned(),
            instance_url: "acme.vaultai.eu".to_owned(),
            user_count: 45,
            timestamp: Utc.with_ymd_and_hms(2024, 11, 3, 3, 0, 0).unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"organization_id":"00000000-0000-0000-0000-000000000abc","organization_name":"Acme Corp","instance_url":"acme.vaultai.eu","user_count":45,"timestamp":"2024-11-03T03:00:00Z"}"#
        );
    }

    #[test]
    fn the_instance_url_is_a_host() {
        assert_eq!(
            instance_url("https://acme.vaultai.eu").unwrap(),
            "acme.vaultai.eu"
        );
        assert_eq!(
            instance_url("https://acme.vaultai.eu/app?x=1").unwrap(),
            "acme.vaultai.eu"
        );
        assert_eq!(instance_url("acme.vaultai.eu").unwrap(), "acme.vaultai.eu");
        assert_eq!(
            instance_url("http://localhost:3000").unwrap(),
            "localhost:3000"
        );
        assert!(instance_url("https://").is_err());
    }
}
