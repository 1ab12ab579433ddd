//! The admin's public doors, as a browser uses them: sign in, look, link.
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::{COOKIE, HeaderValue, ORIGIN, SET_COOKIE};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::companies::{Company, Link};
use crate::http_client;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a link that goes on in the background is looked at.
const LINK_POLLS: u32 = 60;
const LINK_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// An admin who is signed in.
#[derive(Debug, Clone)]
pub(super) struct AdminDoor {
    client: Client,
    base_url: String,
    origin: String,
    cookie: HeaderValue,
}

#[derive(Debug, Serialize)]
struct LinkBody<'a> {
    admin_email: &'a str,
    deployment_type: &'a str,
    plan_type: &'a str,
    trial_days: i64,
}

#[derive(Debug, Deserialize)]
struct Listing {
    organizations: Lists,
}

#[derive(Debug, Deserialize)]
struct Lists {
    pending: Vec<Listed>,
    linked: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    id: Uuid,
}

impl AdminDoor {
    /// Signs in. `origin` is what the browser would say it is on.
    pub(super) async fn sign_in(
        base_url: &str,
        origin: &str,
        email: &str,
        password: &SecretString,
    ) -> anyhow::Result<Self> {
        let client = http_client::client(REQUEST_TIMEOUT)?;
        let body = serde_json::json!({"email": email, "password": password.expose_secret()});
        let response = client
            .post(format!("{base_url}/api/auth/sign-in/email"))
            .header(ORIGIN, origin)
            .json(&body)
            .send()
            .await
            .context("cannot sign in")?;
        let status = response.status();
        let cookies: Vec<&str> = response
            .headers()
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
            .filter(|cookie| cookie.contains("session_token="))
            .collect();
        if !status.is_success() || cookies.is_empty() {
            bail!("{email} could not sign in: HTTP {status}");
        }
        let mut cookie = HeaderValue::try_from(cookies.join("; "))?;
        cookie.set_sensitive(true);
        Ok(Self {
            client,
            base_url: base_url.to_owned(),
            origin: origin.to_owned(),
            cookie,
        })
    }

    /// Whether the organization is linked; fails when it is not listed at all.
    pub(super) async fn is_linked(&self, id: Uuid) -> anyhow::Result<bool> {
        let response = self
            .client
            .get(format!("{}/api/admin/organizations", self.base_url))
            .query(&[("q", id.to_string())])
            .header(COOKIE, self.cookie.clone())
            .send()
            .await
            .context("cannot list organizations")?
            .error_for_status()
            .context("cannot list organizations")?;
        let Listing {
            organizations: Lists { pending, linked },
        } = response.json().await?;
        if linked.iter().any(|listed| listed.id == id) {
            return Ok(true);
        }
        if pending.iter().any(|listed| listed.id == id) {
            return Ok(false);
        }
        bail!("organization {id} reported and is not listed")
    }

    /// Links a company as so many days ago, and waits until it is.
    pub(super) async fn link(
        &self,
        company: &Company,
        link: &Link,
        days_ago: i64,
    ) -> anyhow::Result<()> {
        let id = company.id();
        let response = self
            .client
            .post(format!(
                "{}/api/admin/organizations/{id}/link",
                self.base_url
            ))
            .header(COOKIE, self.cookie.clone())
            .header(ORIGIN, &self.origin)
            .json(&LinkBody {
                admin_email: &company.admin_email(),
                deployment_type: link.deployment_type,
                plan_type: link.plan_type,
                trial_days: link.stands.trial_days(days_ago),
            })
            .send()
            .await
            .with_context(|| format!("cannot link {}", company.name))?;
        let status = response.status();
        if status != StatusCode::ACCEPTED && status.is_success() {
            return Ok(());
        }
        if status != StatusCode::ACCEPTED {
            let detail = response.text().await.unwrap_or_default();
            bail!("cannot link {}: HTTP {status}: {detail}", company.name);
        }
        for _ in 0..LINK_POLLS {
            tokio::time::sleep(LINK_POLL_INTERVAL).await;
            if self.is_linked(id).await? {
                return Ok(());
            }
        }
        bail!(
            "the link of {} goes on in the background and does not end",
            company.name
        )
    }
}
