//! How a page is shown to whoever asks for it: language, time zone, colours; and what every page has
//! around its own content.

use std::ops::Deref;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use http::{HeaderMap, Uri, header};
use prost_types::Timestamp;

use super::{
    assets::{self, Assets},
    audit, held,
    i18n::{Counted, Language, Messages},
    list, reconciliation, webhooks,
};
use crate::{
    domain::{session_cookie::CookieJar, time_text},
    web::cookie_jar,
};

/// The cookies of what somebody chose.
pub(super) const LANGUAGE_COOKIE: &str = "billing.language";
/// See [`LANGUAGE_COOKIE`].
pub(super) const THEME_COOKIE: &str = "billing.theme";
/// The script says by it where the browser is.
const ZONE_COOKIE: &str = "billing.zone";

/// The colours of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Automatic,
    Light,
    Dark,
}

impl Theme {
    const ALL: [Self; 3] = [Self::Automatic, Self::Light, Self::Dark];

    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Automatic => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme of a word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }
}

/// How pages are shown to whoever sent a request.
#[derive(Debug, Clone)]
pub(super) struct Ui {
    /// The words.
    pub(super) t: &'static Messages,
    pub(super) language: Language,
    zone: Option<Tz>,
    theme: Theme,
    form_token: String,
    /// The page's own address.
    address: String,
}

/// A moment as a page shows it: for machines, in UTC in full, and for the reader.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) iso: String,
    pub(super) utc: String,
    pub(super) text: String,
}

/// One of several words to choose from.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    pub(super) selected: bool,
}

impl Ui {
    /// What a request asks for by its cookies, and else by its browser's language.
    pub(super) fn of(headers: &HeaderMap, uri: &Uri, form_token: String) -> Self {
        let jar = cookie_jar(headers);
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        let language = chosen(&jar, LANGUAGE_COOKIE, Language::from_code)
            .unwrap_or_else(|| Language::of_browser(accepted.unwrap_or_default()));
        let address = uri.path_and_query().map_or("/", |address| address.as_str());
        Self {
            t: language.messages(),
            language,
            zone: chosen(&jar, ZONE_COOKIE, |name| name.parse().ok()),
            theme: chosen(&jar, THEME_COOKIE, Theme::from_word).unwrap_or(Theme::Automatic),
            form_token,
            address: address.to_owned(),
        }
    }

    pub(super) fn language_code(&self) -> &'static str {
        self.language.code()
    }

    /// The theme, where one was chosen.
    pub(super) fn theme_word(&self) -> Option<&'static str> {
        match self.theme {
            Theme::Automatic => None,
            Theme::Light | Theme::Dark => Some(self.theme.word()),
        }
    }

    pub(super) fn color_scheme(&self) -> &'static str {
        match self.theme {
            Theme::Automatic => "light dark",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    pub(super) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Where a change of the language or the colours comes back to.
    pub(super) fn return_to(&self) -> &str {
        &self.address
    }

    pub(super) fn assets(&self) -> &'static Assets {
        assets::assets()
    }

    pub(super) fn languages(&self) -> Vec<Choice> {
        let choice = |language: Language| Choice {
            value: language.code(),
            label: language.name(),
            selected: language == self.language,
        };
        Language::ALL.into_iter().map(choice).collect()
    }

    pub(super) fn themes(&self) -> Vec<Choice> {
        let choice = |theme: Theme| Choice {
            value: theme.word(),
            label: match theme {
                Theme::Automatic => self.t.theme_auto,
                Theme::Light => self.t.theme_light,
                Theme::Dark => self.t.theme_dark,
            },
            selected: theme == self.theme,
        };
        Theme::ALL.into_iter().map(choice).collect()
    }

    /// A number. By reference, because templates hand over references.
    pub(super) fn number(&self, number: &i64) -> String {
        self.language.number(*number)
    }

    /// A text with a number in it.
    pub(super) fn count(&self, text: &Counted, number: &i64) -> String {
        self.language.count(*text, *number)
    }

    /// A text about something with a name.
    pub(super) fn about(&self, text: &str, name: &str) -> String {
        text.replace("{x}", name)
    }

    /// A day, as it is where the reader is.
    pub(super) fn day(&self, time: DateTime<Utc>) -> Moment {
        self.moment(time, self.language.day(time, self.zone.unwrap_or(Tz::UTC)))
    }

    /// The first moment of a day where the reader is; of UTC's where that is not known, or has no
    /// midnight that day.
    pub(super) fn start_of(&self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(NaiveTime::MIN);
        let zone = self.zone.unwrap_or(Tz::UTC);
        let local = zone.from_local_datetime(&midnight).earliest();
        local.map_or_else(|| midnight.and_utc(), |local| local.to_utc())
    }

    /// A moment of the contract to the minute, where it is there.
    pub(super) fn minute_of(&self, time: Option<Timestamp>) -> Option<Moment> {
        time_text::known(time).map(|time| self.minute(time))
    }

    /// A moment that the contract promises.
    pub(super) fn promised_minute(&self, time: Option<Timestamp>) -> Moment {
        self.minute_of(time).unwrap_or_else(|| self.no_moment())
    }

    /// A day that the contract promises.
    pub(super) fn promised_day(&self, time: Option<Timestamp>) -> Moment {
        let day = time_text::known(time).map(|time| self.day(time));
        day.unwrap_or_else(|| self.no_moment())
    }

    fn no_moment(&self) -> Moment {
        Moment {
            iso: String::new(),
            utc: String::new(),
            text: self.t.nothing.to_owned(),
        }
    }

    /// A day of UTC, which is what Stripe's meter counts by, wherever the reader is.
    pub(super) fn utc_day(&self, time: DateTime<Utc>) -> String {
        self.language.day(time, Tz::UTC)
    }

    /// Day and minute, likewise.
    pub(super) fn minute(&self, time: DateTime<Utc>) -> Moment {
        self.moment(time, self.language.minute(time, self.zone))
    }

    fn moment(&self, time: DateTime<Utc>, text: String) -> Moment {
        Moment {
            iso: time_text::short(time),
            utc: time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            text,
        }
    }

    /// What stands around a page for somebody who is not signed in.
    pub(super) fn outside(&self) -> Frame<'_> {
        Frame {
            ui: self,
            admin_email: None,
            section: Section::None,
        }
    }

    /// What stands around a page for an admin.
    pub(super) fn frame<'a>(&'a self, admin_email: &'a str, section: Section) -> Frame<'a> {
        Frame {
            ui: self,
            admin_email: Some(admin_email),
            section,
        }
    }
}

fn chosen<T>(jar: &CookieJar<'_>, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    jar.get(name).and_then(read)
}

/// A part of the dashboard, for its menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Pending,
    Billed,
    Held,
    Reconciliation,
    Webhooks,
    Audit,
    Keys,
    None,
}

/// An entry of the menu.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) href: &'static str,
    pub(super) text: &'static str,
    pub(super) is_here: bool,
}

/// What stands around a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    ui: &'a Ui,
    pub(super) admin_email: Option<&'a str>,
    section: Section,
}

impl Frame<'_> {
    pub(super) fn menu(&self) -> Vec<Entry> {
        let t = self.ui.t;
        let entries = [
            ("/", t.overview, Section::Overview),
            (list::PENDING, t.pending, Section::Pending),
            (list::BILLED, t.billed, Section::Billed),
            (held::PATH, t.held_menu, Section::Held),
            (
                reconciliation::PATH,
                t.reconciliation,
                Section::Reconciliation,
            ),
            (webhooks::PATH, t.webhooks, Section::Webhooks),
            (audit::PATH, t.audit, Section::Audit),
        ];
        let entry = |(href, text, section)| Entry {
            href,
            text,
            is_here: section == self.section,
        };
        entries.into_iter().map(entry).collect()
    }

    /// Whether this is the page of the API keys, which has its place beside the account.
    pub(super) fn is_keys(&self) -> bool {
        self.section == Section::Keys
    }
}

impl Deref for Frame<'_> {
    type Target = Ui;

    fn deref(&self) -> &Ui {
        self.ui
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A reader of each language: one in Paris, and one of whom the zone is not known.
    pub(in crate::dashboard) fn readers() -> [Ui; 2] {
        let reader = |cookie: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            let uri = "/billed?q=a%26b".parse().unwrap();
            Ui::of(&headers, &uri, "token\"".to_owned())
        };
        [
            reader("billing.language=fr; billing.theme=dark; billing.zone=Europe/Paris"),
            reader("billing.language=en; billing.zone=Moon/Sea"),
        ]
    }

    #[test]
    fn cookies_choose_and_nonsense_does_not() {
        let [french, english] = readers();
        assert_eq!(french.language, Language::French);
        assert_eq!(french.theme_word(), Some("dark"));
        let time = DateTime::from_timestamp(1_730_602_800, 0).unwrap();
        assert_eq!(french.minute(time).text, "03/11/2024 04:00");
        assert_eq!(english.theme_word(), None);
        let moment = english.minute(time);
        assert_eq!(moment.text, "2024-11-03 03:00 UTC");
        assert_eq!(moment.utc, "2024-11-03 03:00:00 UTC");
        assert_eq!(moment.iso, "2024-11-03T03:00:00Z");
        assert_eq!(english.return_to(), "/billed?q=a%26b");
    }

    #[test]
    fn without_cookies_the_browser_chooses() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, "fr-FR,fr;q=0.9".parse().unwrap());
        let ui = Ui::of(&headers, &Uri::from_static("/"), String::new());
        assert_eq!(ui.language, Language::French);
    }
}
