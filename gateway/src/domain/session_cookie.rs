//! Better Auth's cookies: their names, their signature, their attributes.
//!
//! The attributes stand in the order in which Better Auth writes them, so that nobody who compares
//! finds a difference. `session_data`, its cache of a session in the browser, is never believed and
//! always cleared: a session that was ended would live on in it.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How long a session lasts that is to be remembered, in seconds: seven days.
const SESSION_SECONDS: u32 = 604_800;
/// A base64 SHA-256 HMAC is always this long, in characters.
const SIGNATURE_LEN: usize = 44;
/// The most chunks of `session_data` that are cleared in one answer; a browser keeps no more.
const CHUNKS_MAX: usize = 100;

/// The most session cookies of a request that are tried; each costs a query.
const SESSIONS_MAX: usize = 5;

/// How long a browser keeps what shows that it signed in here before, in seconds: 400 days, the most
/// that browsers keep anything.
const DEVICE_SECONDS: u32 = 34_560_000;
/// How many accounts of one browser are remembered.
const DEVICES_MAX: usize = 3;
/// Between two of them; no token has it.
const DEVICE_SEPARATOR: char = '~';

const DEVICE: &str = "billing.device";
const SESSION_TOKEN: &str = "better-auth.session_token";
const SESSION_DATA: &str = "better-auth.session_data";
const DONT_REMEMBER: &str = "better-auth.dont_remember";

/// JavaScript's `encodeURIComponent`.
const URI_COMPONENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The secret that stands for a session.
#[derive(Clone)]
pub(crate) struct SessionToken(SecretString);

impl SessionToken {
    /// A token as somebody showed it: opaque.
    pub(crate) fn new(token: impl Into<String>) -> Self {
        Self(token.into().into())
    }

    /// The token itself, for the wire.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken")
    }
}

/// Signs and reads the cookies of one deployment.
#[derive(Debug, Clone)]
pub(crate) struct SessionCookies {
    secret: SecretString,
    secure: bool,
}

impl SessionCookies {
    /// Cookies signed with the secret's bytes as they are. They are `secure`, and named so, where
    /// the site's address begins with `https://`.
    pub(crate) fn new(secret: SecretString, secure: bool) -> Self {
        Self { secret, secure }
    }

    /// The session tokens that these `Cookie` headers carry with a good signature, in order. A browser
    /// sends several cookies of one name where they were set for different paths or domains, and the
    /// first one may be stale.
    pub(crate) fn session_tokens(&self, jar: &CookieJar<'_>) -> Vec<SessionToken> {
        let mut tokens = Vec::new();
        for token in self.signed(jar, SESSION_TOKEN).take(SESSIONS_MAX) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens.into_iter().map(SessionToken::new).collect()
    }

    /// Whether they say, with a good signature, that the session ends with the browser.
    pub(crate) fn dont_remember(&self, jar: &CookieJar<'_>) -> bool {
        self.signed(jar, DONT_REMEMBER).any(|text| text == "true")
    }

    /// Whether they carry cached session data, which is to be cleared.
    pub(crate) fn has_session_data(&self, jar: &CookieJar<'_>) -> bool {
        let name = self.name(SESSION_DATA);
        jar.0
            .iter()
            .any(|(sent, _)| *sent == name || is_chunk(sent, &name))
    }

    /// The `Set-Cookie` of a session that goes on for seven days more.
    pub(crate) fn extend_session(&self, token: &SessionToken) -> String {
        self.set(SESSION_TOKEN, token.expose(), Some(SESSION_SECONDS))
    }

    /// The `Set-Cookie`s of a new session.
    pub(crate) fn start_session(
        &self,
        token: &SessionToken,
        remember: bool,
        jar: &CookieJar<'_>,
    ) -> Vec<String> {
        let mut cookies = if remember {
            vec![self.extend_session(token)]
        } else {
            vec![
                self.set(SESSION_TOKEN, token.expose(), None),
                self.set(DONT_REMEMBER, "true", None),
            ]
        };
        if remember && self.dont_remember(jar) {
            cookies.push(self.clear(&self.name(DONT_REMEMBER)));
        }
        cookies.extend(self.clear_session_data(jar));
        cookies
    }

    /// What this browser got when it signed in before, an entry for each account. It survives a
    /// sign-out.
    pub(crate) fn device_tokens(&self, jar: &CookieJar<'_>) -> Vec<String> {
        let texts = self.signed(jar, DEVICE).take(1);
        texts
            .flat_map(|text| {
                let tokens = text.split(DEVICE_SEPARATOR).map(str::to_owned);
                tokens.take(DEVICES_MAX).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The `Set-Cookie` that remembers one more of them, in the place of the browser's older one.
    pub(crate) fn remember_device(&self, token: &str, jar: &CookieJar<'_>) -> String {
        let name_of = |token: &str| token.split('.').next().map(str::to_owned);
        let mut tokens = self.device_tokens(jar);
        tokens.retain(|older| name_of(older) != name_of(token));
        tokens.insert(0, token.to_owned());
        tokens.truncate(DEVICES_MAX);
        let text = tokens.join(&DEVICE_SEPARATOR.to_string());
        self.set(DEVICE, &text, Some(DEVICE_SECONDS))
    }

    /// The `Set-Cookie`s that end a session in the browser.
    pub(crate) fn end_session(&self, jar: &CookieJar<'_>) -> Vec<String> {
        let mut cookies = vec![self.clear(&self.name(SESSION_TOKEN))];
        cookies.extend(self.clear_session_data(jar));
        cookies.push(self.clear(&self.name(DONT_REMEMBER)));
        cookies
    }

    /// The `Set-Cookie`s that clear cached session data, with whatever chunks of it were sent.
    pub(crate) fn clear_session_data(&self, jar: &CookieJar<'_>) -> Vec<String> {
        let name = self.name(SESSION_DATA);
        let chunks = jar
            .0
            .iter()
            .filter(|(sent, _)| is_chunk(sent, &name))
            .take(CHUNKS_MAX)
            .map(|(sent, _)| self.clear(sent));
        [self.clear(&name)].into_iter().chain(chunks).collect()
    }

    /// The `Set-Cookie` of something that is not Better Auth's and no secret of anybody: for so many
    /// seconds, or until the browser is closed.
    pub(crate) fn plain(&self, name: &str, value: &str, max_age: Option<u32>) -> String {
        let max_age = max_age.map_or_else(String::new, |seconds| format!("Max-Age={seconds}; "));
        format!("{name}={value}; {max_age}{}", self.attributes())
    }

    /// What a form of this browser and this session carries. It signs other texts than the cookies
    /// do: theirs have no line breaks.
    pub(crate) fn form_token(&self, number: &str, session: Option<&SessionToken>) -> String {
        let signature = self.mac(&form_text(number, session)).finalize();
        BASE64_URL_SAFE_NO_PAD.encode(signature.into_bytes())
    }

    /// Whether a form's token is that of this browser and this session.
    pub(crate) fn is_form_token(
        &self,
        shown: &str,
        number: &str,
        session: Option<&SessionToken>,
    ) -> bool {
        let shown = BASE64_URL_SAFE_NO_PAD.decode(shown);
        let expected = self.mac(&form_text(number, session));
        shown.is_ok_and(|shown| expected.verify_slice(&shown).is_ok())
    }

    /// Only the name's own variant is read: a `__Secure-` cookie is nothing to a plain site.
    fn name(&self, name: &str) -> String {
        let prefix = if self.secure { "__Secure-" } else { "" };
        format!("{prefix}{name}")
    }

    fn set(&self, name: &str, text: &str, max_age: Option<u32>) -> String {
        let value = self.sign(text);
        let max_age = max_age.map_or_else(String::new, |seconds| format!("Max-Age={seconds}; "));
        format!(
            "{}={value}; {max_age}{}",
            self.name(name),
            self.attributes()
        )
    }

    fn clear(&self, full_name: &str) -> String {
        format!("{full_name}=; Max-Age=0; {}", self.attributes())
    }

    fn attributes(&self) -> &'static str {
        if self.secure {
            "Path=/; HttpOnly; Secure; SameSite=Lax"
        } else {
            "Path=/; HttpOnly; SameSite=Lax"
        }
    }

    fn sign(&self, text: &str) -> String {
        let signature = BASE64_STANDARD.encode(self.mac(text).finalize().into_bytes());
        utf8_percent_encode(&format!("{text}.{signature}"), &URI_COMPONENT).to_string()
    }

    /// The texts that the cookies of a name carry with a good signature, in order.
    fn signed(&self, jar: &CookieJar<'_>, name: &str) -> impl Iterator<Item = String> {
        let name = self.name(name);
        let sent = jar.0.iter().filter(move |(sent, _)| *sent == name);
        sent.filter_map(|(_, value)| {
            let decoded = value
                .contains('%')
                .then(|| percent_decode_str(value).decode_utf8().ok())
                .flatten();
            self.verify(decoded.as_deref().unwrap_or(value))
        })
    }

    fn verify(&self, value: &str) -> Option<String> {
        let (text, signature) = value.rsplit_once('.')?;
        if signature.len() != SIGNATURE_LEN || !signature.ends_with('=') {
            return None;
        }
        let signature = BASE64_STANDARD.decode(signature).ok()?;
        self.mac(text).verify_slice(&signature).ok()?;
        Some(text.to_owned())
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes())
            .expect("a key of any length");
        mac.update(text.as_bytes());
        mac
    }
}

fn form_text(number: &str, session: Option<&SessionToken>) -> String {
    let session = session.map_or("", SessionToken::expose);
    format!("form\n{number}\n{session}")
}

fn is_chunk(sent: &str, session_data: &str) -> bool {
    sent.strip_prefix(session_data)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The cookies that a request carries, in order. Values are as they were sent.
#[derive(Clone, Default)]
pub(crate) struct CookieJar<'a>(Vec<(&'a str, &'a str)>);

impl fmt::Debug for CookieJar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl<'a> CookieJar<'a> {
    /// Reads all `Cookie` headers of a request: HTTP/2 may send one per cookie. A pair that is no text
    /// is somebody else's, and takes no other with it.
    pub(crate) fn read(headers: impl Iterator<Item = &'a [u8]>) -> Self {
        let pairs = headers.flat_map(|header| header.split(|byte| *byte == b';'));
        Self(
            pairs
                .filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='))
                .map(|(name, value)| (name.trim(), unquote(value.trim())))
                .collect(),
        )
    }
}

impl<'a> CookieJar<'a> {
    /// The first cookie of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(sent, _)| *sent == name);
        found.map(|(_, value)| *value)
    }
}

fn unquote(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by Better Auth 1.7.25.
    const SECRET: &str = "bauth-sample-secret-0123456789abcdefABCDEF";
    const TOKEN: &str = "62NI0pXvJpUBkuOT3KxWX56hUPyz4Las";
    const COOKIE: &str =
        "62NI0pXvJpUBkuOT3KxWX56hUPyz4Las.43ZmDA0roxkUt05j4Hk2ptAEM%2BCu8DVX7TC%2BmZOob6U%3D";
    const DONT_REMEMBER_COOKIE: &str = "true.d4YuqbWEb7sKAVg6%2FZMvk%2FQJhTWoq1%2BFcOCIkTVJKBc%3D";

    fn cookies(secure: bool) -> SessionCookies {
        SessionCookies::new(SECRET.into(), secure)
    }

    fn token_of(cookies: &SessionCookies, header: &str) -> Option<String> {
        let jar = CookieJar::read([header.as_bytes()].into_iter());
        let mut tokens = cookies.session_tokens(&jar).into_iter();
        tokens.next().map(|t| t.expose().to_owned())
    }

    /// Another application of the same site may have set a cookie that is no text.
    #[test]
    fn a_cookie_that_is_no_text_takes_no_other_with_it() {
        let header = [
            b"x=\xe9; better-auth.session_token=".as_slice(),
            COOKIE.as_bytes(),
        ]
        .concat();
        let jar = CookieJar::read([header.as_slice()].into_iter());
        assert_eq!(cookies(false).session_tokens(&jar).len(), 1);
    }

    #[test]
    fn the_signature_is_better_auths_own() {
        assert_eq!(cookies(false).sign(TOKEN), COOKIE);
        assert_eq!(cookies(false).sign("true"), DONT_REMEMBER_COOKIE);
        assert_eq!(
            cookies(false).sign("uAVxJ8MY49UjnifSEHLlFzU1chy4tXFp"),
            "uAVxJ8MY49UjnifSEHLlFzU1chy4tXFp.P8B0hQtRVROlF%2B8qFdI9uhH9DiFST07HGavVhAbWxqI%3D"
        );
    }

    #[test]
    fn the_attributes_stand_in_better_auths_order() {
        let token = SessionToken::new(TOKEN);
        let jar = CookieJar::default();
        assert_eq!(
            cookies(false).start_session(&token, true, &jar),
            [
                format!(
                    "better-auth.session_token={COOKIE}; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax"
                ),
                "better-auth.session_data=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax".to_owned(),
            ]
        );
        assert_eq!(
            cookies(true).start_session(&token, false, &jar),
            [
                format!("__Secure-better-auth.session_token={COOKIE}; Path=/; HttpOnly; Secure; SameSite=Lax"),
                format!("__Secure-better-auth.dont_remember={DONT_REMEMBER_COOKIE}; Path=/; HttpOnly; Secure; SameSite=Lax"),
                "__Secure-better-auth.session_data=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax".to_owned(),
            ]
        );
    }

    #[test]
    fn what_was_cached_is_cleared_with_its_chunks() {
        let header = "better-auth.session_data.0=a; better-auth.session_data.1=b; better-auth.session_data.x=c";
        let jar = CookieJar::read([header.as_bytes()].into_iter());
        let cleared = cookies(false).end_session(&jar);
        let names: Vec<_> = cleared
            .iter()
            .map(|c| c.split('=').next().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "better-auth.session_token",
                "better-auth.session_data",
                "better-auth.session_data.0",
                "better-auth.session_data.1",
                "better-auth.dont_remember",
            ]
        );
        assert!(cookies(false).has_session_data(&jar));
    }

    #[test]
    fn a_forms_token_is_of_one_browser_and_one_session() {
        let cookies = cookies(true);
        let (session, other) = (SessionToken::new(TOKEN), SessionToken::new("other"));
        let token = cookies.form_token("n1", Some(&session));
        assert!(cookies.is_form_token(&token, "n1", Some(&session)));
        for (number, session) in [("n2", Some(&session)), ("n1", Some(&other)), ("n1", None)] {
            assert!(!cookies.is_form_token(&token, number, session), "{number}");
        }
        for token in ["", "AAAA", "?"] {
            assert!(!cookies.is_form_token(token, "n1", Some(&session)));
        }
        assert_eq!(
            cookies.plain("a", "b", Some(5)),
            "a=b; Max-Age=5; Path=/; HttpOnly; Secure; SameSite=Lax"
        );
    }

    #[test]
    fn a_remembered_sign_in_takes_back_the_forgetting() {
        let header = format!("better-auth.dont_remember={DONT_REMEMBER_COOKIE}");
        let jar = CookieJar::read([header.as_bytes()].into_iter());
        let set = cookies(false).start_session(&SessionToken::new(TOKEN), true, &jar);
        assert!(set.contains(
            &"better-auth.dont_remember=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax".to_owned()
        ));
    }

    #[test]
    fn a_browser_is_remembered_for_its_latest_accounts() {
        let cookies = cookies(true);
        let mut sent = String::new();
        for (token, expected) in [
            ("a.1.x", &["a.1.x"][..]),
            ("b.2.x", &["b.2.x", "a.1.x"]),
            ("a.3.x", &["a.3.x", "b.2.x"]),
            ("c.4.x", &["c.4.x", "a.3.x", "b.2.x"]),
            ("d.5.x", &["d.5.x", "c.4.x", "a.3.x"]),
        ] {
            let jar = CookieJar::read([sent.as_bytes()].into_iter());
            let set = cookies.remember_device(token, &jar);
            assert!(set.starts_with("__Secure-billing.device="), "{set}");
            let attributes = "; Max-Age=34560000; Path=/; HttpOnly; Secure; SameSite=Lax";
            assert!(set.ends_with(attributes), "{set}");
            sent = set.split(';').next().unwrap().to_owned();
            let jar = CookieJar::read([sent.as_bytes()].into_iter());
            assert_eq!(cookies.device_tokens(&jar), expected);
            // To sign out leaves it as it is.
            let cleared = cookies.end_session(&jar);
            assert!(!cleared.iter().any(|cookie| cookie.contains("device")));
        }
        let forged = "__Secure-billing.device=a.1.x";
        let jar = CookieJar::read([forged.as_bytes()].into_iter());
        assert!(cookies.device_tokens(&jar).is_empty());
    }

    #[test]
    fn several_sessions_are_read_in_order_each_once_and_not_without_end() {
        let plain = cookies(false);
        let names: Vec<_> = ["a", "b", "a", "c", "d", "e"]
            .map(|text| format!("better-auth.session_token={}", plain.sign(text)))
            .to_vec();
        let header = names.join("; ");
        let jar = CookieJar::read([header.as_bytes()].into_iter());
        let read = plain.session_tokens(&jar);
        let read: Vec<_> = read.iter().map(SessionToken::expose).collect();
        assert_eq!(read, ["a", "b", "c", "d"]);
    }

    #[test]
    fn only_what_was_signed_is_read() {
        let plain = cookies(false);
        let decoded =
            "62NI0pXvJpUBkuOT3KxWX56hUPyz4Las.43ZmDA0roxkUt05j4Hk2ptAEM+Cu8DVX7TC+mZOob6U=";
        let name = "better-auth.session_token";
        for (header, good) in [
            (format!("{name}={COOKIE}"), true),
            (format!("x=y; {name}=\"{COOKIE}\"; z=1"), true),
            (format!("{name}={decoded}"), true),
            (format!("{name}={COOKIE}; {name}=forged"), true),
            (format!("{name}=forged; {name}={COOKIE}"), true),
            (format!("__Secure-{name}={COOKIE}"), false),
            (format!("{name}=x{COOKIE}"), false),
            (format!("{name}={TOKEN}"), false),
            (format!("{name}={TOKEN}."), false),
            (format!("{name}=%zz"), false),
            (String::new(), false),
        ] {
            assert_eq!(token_of(&plain, &header).is_some(), good, "{header}");
        }
        let other = SessionCookies::new("another secret".into(), false);
        assert_eq!(token_of(&other, &format!("{name}={COOKIE}")), None);
        assert!(token_of(&cookies(true), &format!("__Secure-{name}={COOKIE}")).is_some());
    }
}
