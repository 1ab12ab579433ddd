//! Stripe's search language: `email:'x' AND -metadata['k']:null`.
//!
//! Search is eventually consistent at Stripe; here it lags by as much as the configuration says.

use serde_json::{Value, json};

use crate::errors::Refusal;
use crate::fields::MAX_TEXT;
use crate::metadata::Metadata;
use crate::store::{Record, Store};
use crate::world::{Answer, Call, World};

/// Stripe's limit on the clauses of one query.
const MAX_CLAUSES: usize = 10;

/// What a field of an object is to a search.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    Text(Option<&'a str>),
    Number(i64),
    Unsupported,
}

pub(crate) trait Searchable: Record {
    const PLURAL: &'static str;

    fn subject(&self, name: &str) -> Subject<'_>;
    fn metadata(&self) -> &Metadata;
    /// Whether an index that is as of this time holds the object.
    fn is_visible(&self, as_of: i64) -> bool;
    fn to_found(&self, world: &World) -> Value;
}

#[derive(Debug, PartialEq, Eq)]
enum Field {
    Named(String),
    Metadata(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    Contains,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, PartialEq, Eq)]
struct Clause {
    negated: bool,
    field: Field,
    operator: Operator,
    /// None is the word `null`: the field is absent.
    value: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Query {
    any: bool,
    clauses: Vec<Clause>,
}

impl Clause {
    /// None if the object's kind cannot be searched by this field or operator.
    fn holds<T: Searchable>(&self, object: &T) -> Option<bool> {
        let text = |subject: Option<&str>| match (subject, &self.value, self.operator) {
            (None, None, Operator::Is) => Some(true),
            (Some(_), None, Operator::Is) | (None, Some(_), Operator::Is | Operator::Contains) => {
                Some(false)
            }
            (Some(has), Some(value), Operator::Is) => Some(has.eq_ignore_ascii_case(value)),
            (Some(has), Some(value), Operator::Contains) => {
                Some(has.to_lowercase().contains(&value.to_lowercase()))
            }
            (
                _,
                _,
                Operator::Contains
                | Operator::Less
                | Operator::LessOrEqual
                | Operator::Greater
                | Operator::GreaterOrEqual,
            ) => None,
        };
        let number = |has: i64| {
            let value = self.value.as_ref()?.parse::<i64>().ok()?;
            match self.operator {
                Operator::Is => Some(has == value),
                Operator::Less => Some(has < value),
                Operator::LessOrEqual => Some(has <= value),
                Operator::Greater => Some(has > value),
                Operator::GreaterOrEqual => Some(has >= value),
                Operator::Contains => None,
            }
        };
        let holds = match &self.field {
            Field::Metadata(key) => text(object.metadata().get(key).map(String::as_str))?,
            Field::Named(name) => match object.subject(name) {
                Subject::Text(subject) => text(subject)?,
                Subject::Number(subject) => number(subject)?,
                Subject::Unsupported => return None,
            },
        };
        Some(holds != self.negated)
    }
}

impl Query {
    fn holds<T: Searchable>(&self, object: &T) -> Option<bool> {
        let mut results = Vec::with_capacity(self.clauses.len());
        for clause in &self.clauses {
            results.push(clause.holds(object)?);
        }
        let holds = if self.any {
            results.iter().any(|holds| *holds)
        } else {
            results.iter().all(|holds| *holds)
        };
        Some(holds)
    }
}

pub(crate) fn run<T: Searchable>(
    mut call: Call<'_>,
    url: &str,
    store: impl Fn(&World) -> &Store<T>,
) -> Answer {
    let text = call.fields.need_text("query", MAX_TEXT);
    let limit = call.fields.integer("limit", 1..=100).unwrap_or(10);
    let page = call.fields.text("page", MAX_TEXT);
    call.fields.finish()?;
    let store = store(call.world);
    let query = Parser { rest: &text }.query().map_err(|problem| {
        Refusal::violation("query", None, format!("Invalid search query: {problem}"))
    })?;
    let end = match page {
        None => usize::MAX,
        Some(token) => token.parse::<usize>().map_err(|_| {
            Refusal::violation("page", None, format!("Invalid page token: {token}"))
        })?,
    };
    let as_of = call.now - call.search_lag_s;
    let limit = usize::try_from(limit).unwrap_or(10);
    let mut found = Vec::new();
    let mut next_page = None;
    for (position, object) in store.as_slice().iter().enumerate().rev() {
        if position >= end || !object.is_visible(as_of) {
            continue;
        }
        let unsupported = || {
            Refusal::violation(
                "query",
                None,
                format!("Unsupported search field for {}.", T::PLURAL),
            )
        };
        if query.holds(object).ok_or_else(unsupported)? {
            if found.len() == limit {
                next_page = Some((position + 1).to_string());
                break;
            }
            found.push(object.to_found(call.world));
        }
    }
    Ok(json!({
        "object": "search_result",
        "url": url,
        "has_more": next_page.is_some(),
        "data": found,
        "next_page": next_page,
    }))
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn query(mut self) -> Result<Query, String> {
        let mut clauses = vec![self.clause()?];
        let mut joined_by: Option<bool> = None;
        loop {
            self.skip_space();
            if self.rest.is_empty() {
                return Ok(Query {
                    any: joined_by.unwrap_or(false),
                    clauses,
                });
            }
            let any = if self.eat("OR ") {
                true
            } else {
                // Clauses side by side are joined by AND.
                self.eat("AND ");
                false
            };
            if joined_by.is_some_and(|before| before != any) {
                return Err("AND and OR cannot be combined".to_owned());
            }
            joined_by = Some(any);
            clauses.push(self.clause()?);
            if clauses.len() > MAX_CLAUSES {
                return Err(format!("at most {MAX_CLAUSES} clauses are allowed"));
            }
        }
    }

    fn clause(&mut self) -> Result<Clause, String> {
        self.skip_space();
        let negated = self.eat("-");
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(format!("a field name is expected at `{}`", self.rest));
        }
        self.rest = rest;
        let field = if name == "metadata" && self.eat("[") {
            let key = self.quoted()?;
            if !self.eat("]") {
                return Err("`]` is expected after a metadata key".to_owned());
            }
            Field::Metadata(key)
        } else {
            Field::Named(name.to_owned())
        };
        let operator = self.operator()?;
        let value = self.value()?;
        Ok(Clause {
            negated,
            field,
            operator,
            value,
        })
    }

    fn operator(&mut self) -> Result<Operator, String> {
        const OPERATORS: [(&str, Operator); 6] = [
            (":", Operator::Is),
            ("~", Operator::Contains),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let found = OPERATORS
            .into_iter()
            .find(|(sign, _)| self.rest.starts_with(sign));
        let Some((sign, operator)) = found else {
            return Err(format!("an operator is expected at `{}`", self.rest));
        };
        self.eat(sign);
        Ok(operator)
    }

    fn value(&mut self) -> Result<Option<String>, String> {
        if self.rest.starts_with(['\'', '"']) {
            return self.quoted().map(Some);
        }
        let end = self
            .rest
            .find(char::is_whitespace)
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "null" => Ok(None),
            number if number.parse::<i64>().is_ok() => Ok(Some(number.to_owned())),
            other => Err(format!("`{other}` must be quoted")),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut characters = self.rest.char_indices();
        let quote = match characters.next() {
            Some((_, quote @ ('\'' | '"'))) => quote,
            Some(_) | None => return Err("a quoted string is expected".to_owned()),
        };
        let mut text = String::new();
        let mut escaped = false;
        for (at, character) in characters {
            if escaped {
                text.push(character);
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == quote {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok(text);
            } else {
                text.push(character);
            }
        }
        Err("a quoted string does not end".to_owned())
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Query, String> {
        Parser { rest: text }.query()
    }

    #[test]
    fn a_query_is_clauses_joined_one_way() {
        let query = parse("metadata['organization_id']:'o\\'1' AND -email~\"acme\"").unwrap();
        assert!(!query.any);
        assert_eq!(query.clauses.len(), 2);
        assert_eq!(
            query.clauses[0].field,
            Field::Metadata("organization_id".to_owned())
        );
        assert_eq!(query.clauses[0].value.as_deref(), Some("o'1"));
        assert!(query.clauses[1].negated);
        assert!(parse("created>=5 OR created:7").unwrap().any);
        assert_eq!(parse("metadata['k']:null").unwrap().clauses[0].value, None);
    }

    #[test]
    fn what_is_not_a_query_is_refused() {
        for bad in [
            "",
            "email",
            "email:x",
            "email:'x",
            "a:'1' AND b:'2' OR c:'3'",
            "metadata[k]:'v'",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
