//! Objects of one kind, in the order of their creation, found by id.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// An object that has an id and a noun that errors call it by.
pub(crate) trait Record {
    const NOUN: &'static str;

    fn id(&self) -> &str;
}

impl<T: Record> Record for &T {
    const NOUN: &'static str = T::NOUN;

    fn id(&self) -> &str {
        T::id(self)
    }
}

/// Objects are not taken out one by one: a deleted one says so itself, and its place keeps pages
/// stable.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Store<T> {
    items: Vec<T>,
    #[serde(skip)]
    positions: HashMap<String, usize>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            positions: HashMap::new(),
        }
    }
}

impl<T: Record> Store<T> {
    /// Rebuilds what the state file leaves out.
    pub(crate) fn reindex(&mut self) {
        self.positions = self
            .items
            .iter()
            .enumerate()
            .map(|(position, item)| (item.id().to_owned(), position))
            .collect();
    }

    pub(crate) fn push(&mut self, item: T) -> usize {
        let position = self.items.len();
        self.positions.insert(item.id().to_owned(), position);
        self.items.push(item);
        position
    }

    /// Forgets the oldest quarter of more than `most`. Not for objects whose places are kept.
    pub(crate) fn keep_newest(&mut self, most: usize) {
        if self.items.len() > most {
            self.items.drain(..most / 4);
            self.reindex();
        }
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.positions.get(id).copied()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.at(self.position(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        let position = self.position(id)?;
        self.at_mut(position)
    }

    pub(crate) fn at(&self, position: usize) -> Option<&T> {
        self.items.get(position)
    }

    pub(crate) fn at_mut(&mut self, position: usize) -> Option<&mut T> {
        self.items.get_mut(position)
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.items
    }
}
