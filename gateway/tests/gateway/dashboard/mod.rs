//! The pages, as a browser without JavaScript uses them.

mod every_page;
mod ignoring;
mod lists;
mod subscriptions;
mod who_gets_in;

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};
use uuid::Uuid;

use crate::world::{Answer, SITE, World};

const ACME: Uuid = Uuid::from_u128(0xac);

/// A browser: it keeps cookies and sends forms as the page has them.
struct Browser<'a> {
    world: &'a World,
    cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            cookies: BTreeMap::new(),
        }
    }

    /// One that is signed in already.
    async fn of(world: &'a World, email: &str) -> Self {
        let mut browser = Self::new(world);
        browser.keep(&[world.sign_in(email).await]);
        browser
    }

    fn keep(&mut self, cookies: &[String]) {
        for cookie in cookies {
            let pair = cookie.split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookie = pairs.collect::<Vec<_>>().join("; ");
        self.world.request(method, path).header("cookie", cookie)
    }

    async fn get(&mut self, path: &str) -> Answer {
        let answer = Answer::of(self.request(Method::GET, path)).await;
        self.keep(&answer.cookies);
        answer
    }

    /// Opens a page and sends a form of it.
    async fn submit(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let opened = self.get(page).await;
        let token = form_token(&opened.text).to_owned();
        let mut fields = fields.to_vec();
        fields.push(("form_token", &token));
        self.post(action, &fields).await
    }

    async fn post(&mut self, action: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::POST, action).header("origin", SITE);
        let answer = Answer::of(request.form(fields)).await;
        self.keep(&answer.cookies);
        answer
    }
}

fn form_token(html: &str) -> &str {
    let (_, rest) = html.split_once("name=\"form_token\" value=\"").unwrap();
    rest.split('"').next().unwrap()
}

fn shows(answer: &Answer, parts: &[&str]) {
    for part in parts {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
}

/// What the preview's form sends.
fn terms<'a>(email: &'a str, trial_days: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("admin_email", email),
        ("deployment_type", "on-premise"),
        ("plan_type", "managed-cloud"),
        ("trial_days", trial_days),
        ("confirm", "yes"),
    ]
}
