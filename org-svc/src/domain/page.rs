//! Pages of the list of organizations: how long they are, and where the next one goes on.

use std::ops::RangeInclusive;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use billing_kit::text::search_form;
use chrono::{DateTime, Datelike, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::organization::{
    DeploymentType, Organization, OrganizationId, PlanType, SourceNetwork, SubscriptionStatus,
};

const PAGE_SIZE_DEFAULT: u16 = 50;
const PAGE_SIZE_MAX: u16 = 500;
const QUERY_CHARS_MAX: usize = 255;
const TOKEN_VERSION: u8 = 2;
/// A text of fewer characters is looked for at the beginning: an index over three letters each
/// cannot find it anywhere else.
const ANYWHERE_CHARS_MIN: usize = 3;
/// The hexadecimal digits of a UUID.
const ID_DIGITS: usize = 32;
const CHECK_BYTES: usize = 8;
/// The years of a page's end: the calendars of Rust and PostgreSQL end elsewhere.
const YEARS: RangeInclusive<i32> = 1970..=9999;

/// How many organizations a page holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSize(u16);

impl PageSize {
    pub(crate) fn parse(size: i32) -> Result<Self, &'static str> {
        match u32::try_from(size) {
            Err(_) => Err("It is negative."),
            Ok(0) => Ok(Self(PAGE_SIZE_DEFAULT)),
            Ok(size) => Ok(Self(
                u16::try_from(size).map_or(PAGE_SIZE_MAX, |size| size.min(PAGE_SIZE_MAX)),
            )),
        }
    }

    pub(crate) fn get(self) -> u16 {
        self.0
    }
}

/// A text to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query(String);

impl Query {
    /// `None` for the empty text, which picks all.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        if text.chars().count() > QUERY_CHARS_MAX {
            Err("It is longer than 255 characters.")
        } else if text.contains('\0') {
            Err("It has control characters.")
        } else {
            Ok((!text.is_empty()).then(|| Self(text.to_owned())))
        }
    }

    /// What is looked for, and where.
    pub(crate) fn search(&self) -> Search {
        // Of a text that is nothing but accents its form is empty, which would be in every text.
        let form = Some(search_form(&self.0)).filter(|form| !form.is_empty());
        let form = form.unwrap_or_else(|| self.0.clone());
        if form.chars().count() < ANYWHERE_CHARS_MIN {
            Search::Beginning {
                like: format!("{}%", escaped(&form)),
            }
        } else {
            Search::Anywhere {
                like: format!("%{}%", escaped(&form)),
                ids: self.ids(),
            }
        }
    }

    /// The ids that begin with the text: the least and the greatest.
    fn ids(&self) -> Option<(Uuid, Uuid)> {
        let digits: String = self.0.chars().filter(|c| *c != '-').collect();
        let is_id = digits.len() <= ID_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let filled = |digit: &str| {
            let rest = digit.repeat(ID_DIGITS.saturating_sub(digits.len()));
            Uuid::try_parse(&format!("{digits}{rest}")).ok()
        };
        filled("0").zip(filled("f")).filter(|_| is_id)
    }
}

/// How a text is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Search {
    /// At the beginning of the name or the URL. Either pattern is in the normal form.
    Beginning { like: String },
    /// Anywhere in the name, the URL or the e-mail, or between these ids.
    Anywhere {
        like: String,
        ids: Option<(Uuid, Uuid)>,
    },
}

/// A text as it stands in a pattern of SQL's `LIKE` (escape character `\`).
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Whether organizations without a Stripe customer are picked, or those with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkFilter {
    /// Those without one that are not ignored.
    Pending,
    Linked,
    /// Those that an admin ignores.
    Ignored,
}

/// Which organizations a list shows. Of statuses, plans and deployment types none picks all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) query: Option<Query>,
    pub(crate) link: Option<LinkFilter>,
    pub(crate) statuses: Vec<SubscriptionStatus>,
    pub(crate) plans: Vec<PlanType>,
    pub(crate) deployments: Vec<DeploymentType>,
    /// Picks those whose collection is paused.
    pub(crate) collection_paused: bool,
    /// Where their first report came from.
    pub(crate) source_network: Option<SourceNetwork>,
    /// Networks that are left out.
    pub(crate) except_networks: Vec<SourceNetwork>,
}

/// The order of a list. Ids make every order total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
    Name,
    NameDescending,
    /// By [`status_rank`], and within a status the newest first.
    Status,
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::NewestFirst => "newest_first",
            Self::OldestFirst => "oldest_first",
            Self::Name => "name",
            Self::NameDescending => "name_descending",
            Self::Status => "status",
        }
    }
}

/// A list: which organizations, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
}

/// The rank of whatever is not linked: it comes first.
pub(crate) const RANK_PENDING: u8 = 0;

/// Where a linked organization of this status stands in a list by status: the sooner a person has
/// to act, the earlier.
pub(crate) fn status_rank(status: SubscriptionStatus) -> u8 {
    match status {
        SubscriptionStatus::PastDue => 1,
        SubscriptionStatus::Unpaid => 2,
        SubscriptionStatus::Incomplete => 3,
        SubscriptionStatus::IncompleteExpired => 4,
        SubscriptionStatus::Paused => 5,
        SubscriptionStatus::Pending => 6,
        SubscriptionStatus::Trial => 7,
        SubscriptionStatus::Active => 8,
        SubscriptionStatus::Canceled => 9,
    }
}

/// The last organization of a page, by what its list is ordered by: the next page begins behind it.
/// What the order does not look at is left as it is by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) rank: u8,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) id: OrganizationId,
    pub(crate) name: String,
}

impl Position {
    /// The position of an organization in a list of this order.
    pub(crate) fn of(organization: &Organization, order: Order) -> Self {
        let nothing = Self {
            rank: RANK_PENDING,
            created_at: DateTime::UNIX_EPOCH,
            id: organization.id,
            name: String::new(),
        };
        match order {
            Order::NewestFirst | Order::OldestFirst => Self {
                created_at: organization.created_at,
                ..nothing
            },
            Order::Name | Order::NameDescending => Self {
                name: organization.name.as_str().to_owned(),
                ..nothing
            },
            Order::Status => Self {
                rank: match organization.stripe_customer_id {
                    None => RANK_PENDING,
                    Some(_) => status_rank(organization.subscription_status),
                },
                created_at: organization.created_at,
                ..nothing
            },
        }
    }

    /// The token of the next page: opaque to its holder, and good for the same list only.
    pub(crate) fn to_token(&self, list: &List) -> String {
        let body = self.body();
        let check = check(&body, list);
        URL_SAFE_NO_PAD.encode([body.as_slice(), check.as_slice()].concat())
    }

    /// Reads a token that this list gave out.
    pub(crate) fn from_token(token: &str, list: &List) -> Result<Self, &'static str> {
        const WRONG: &str = "The page token is invalid. Use `next_cursor` from the previous page.";
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| WRONG)?;
        let (body, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(WRONG)?;
        if *found != *check(body, list) {
            return Err(WRONG);
        }
        Self::from_body(body).ok_or(WRONG)
    }

    fn body(&self) -> Vec<u8> {
        let Self {
            rank,
            created_at,
            id,
            name,
        } = self;
        let mut body = vec![TOKEN_VERSION, *rank];
        body.extend(created_at.timestamp_micros().to_be_bytes());
        body.extend(id.0.as_bytes());
        body.extend(name.as_bytes());
        body
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let ([version, rank], rest) = body.split_first_chunk::<2>()?;
        let (micros, rest) = rest.split_first_chunk::<8>()?;
        let (id, name) = rest.split_first_chunk::<16>()?;
        Some(Self {
            rank: *rank,
            created_at: DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?,
            id: OrganizationId(Uuid::from_bytes(*id)),
            name: String::from_utf8(name.to_vec()).ok()?,
        })
        .filter(|end| *version == TOKEN_VERSION && YEARS.contains(&end.created_at.year()))
        // PostgreSQL takes no text with a zero.
        .filter(|end| !end.name.contains('\0'))
    }
}

/// Ties a token to the list that it was made for. It is no secret: it catches mistakes.
fn check(body: &[u8], list: &List) -> Vec<u8> {
    let List { filter, order } = list;
    let Filter {
        query,
        link,
        statuses,
        plans,
        deployments,
        collection_paused,
        source_network,
        // A group that grows while a person turns the pages must not end the list.
        except_networks: _,
    } = filter;
    let link = match link {
        None => "",
        Some(LinkFilter::Pending) => "pending",
        Some(LinkFilter::Linked) => "linked",
        Some(LinkFilter::Ignored) => "ignored",
    };
    let network = source_network.as_ref().map_or("", SourceNetwork::as_str);
    let query = query.as_ref().map_or("", |query| &query.0);
    let mut hash = Sha256::new();
    hash.update(body);
    for part in [
        order.word(),
        link,
        &set(statuses.iter().map(|status| status.as_str())),
        &set(plans.iter().map(|plan| plan.as_str())),
        &set(deployments.iter().map(|deployment| deployment.as_str())),
        if *collection_paused {
            "collection_paused"
        } else {
            ""
        },
        network,
        query,
    ] {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().into_iter().take(CHECK_BYTES).collect()
}

fn set<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut words: Vec<_> = words.collect();
    words.sort_unstable();
    words.dedup();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::organization::tests::linked;

    fn list(query: &str) -> List {
        List {
            filter: Filter {
                query: Query::parse(query).unwrap(),
                link: Some(LinkFilter::Pending),
                statuses: vec![SubscriptionStatus::Trial, SubscriptionStatus::Active],
                plans: vec![PlanType::SelfHosted],
                deployments: Vec::new(),
                collection_paused: false,
                source_network: None,
                except_networks: Vec::new(),
            },
            order: Order::NewestFirst,
        }
    }

    #[test]
    fn a_token_reads_back_on_its_own_list_alone() {
        let organization = linked();
        let acme = list("acme");
        let position = Position::of(&organization, acme.order);
        let token = position.to_token(&acme);
        let read = |list| Position::from_token(&token, list);
        assert_eq!(read(&acme), Ok(position));
        let others = [
            list("beta"),
            List {
                order: Order::OldestFirst,
                ..acme.clone()
            },
            List {
                filter: Filter {
                    plans: Vec::new(),
                    ..acme.filter.clone()
                },
                ..acme.clone()
            },
        ];
        for other in &others {
            assert!(read(other).is_err(), "{other:?}");
        }
        let swapped = List {
            filter: Filter {
                statuses: vec![SubscriptionStatus::Active, SubscriptionStatus::Trial],
                ..acme.filter.clone()
            },
            ..acme.clone()
        };
        assert!(read(&swapped).is_ok());

        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bytes).unwrap();
            assert!(Position::from_token(&bent, &acme).is_err(), "{bent}");
        }
        for bad in ["x", "AAAA", "????", &token[1..]] {
            assert!(Position::from_token(bad, &acme).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_position_is_what_its_order_looks_at() {
        let organization = linked();
        for order in [
            Order::NewestFirst,
            Order::OldestFirst,
            Order::Name,
            Order::NameDescending,
            Order::Status,
        ] {
            let list = List {
                order,
                ..list("acme")
            };
            let position = Position::of(&organization, order);
            let by_name = matches!(order, Order::Name | Order::NameDescending);
            assert_eq!(position.name.is_empty(), !by_name);
            assert_eq!(position.rank > 0, order == Order::Status);
            assert_eq!(
                Position::from_token(&position.to_token(&list), &list),
                Ok(position)
            );
        }
    }

    #[test]
    fn a_page_has_a_size() {
        for (asked, given) in [(0, 50), (1, 1), (500, 500), (501, 500), (i32::MAX, 500)] {
            assert_eq!(PageSize::parse(asked).map(PageSize::get), Ok(given));
        }
        assert!(PageSize::parse(-1).is_err());
    }

    #[test]
    fn what_like_would_read_as_a_pattern_is_escaped() {
        let search = |text| Query::parse(text).unwrap().unwrap().search();
        let anywhere = |like: &str| Search::Anywhere {
            like: like.to_owned(),
            ids: None,
        };
        assert_eq!(search(r"50%_\x"), anywhere(r"%50\%\_\\x%"));
        let beginning = |like: &str| Search::Beginning {
            like: like.to_owned(),
        };
        assert_eq!(search("É%"), beginning(r"e\%%"));
        assert_eq!(search("Socie\u{301}té"), anywhere("%societe%"));
        assert_eq!(search("ﬃ"), anywhere("%ffi%"));
        assert_eq!(search("\u{301}"), beginning("\u{301}%"));
        assert_eq!(Query::parse(""), Ok(None));
    }

    #[test]
    fn a_text_that_may_begin_an_id_is_looked_for_among_them() {
        let ids = |text| match Query::parse(text).unwrap().unwrap().search() {
            Search::Anywhere { like: _, ids } => {
                ids.map(|(least, greatest)| (least.to_string(), greatest.to_string()))
            }
            Search::Beginning { like: _ } => None,
        };
        let (least, greatest) = ids("6F3c9a4e-0C1").unwrap();
        assert_eq!(least, "6f3c9a4e-0c10-0000-0000-000000000000");
        assert_eq!(greatest, "6f3c9a4e-0c1f-ffff-ffff-ffffffffffff");
        let whole = "6f3c9a4e-0c1d-4a55-9d2b-3c3f0f3a9a10";
        assert_eq!(ids(whole), Some((whole.to_owned(), whole.to_owned())));
        for text in ["acme", "ab", "6f3c9a4e-0c1d-4a55-9d2b-3c3f0f3a9a100"] {
            assert_eq!(ids(text), None, "{text}");
        }
    }
}
