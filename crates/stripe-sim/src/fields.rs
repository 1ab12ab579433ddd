//! Reads one request's parameters, collecting every violation before answering.
//!
//! A handler takes what it knows by name; what is left over at [`Fields::finish`] is unknown and
//! refused, so a parameter that this simulator does not simulate can never be ignored in silence.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::choice::Choice;
use crate::errors::Refusal;
use crate::params::{Node, Tree};

/// The longest text of a parameter that names no limit of its own, in characters.
pub(crate) const MAX_TEXT: usize = 5_000;

/// A change asked for one field: Stripe reads an empty string as "unset".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Patch<T> {
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    pub(crate) fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }

    /// The value for an object that is being created.
    pub(crate) fn into_option(self) -> Option<T> {
        match self {
            Self::Keep | Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// A condition on a time, as `created=…` or `created[gte]=…` asks for it. Unix seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeRange {
    from: Option<i64>,
    until: Option<i64>,
}

impl TimeRange {
    pub(crate) fn holds(self, time: i64) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time <= until)
    }
}

#[derive(Debug)]
pub(crate) struct Fields {
    prefix: String,
    tree: Tree,
    unknown: Vec<String>,
    violations: Vec<Refusal>,
}

impl Fields {
    pub(crate) fn new(tree: Tree) -> Self {
        Self::nested(String::new(), tree)
    }

    fn nested(prefix: String, tree: Tree) -> Self {
        Self {
            prefix,
            tree,
            unknown: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// The name of a parameter as the caller wrote it, such as `recurring[interval]`.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}[{name}]", self.prefix)
        }
    }

    pub(crate) fn violate(
        &mut self,
        name: &str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) {
        let path = self.path(name);
        self.violations
            .push(Refusal::violation(path, code, message));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tree.contains_key(name)
    }

    /// A text that stays to be read.
    pub(crate) fn peek(&self, name: &str) -> Option<&str> {
        match self.tree.get(name)? {
            Node::Text(text) => Some(text),
            Node::Branch(_) => None,
        }
    }

    /// Whether the parameter was sent as exactly this word, consuming it if so.
    pub(crate) fn is_text(&mut self, name: &str, word: &str) -> bool {
        let same = matches!(self.tree.get(name), Some(Node::Text(text)) if text == word);
        if same {
            self.tree.remove(name);
        }
        same
    }

    /// Whether the parameter was sent as the empty string, consuming it if so.
    pub(crate) fn is_empty_text(&mut self, name: &str) -> bool {
        self.is_text(name, "")
    }

    /// Ends the reading: unknown parameters first, then the first violation.
    pub(crate) fn finish(&mut self) -> Result<(), Refusal> {
        self.leave_unknown();
        if let Some(first) = self.unknown.first() {
            let plural = if self.unknown.len() > 1 { "s" } else { "" };
            let names = self.unknown.join(", ");
            return Err(Refusal::violation(
                first.clone(),
                Some("parameter_unknown"),
                format!("Received unknown parameter{plural}: {names}"),
            ));
        }
        match self.violations.drain(..).next() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    fn leave_unknown(&mut self) {
        let names: Vec<String> = self.tree.keys().map(|name| self.path(name)).collect();
        self.unknown.extend(names);
        self.tree.clear();
    }

    fn absorb(&mut self, mut child: Self) {
        child.leave_unknown();
        self.unknown.append(&mut child.unknown);
        self.violations.append(&mut child.violations);
    }

    fn raw(&mut self, name: &str) -> Option<String> {
        match self.tree.remove(name)? {
            Node::Text(text) => Some(text),
            Node::Branch(_) => {
                self.violate(name, None, format!("Invalid string: {}", self.path(name)));
                None
            }
        }
    }

    /// A text that is not empty.
    pub(crate) fn text(&mut self, name: &str, max_chars: usize) -> Option<String> {
        let text = self.raw(name)?;
        if text.is_empty() {
            self.violate(
                name,
                Some("parameter_invalid_empty"),
                format!(
                    "You passed an empty string for '{0}'. We assume empty values are an attempt to \
                     unset a parameter; however '{0}' cannot be unset. You should remove '{0}' from \
                     your request or supply a non-empty value.",
                    self.path(name)
                ),
            );
            return None;
        }
        self.bounded(name, text, max_chars)
    }

    fn bounded(&mut self, name: &str, text: String, max_chars: usize) -> Option<String> {
        if text.chars().count() <= max_chars {
            return Some(text);
        }
        let start: String = text.chars().take(20).collect();
        self.violate(
            name,
            None,
            format!("Invalid string: {start}...; must be at most {max_chars} characters"),
        );
        None
    }

    /// A text that the empty string unsets.
    pub(crate) fn clearable(&mut self, name: &str, max_chars: usize) -> Patch<String> {
        match self.raw(name) {
            None => Patch::Keep,
            Some(text) if text.is_empty() => Patch::Clear,
            Some(text) => self
                .bounded(name, text, max_chars)
                .map_or(Patch::Keep, Patch::Set),
        }
    }

    /// Makes an optional value a required one. The default stands in until `finish` refuses.
    pub(crate) fn need<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        let path = self.path(name);
        let told = |violation: &Refusal| {
            violation
                .param
                .as_deref()
                .is_some_and(|param| param.starts_with(&path))
        };
        if value.is_none() && !self.violations.iter().any(told) {
            let message = format!("Missing required param: {path}.");
            self.violate(name, Some("parameter_missing"), message);
        }
        value.unwrap_or_default()
    }

    pub(crate) fn need_text(&mut self, name: &str, max_chars: usize) -> String {
        let value = self.text(name, max_chars);
        self.need(name, value)
    }

    pub(crate) fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        const CODE: Option<&str> = Some("parameter_invalid_integer");
        let text = self.raw(name)?;
        let Ok(value) = text.parse::<i64>() else {
            self.violate(name, CODE, format!("Invalid integer: {text}"));
            return None;
        };
        let (least, most) = range.into_inner();
        if value < least {
            self.violate(
                name,
                CODE,
                format!("This value must be greater than or equal to {least}."),
            );
            return None;
        }
        if value > most {
            self.violate(
                name,
                CODE,
                format!(
                    "This value must be less than or equal to {most} (it currently is '{value}')."
                ),
            );
            return None;
        }
        Some(value)
    }

    /// A time in Unix seconds.
    pub(crate) fn timestamp(&mut self, name: &str) -> Option<i64> {
        // 9999-12-31: what is later is a time in milliseconds, the usual mistake.
        self.integer(name, 0..=253_402_300_799)
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        let text = self.raw(name)?;
        match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let message = format!("Invalid boolean: {other}");
                self.violate(name, None, message);
                None
            }
        }
    }

    pub(crate) fn choice<T: Choice>(&mut self, name: &str) -> Option<T> {
        let text = self.raw(name)?;
        if let Some((_, value)) = T::ALL.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = T::ALL.iter().map(|(word, _)| *word).collect();
        let path = self.path(name);
        self.violate(
            name,
            None,
            format!("Invalid {path}: must be one of {}", words.join(", ")),
        );
        None
    }

    pub(crate) fn need_choice<T: Choice>(&mut self, name: &str) -> T {
        let value = self.choice(name);
        self.need(name, value)
    }

    /// A plain decimal with at most `max_places` digits behind the point.
    pub(crate) fn decimal(&mut self, name: &str, max_places: u32) -> Option<Decimal> {
        let text = self.raw(name)?;
        match Decimal::from_str(&text) {
            Ok(value) if value.scale() <= max_places => Some(value),
            Ok(_) | Err(_) => {
                self.violate(
                    name,
                    None,
                    format!(
                        "Invalid decimal: {text}; must contain at most {max_places} decimal places."
                    ),
                );
                None
            }
        }
    }

    pub(crate) fn range(&mut self, name: &str) -> TimeRange {
        if let Some(Node::Text(_)) = self.tree.get(name) {
            let exact = self.timestamp(name);
            return TimeRange {
                from: exact,
                until: exact,
            };
        }
        let read = |bounds: &mut Self| TimeRange {
            from: bounds
                .timestamp("gte")
                .or(bounds.timestamp("gt").map(|time| time + 1)),
            until: bounds
                .timestamp("lte")
                .or(bounds.timestamp("lt").map(|time| time - 1)),
        };
        self.object(name, read).unwrap_or_default()
    }

    fn branch(&mut self, name: &str, shape: &str) -> Option<Tree> {
        match self.tree.remove(name)? {
            Node::Branch(branch) => Some(branch),
            Node::Text(_) => {
                self.violate(name, None, format!("Invalid {shape}"));
                None
            }
        }
    }

    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let branch = self.branch(name, "object")?;
        let mut child = Self::nested(self.path(name), branch);
        let value = read(&mut child);
        self.absorb(child);
        Some(value)
    }

    /// A required object. When it is absent the defaults stand in until `finish` refuses.
    pub(crate) fn need_object<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let present = self.has(name);
        let branch = if present {
            self.branch(name, "object")
        } else {
            self.need(name, None)
        };
        let mut child = Self::nested(self.path(name), branch.unwrap_or_default());
        let value = read(&mut child);
        if present {
            self.absorb(child);
        }
        value
    }

    fn elements(&mut self, name: &str, max_items: usize) -> Vec<(String, Node)> {
        let Some(branch) = self.branch(name, "array") else {
            return Vec::new();
        };
        let mut elements = Vec::with_capacity(branch.len());
        for (index, node) in branch {
            match index.parse::<usize>() {
                Ok(number) => elements.push((number, index, node)),
                Err(_) => self.violate(name, None, "Invalid array"),
            }
        }
        if elements.len() > max_items {
            let message = format!("Array must contain at most {max_items} elements.");
            self.violate(name, None, message);
        }
        elements.sort_by_key(|(number, _, _)| *number);
        elements
            .into_iter()
            .map(|(_, index, node)| (index, node))
            .collect()
    }

    pub(crate) fn texts(&mut self, name: &str, max_items: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for (_, node) in self.elements(name, max_items) {
            match node {
                Node::Text(text) => texts.push(text),
                Node::Branch(_) => self.violate(name, None, "Invalid string"),
            }
        }
        texts
    }

    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        max_items: usize,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (index, node) in self.elements(name, max_items) {
            match node {
                Node::Branch(branch) => {
                    let prefix = format!("{}[{index}]", self.path(name));
                    let mut child = Self::nested(prefix, branch);
                    values.push(read(&mut child));
                    self.absorb(child);
                }
                Node::Text(_) => self.violate(name, None, "Invalid object"),
            }
        }
        values
    }

    /// A map of texts whose keys are the caller's own, such as a meter event's payload.
    pub(crate) fn map(&mut self, name: &str) -> Option<BTreeMap<String, String>> {
        let mut map = BTreeMap::new();
        for (key, node) in self.branch(name, "hash")? {
            match node {
                Node::Text(text) => {
                    map.insert(key, text);
                }
                Node::Branch(_) => {
                    let message = format!("Invalid string: {}[{key}]", self.path(name));
                    self.violate(name, None, message);
                }
            }
        }
        Some(map)
    }
}
