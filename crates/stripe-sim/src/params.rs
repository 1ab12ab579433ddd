//! Form-encoded parameters as a tree: `items[0][price]=p` is `items → 0 → price`.
//!
//! This room knows brackets and nothing of what a parameter means; [`crate::fields`] reads the tree.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::errors::Refusal;

/// Pairs in one request, and how deep their brackets may go.
const MAX_PAIRS: usize = 2_000;
const MAX_DEPTH: usize = 8;

pub(crate) type Tree = BTreeMap<String, Node>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    Branch(Tree),
}

/// Reads the query and then the body into one tree; the body wins where both name a parameter.
pub(crate) fn parse(query: &[u8], body: &[u8]) -> Result<Tree, Refusal> {
    let mut tree = Tree::new();
    let pairs = form_urlencoded::parse(query).chain(form_urlencoded::parse(body));
    for (count, (name, value)) in pairs.enumerate() {
        let path = path(&name);
        if count >= MAX_PAIRS || path.len() > MAX_DEPTH {
            return Err(Refusal::violation(
                name,
                None,
                "Invalid request: too many parameters.",
            ));
        }
        insert(&mut tree, &path, value.into_owned());
    }
    Ok(tree)
}

/// `a[b][]` is `a`, `b` and the empty word. Brackets that do not match make no path.
fn path(name: &str) -> Vec<&str> {
    let Some((first, rest)) = name.split_once('[') else {
        return vec![name];
    };
    let Some(rest) = rest.strip_suffix(']') else {
        return vec![name];
    };
    let mut path = vec![first];
    path.extend(rest.split("]["));
    path
}

fn insert(tree: &mut Tree, path: &[&str], value: String) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let key = if first.is_empty() {
        next_index(tree, rest)
    } else {
        (*first).to_owned()
    };
    if rest.is_empty() {
        tree.insert(key, Node::Text(value));
        return;
    }
    let node = tree.entry(key).or_insert_with(|| Node::Branch(Tree::new()));
    if let Node::Text(_) = node {
        *node = Node::Branch(Tree::new());
    }
    if let Node::Branch(branch) = node {
        insert(branch, rest, value);
    }
}

/// `a[]` appends. `a[][k]` goes on with the last element until one of its keys comes again.
fn next_index(tree: &Tree, rest: &[&str]) -> String {
    let Some(last) = tree
        .keys()
        .filter_map(|key| key.parse::<usize>().ok())
        .max()
    else {
        return "0".to_owned();
    };
    let continues = match (rest.first(), tree.get(&last.to_string())) {
        (Some(next), Some(Node::Branch(element))) => {
            !next.is_empty() && !element.contains_key(*next)
        }
        (Some(_) | None, Some(Node::Text(_)) | None) | (None, Some(Node::Branch(_))) => false,
    };
    if continues {
        last.to_string()
    } else {
        (last + 1).to_string()
    }
}

/// What "the same parameters" means to idempotency: equal trees on one method and path.
pub(crate) fn fingerprint(method: &str, path: &str, tree: &Tree) -> String {
    let mut hash = Sha256::new();
    hash.update(method);
    hash.update([0]);
    hash.update(path);
    hash_tree(&mut hash, tree);
    STANDARD_NO_PAD.encode(hash.finalize())
}

fn hash_tree(hash: &mut Sha256, tree: &Tree) {
    for (key, node) in tree {
        hash.update([1]);
        hash.update(key.len().to_le_bytes());
        hash.update(key);
        match node {
            Node::Text(text) => {
                hash.update([2]);
                hash.update(text.len().to_le_bytes());
                hash.update(text);
            }
            Node::Branch(branch) => {
                hash.update([3]);
                hash_tree(hash, branch);
                hash.update([4]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(body: &str) -> Tree {
        parse(b"", body.as_bytes()).unwrap()
    }

    #[test]
    fn brackets_nest_and_empty_brackets_append() {
        let indexed = tree("items[0][price]=a&items[0][quantity]=2&items[1][price]=b");
        let appended = tree("items[][price]=a&items[][quantity]=2&items[][price]=b");
        assert_eq!(indexed, appended);
        assert_eq!(tree("k[]=a&k[]=b"), tree("k[0]=a&k[1]=b"));
    }

    #[test]
    fn a_fingerprint_ignores_the_order_and_nothing_else() {
        let one = fingerprint("POST", "/v1/customers", &tree("a=1&b=2"));
        assert_eq!(one, fingerprint("POST", "/v1/customers", &tree("b=2&a=1")));
        assert_ne!(one, fingerprint("POST", "/v1/customers", &tree("a=1&b=3")));
        assert_ne!(one, fingerprint("POST", "/v1/products", &tree("a=1&b=2")));
        assert_ne!(
            fingerprint("POST", "/", &tree("a[b]=1&c=2")),
            fingerprint("POST", "/", &tree("a[b]=1&a[c]=2"))
        );
    }
}
