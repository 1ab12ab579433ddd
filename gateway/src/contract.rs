//! The descriptors of `billing.admin.v1`: its methods and messages, and our own options that state how
//! REST serves them.
//!
//! Architecture invariant: the proto files alone define what an admin can do, who may do it, and where
//! REST serves it.

use std::{collections::HashMap, sync::LazyLock};

use billing_proto::{
    DESCRIPTOR_SET,
    common::v1::{Json, Rest, Role},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, MethodDescriptor,
};

/// The packages whose messages REST writes.
const PACKAGES: [&str; 2] = ["billing.admin.v1", "billing.common.v1"];
const SERVICE: &str = "billing.admin.v1.AdminService";
const METHOD_OPTION: &str = "billing.common.v1.rest";
const FIELD_OPTION: &str = "billing.common.v1.json";

/// The paging fields of every list, and their names in REST.
const PAGE_NAMES: [(&str, &str); 3] = [
    (PAGE_SIZE, "limit"),
    ("page_token", "cursor"),
    (NEXT_PAGE_TOKEN, "next_cursor"),
];
/// The rows of a page.
pub(crate) const PAGE_SIZE: &str = "page_size";
const NEXT_PAGE_TOKEN: &str = "next_page_token";

/// The enums whose words the specification writes with hyphens.
const HYPHENATED: [&str; 2] = [
    "billing.common.v1.DeploymentType",
    "billing.common.v1.PlanType",
];

static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::read);

struct Contract {
    methods: Vec<Method>,
    /// The fields of every message, by its full name.
    fields: HashMap<String, Vec<Field>>,
}

impl Contract {
    #[expect(
        clippy::expect_used,
        reason = "the descriptors are a constant that every test of the gateway reads"
    )]
    fn read() -> Self {
        let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the contracts' descriptors");
        let service = pool
            .get_service_by_name(SERVICE)
            .expect("the admin service");
        let ours = pool
            .all_messages()
            .filter(|message| PACKAGES.contains(&message.package_name()));
        let fields = ours.map(|message| {
            let fields = message.fields().map(|field| Field::new(&pool, field));
            (message.full_name().to_owned(), fields.collect())
        });
        Self {
            methods: service.methods().map(|it| Method::new(&pool, it)).collect(),
            fields: fields.collect(),
        }
    }
}

/// Every method, in the order of the contract.
pub(crate) fn methods() -> &'static [Method] {
    &CONTRACT.methods
}

/// The fields of a message, by number.
pub(crate) fn fields(message: &MessageDescriptor) -> &'static [Field] {
    let known = CONTRACT.fields.get(message.full_name());
    known.map_or(&[], Vec::as_slice)
}

/// A method of the contract.
#[derive(Debug)]
pub(crate) struct Method {
    descriptor: MethodDescriptor,
    /// How REST serves it.
    pub rest: Rest,
}

impl Method {
    fn new(pool: &DescriptorPool, descriptor: MethodDescriptor) -> Self {
        let rest = option(pool, METHOD_OPTION, &descriptor.options());
        Self { descriptor, rest }
    }

    /// Its name, for example `GetOrganization`.
    pub(crate) fn name(&self) -> &str {
        self.descriptor.name()
    }

    /// Its path in gRPC.
    pub(crate) fn grpc_path(&self) -> String {
        format!("/{SERVICE}/{}", self.name())
    }

    /// Its HTTP method and path; `None` for a method without a generated route.
    pub(crate) fn route(&self) -> Option<(http::Method, &str)> {
        let Rest {
            get, post, patch, ..
        } = &self.rest;
        [
            (http::Method::GET, get),
            (http::Method::POST, post),
            (http::Method::PATCH, patch),
        ]
        .into_iter()
        .map(|(method, path)| (method, path.as_str()))
        .find(|(_, path)| !path.is_empty())
    }

    /// Who may call it.
    pub(crate) fn role(&self) -> Role {
        self.rest.role()
    }

    /// Its request.
    pub(crate) fn input(&self) -> MessageDescriptor {
        self.descriptor.input()
    }

    /// Its response.
    pub(crate) fn output(&self) -> MessageDescriptor {
        self.descriptor.output()
    }

    /// The field that `{id}` in its path stands for.
    pub(crate) fn id_field(&self) -> Option<&'static Field> {
        let (_, path) = self.route()?;
        let fields = fields(&self.descriptor.input());
        path.contains("{id}").then(|| fields.first()).flatten()
    }

    /// The fields that are read from the query or the body.
    pub(crate) fn input_fields(&self) -> &'static [Field] {
        let fields = fields(&self.descriptor.input());
        let in_path = usize::from(self.id_field().is_some());
        fields.get(in_path..).unwrap_or_default()
    }

    /// Its comment in the proto file, on one line.
    pub(crate) fn comment(&self) -> String {
        let file = self.descriptor.parent_service().parent_file();
        comment(&file, self.descriptor.path())
    }
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// The field itself.
    pub descriptor: FieldDescriptor,
    /// Its name in REST.
    pub name: String,
    /// How REST writes it.
    pub json: Json,
    /// What it holds; of a list, what each of its items is.
    pub shape: Shape,
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Shape {
    /// True or false.
    Flag,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A text.
    Text,
    /// One of a few words.
    Word(EnumDescriptor),
    /// A moment.
    Time(MessageDescriptor),
    /// A length of time.
    Age,
    /// A message of ours.
    Message(MessageDescriptor),
}

impl Shape {
    #[expect(
        clippy::wildcard_enum_match_arm,
        clippy::panic,
        reason = "the descriptors are a constant with fields of these types only"
    )]
    fn of(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Bool => Self::Flag,
            Kind::Int32 => Self::Int32,
            Kind::Int64 => Self::Int64,
            Kind::String => Self::Text,
            Kind::Enum(words) => Self::Word(words),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => Self::Time(message),
                "google.protobuf.Duration" => Self::Age,
                _ => Self::Message(message),
            },
            other => panic!("REST has no form for {other:?}, the type of {field:?}"),
        }
    }
}

impl Field {
    fn new(pool: &DescriptorPool, descriptor: FieldDescriptor) -> Self {
        let mut json: Json = option(pool, FIELD_OPTION, &descriptor.options());
        let is_scalar = !matches!(descriptor.kind(), Kind::Message(_));
        let is_optional = is_scalar && descriptor.supports_presence() && !json.required;
        json.nullable |= descriptor.name() == NEXT_PAGE_TOKEN || is_optional;
        Self {
            name: name(&descriptor).to_owned(),
            shape: Shape::of(&descriptor),
            descriptor,
            json,
        }
    }

    /// Its comment in the proto file, on one line.
    pub(crate) fn comment(&self) -> String {
        comment(
            &self.descriptor.parent_message().parent_file(),
            self.descriptor.path(),
        )
    }
}

/// The name of a field in REST.
fn name(field: &FieldDescriptor) -> &str {
    let own = field.name();
    let is_given = field.json_name() != lower_camel_case(own);
    let of_pages = PAGE_NAMES.iter().find(|(name, _)| *name == own);
    match of_pages {
        _ if is_given => field.json_name(),
        Some((_, in_rest)) => in_rest,
        None => own,
    }
}

/// The `json_name` of a field that gives none, as protobuf defines it.
fn lower_camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_at_checked(1).unwrap_or(("", part));
        text.push_str(&first.to_ascii_uppercase());
        text.push_str(rest);
    }
    text
}

/// The word of an enum's value: its name without the prefix of all, in lower case. `None` for 0 and for
/// a value that a newer service knows.
pub(crate) fn word(words: &EnumDescriptor, number: i32) -> Option<String> {
    let value = words.get_value(number).filter(|_| number != 0)?;
    let unspecified = words.get_value(0)?;
    let prefix = unspecified.name().trim_end_matches("UNSPECIFIED");
    let word = value.name().trim_start_matches(prefix).to_ascii_lowercase();
    Some(if HYPHENATED.contains(&words.full_name()) {
        word.replace('_', "-")
    } else {
        word
    })
}

/// Every word of an enum.
pub(crate) fn words(words: &EnumDescriptor) -> Vec<String> {
    let values = words.values();
    values
        .filter_map(|value| word(words, value.number()))
        .collect()
}

/// An option of ours; its default where it is not set.
fn option<T: prost::Message + Default>(
    pool: &DescriptorPool,
    name: &str,
    options: &DynamicMessage,
) -> T {
    let extension = pool.get_extension_by_name(name);
    let value = extension.map(|it| options.get_extension(&it).into_owned());
    value
        .as_ref()
        .and_then(|value| value.as_message()?.transcode_to().ok())
        .unwrap_or_default()
}

/// The comment before a declaration, on one line.
pub(crate) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    let mut locations = source.into_iter().flat_map(|source| &source.location);
    let comment = locations
        .find(|location| location.path == path)
        .map_or("", |location| location.leading_comments());
    let lines: Vec<_> = comment.split_whitespace().collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str) -> &'static [Field] {
        &CONTRACT.fields[name]
    }

    #[test]
    fn every_method_says_who_may_call_it() {
        assert!(!methods().is_empty());
        for method in methods() {
            assert_ne!(method.role(), Role::Unspecified, "{}", method.name());
            assert!(!method.comment().is_empty(), "{}", method.name());
        }
    }

    #[test]
    fn a_field_has_its_own_name_unless_another_one_is_given() {
        let names = |message_name| -> Vec<&str> {
            let fields = message(message_name).iter();
            fields.map(|field| field.name.as_str()).collect()
        };
        assert_eq!(
            names("billing.common.v1.ListApiKeysRequest"),
            ["limit", "cursor"]
        );
        assert_eq!(
            names("billing.common.v1.ListApiKeysResponse"),
            ["api_keys", "next_cursor"]
        );
        assert_eq!(
            names("billing.common.v1.ApiKey")[4..7],
            ["admin_user_id", "created_at", "expires_at"]
        );
    }

    #[test]
    fn words_are_in_lower_case_and_two_enums_have_hyphens() {
        let of = |message_name, field: &str| {
            let mut fields = message(message_name).iter();
            let field = fields.find(|it| it.descriptor.name() == field).unwrap();
            words(field.descriptor.kind().as_enum().unwrap())
        };
        assert_eq!(
            of("billing.common.v1.ApiKey", "access"),
            ["read_only", "full"]
        );
        let update = "billing.admin.v1.UpdateSubscriptionRequest";
        assert_eq!(
            of(update, "deployment_type"),
            ["on-premise", "managed-cloud"]
        );
        assert_eq!(of(update, "plan_type"), ["managed-cloud", "self-hosted"]);
    }
}
