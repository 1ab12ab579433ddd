//! A browser as far as a measurement needs one. This little HTTP saves xtask a client library.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// Each request is a connection of its own.
pub(super) struct Client {
    base_url: String,
    authority: String,
    /// As the `Cookie` header has them.
    cookies: Vec<String>,
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    content_type: &'a str,
    body: &'a str,
    /// Whether to stop once the body begins.
    first_byte_only: bool,
}

impl<'a> Request<'a> {
    fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            content_type: "text/plain",
            body: "",
            first_byte_only: false,
        }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn of(base_url: &str) -> anyhow::Result<Self> {
        let authority = base_url.strip_prefix("http://");
        let authority = authority.with_context(|| format!("{base_url} is not plain HTTP"))?;
        Ok(Self {
            base_url: base_url.to_owned(),
            authority: authority.trim_end_matches('/').to_owned(),
            cookies: Vec::new(),
        })
    }

    pub(super) async fn sign_in(&mut self, email: &str, password: &str) -> anyhow::Result<()> {
        let body = json!({ "email": email, "password": password }).to_string();
        let status = self.post_json("/api/auth/sign-in/email", &body).await?;
        anyhow::ensure!(status == 200, "signing in is answered with {status}");
        Ok(())
    }

    /// The status that a body of JSON is answered with.
    pub(super) async fn post_json(&mut self, path: &str, body: &str) -> anyhow::Result<u16> {
        let request = Request {
            method: "POST",
            path,
            content_type: "application/json",
            body,
            first_byte_only: false,
        };
        Ok(self.ask(&request).await?.status)
    }

    /// A page's text.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        let Answer {
            status,
            head: _,
            body,
        } = self.ask(&Request::get(path)).await?;
        if status != 200 {
            bail!("{path} is answered with {status}");
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The status of a page, or of a form's answer, and how long it took.
    pub(super) async fn time(
        &mut self,
        path: &str,
        form: Option<&str>,
        first_byte_only: bool,
    ) -> anyhow::Result<(u16, Duration)> {
        let request = Request {
            method: if form.is_some() { "POST" } else { "GET" },
            path,
            content_type: "application/x-www-form-urlencoded",
            body: form.unwrap_or_default(),
            first_byte_only,
        };
        let asked_at = Instant::now();
        let answer = self.ask(&request).await?;
        Ok((answer.status, asked_at.elapsed()))
    }

    async fn ask(&mut self, request: &Request<'_>) -> anyhow::Result<Answer> {
        let mut stream = TcpStream::connect(&self.authority).await?;
        stream.write_all(self.written(request).as_bytes()).await?;
        let answer = read(&mut stream, request.first_byte_only).await?;
        let path = request.path;
        let answer = answer.with_context(|| format!("{path} has no HTTP answer"))?;
        self.keep_cookies(&answer.head);
        Ok(answer)
    }

    fn written(&self, request: &Request<'_>) -> String {
        let Request {
            method,
            path,
            content_type,
            body,
            first_byte_only: _,
        } = request;
        let Self {
            base_url,
            authority,
            cookies,
        } = self;
        let (cookies, length) = (cookies.join("; "), body.len());
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nOrigin: {base_url}\r\nAccept: text/html\r\nCookie: {cookies}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    fn keep_cookies(&mut self, head: &str) {
        for line in head.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if !name.eq_ignore_ascii_case("set-cookie") {
                continue;
            }
            let cookie = value.split(';').next().unwrap_or_default().trim();
            let (name, _) = cookie.split_once('=').unwrap_or((cookie, ""));
            let of_same_name = format!("{name}=");
            self.cookies.retain(|kept| !kept.starts_with(&of_same_name));
            self.cookies.push(cookie.to_owned());
        }
    }
}

async fn read(stream: &mut TcpStream, first_byte_only: bool) -> anyhow::Result<Option<Answer>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    while bytes.len() < MAX_ANSWER_BYTES {
        let count = stream.read(&mut buffer).await?;
        bytes.extend(buffer.iter().take(count));
        let body_begins = || answer(&bytes).is_some_and(|answer| !answer.body.is_empty());
        if count == 0 || first_byte_only && body_begins() {
            break;
        }
    }
    Ok(answer(&bytes))
}

fn answer(bytes: &[u8]) -> Option<Answer> {
    const END: &[u8] = b"\r\n\r\n";
    let end = bytes.windows(END.len()).position(|four| four == END)?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let body = rest.strip_prefix(END)?.to_vec();
    Some(Answer { status, head, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_its_cookies_are_kept() {
        let mut client = Client::of("http://127.0.0.1:1").unwrap();
        for (cookie, kept) in [("a=1; Path=/", "a=1"), ("a=2", "a=2"), ("b=3", "a=2; b=3")] {
            let text = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\n\r\n<p>");
            let answer = answer(text.as_bytes()).unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"<p>"[..]));
            client.keep_cookies(&answer.head);
            assert_eq!(client.cookies.join("; "), kept);
        }
        assert!(answer(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
