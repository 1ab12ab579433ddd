//! An API key that may only read: what it may do is derived from what there is, so that no new route or
//! method can be forgotten.

use billing_proto::DESCRIPTOR_SET;
use prost::Message;
use prost_types::FileDescriptorSet;
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    org::READ_ONLY_KEY,
    world::{Answer, World},
};

const ACME: Uuid = Uuid::from_u128(0xac);
const REFUSED: &str = "api_key_read_only";
/// A POST because its question is a body; it changes nothing.
const PREVIEW: &str = "/api/admin/organizations/{id}/link/preview";
/// How the names of methods begin that change nothing.
const READS: [&str; 5] = ["Get", "List", "Count", "Preview", "Watch"];

#[tokio::test]
async fn every_rest_route_that_changes_something_refuses_it_and_no_other_does() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let document: Value = Answer::of(world.get("/api/openapi.json")).await.json();
    let (mut refused, mut let_in) = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/api/admin/") {
            continue;
        }
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            if item[method.as_str().to_lowercase()].is_null() {
                continue;
            }
            let concrete = path.replace("{id}", &ACME.to_string());
            let request = world.request(method.clone(), &concrete);
            let answer = Answer::of(request.bearer_auth(READ_ONLY_KEY)).await;
            let may = method == Method::GET || path == PREVIEW;
            let is_refused = answer.text.contains(REFUSED);
            assert_eq!(is_refused, !may, "{method} {path}: {}", answer.text);
            if is_refused {
                assert_eq!(answer.error().0, REFUSED);
                refused += 1;
            } else {
                assert_ne!(answer.status, 401, "{method} {path}");
                let_in += 1;
            }
        }
    }
    assert!(
        refused > 8 && let_in > 8,
        "{refused} refused, {let_in} let in"
    );
}

#[tokio::test]
async fn every_grpc_method_that_changes_something_refuses_it_and_no_other_does() {
    let world = World::new().await;
    let all = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    let services = all
        .file
        .iter()
        .filter(|it| it.package() == "billing.admin.v1");
    let services = services.flat_map(|file| &file.service);
    let (mut refused, mut let_in) = (0, 0);
    for service in services {
        for method in &service.method {
            let path = format!("/billing.admin.v1.{}/{}", service.name(), method.name());
            // An empty message, as gRPC-Web frames it.
            let request = world
                .post(&path)
                .header("content-type", "application/grpc-web+proto")
                .bearer_auth(READ_ONLY_KEY)
                .body(vec![0_u8; 5]);
            let response = request.send().await.unwrap();
            let text = |name: &str| {
                let value = response.headers().get(name);
                value.map_or("", |value| value.to_str().unwrap()).to_owned()
            };
            let message = text("grpc-message");
            let is_refused = message.contains("may%20read%20and%20not%20change");
            let may = READS.iter().any(|read| method.name().starts_with(read));
            assert_eq!(is_refused, !may, "{path}: {message}");
            if is_refused {
                assert_eq!(text("grpc-status"), "7", "{path}");
                refused += 1;
            } else {
                assert_ne!(text("grpc-status"), "16", "{path}");
                let_in += 1;
            }
        }
    }
    assert!(
        refused > 8 && let_in > 8,
        "{refused} refused, {let_in} let in"
    );
}
