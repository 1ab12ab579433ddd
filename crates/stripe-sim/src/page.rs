//! Stripe's lists: newest first, a page at a time, walked by object id.

use serde_json::{Value, json};

use crate::errors::Refusal;
use crate::fields::{Fields, MAX_TEXT};
use crate::store::{Record, Store};

#[derive(Debug)]
pub(crate) struct PageRequest {
    limit: usize,
    starting_after: Option<String>,
    ending_before: Option<String>,
}

impl PageRequest {
    pub(crate) fn read(fields: &mut Fields) -> Self {
        let limit = fields.integer("limit", 1..=100).unwrap_or(10);
        let starting_after = fields.text("starting_after", MAX_TEXT);
        let ending_before = fields.text("ending_before", MAX_TEXT);
        if starting_after.is_some() && ending_before.is_some() {
            fields.violate(
                "starting_after",
                Some("parameters_exclusive"),
                "You may only specify one of these parameters: starting_after, ending_before.",
            );
        }
        Self {
            limit: usize::try_from(limit).unwrap_or(10),
            starting_after,
            ending_before,
        }
    }

    pub(crate) fn of_store<'a, T: Record>(
        &self,
        store: &'a Store<T>,
        keep: impl Fn(&T) -> bool,
    ) -> Result<(Vec<&'a T>, bool), Refusal> {
        self.of_slice(store.as_slice(), |id| store.position(id), keep)
    }

    /// The page and whether more follow. `items` are in the order of their creation.
    pub(crate) fn of_slice<'a, T: Record>(
        &self,
        items: &'a [T],
        position: impl Fn(&str) -> Option<usize>,
        keep: impl Fn(&T) -> bool,
    ) -> Result<(Vec<&'a T>, bool), Refusal> {
        let find = |param: &str, id: &str| {
            position(id).ok_or_else(|| Refusal::no_such_in(param, T::NOUN, id))
        };
        let wanted = self.limit + 1;
        let mut page: Vec<&T>;
        if let Some(before) = &self.ending_before {
            let newer = items
                .get(find("ending_before", before)? + 1..)
                .unwrap_or_default();
            page = newer
                .iter()
                .filter(|item| keep(item))
                .take(wanted)
                .collect();
        } else {
            let end = match &self.starting_after {
                Some(after) => find("starting_after", after)?,
                None => items.len(),
            };
            let older = items.get(..end).unwrap_or_default();
            page = older
                .iter()
                .rev()
                .filter(|item| keep(item))
                .take(wanted)
                .collect();
        }
        let has_more = page.len() > self.limit;
        page.truncate(self.limit);
        if self.ending_before.is_some() {
            page.reverse();
        }
        Ok((page, has_more))
    }
}

pub(crate) fn list(url: &str, data: Vec<Value>, has_more: bool) -> Value {
    json!({ "object": "list", "url": url, "has_more": has_more, "data": data })
}
