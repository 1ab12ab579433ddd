//! What a request's address and forms say.

use billing_kit::{Fault, Violation};
use url::form_urlencoded;
use uuid::Uuid;

/// The organization that a path names.
///
/// # Errors
/// INVALID_ARGUMENT naming `organization_id`.
pub(crate) fn organization_id(text: &str) -> Result<Uuid, Fault> {
    Uuid::try_parse(text).map_err(|error| {
        Fault::invalid(vec![Violation::new(
            "organization_id",
            "It must be a UUID.",
        )])
        .caused_by(error)
    })
}

/// A request's query, or its form. What is sent twice counts as it was sent first; names that are not known are
/// ignored.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query as it stands in the address.
    pub(crate) fn read(query: Option<&str>) -> Self {
        Self::read_form(query.unwrap_or_default().as_bytes())
    }

    /// Reads a form, which has the same syntax.
    pub(crate) fn read_form(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// All values of a name, as a form's boxes send them.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let sent = self.0.iter().filter(|(sent, _)| sent == name);
        sent.map(|(_, value)| value.clone()).collect()
    }

    /// A value, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(sent, _)| sent == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The address of the page after, where there is one.
pub(crate) fn next_page(path: &str, token: &str) -> Option<String> {
    (!token.is_empty()).then(|| with_query(path, &[("cursor", token)]))
}

/// A path with a query of these names and values; those without a value are left out.
pub(crate) fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}
