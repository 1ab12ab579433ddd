//! `billing.admin.v1` from a page, by gRPC-Web.

use billing_e2e::{ADMIN_EMAIL, ADMIN_PASSWORD};
use billing_proto::admin::v1::GetOrganizationResponse;
use prost::Message;
use serde_json::{Value, json};

use crate::{
    chromium::{ENGLISH, in_browser},
    links::reported,
};

/// A call without a library: five bytes before the message, and as many before each part of the answer.
const CALL: &str = "
    const [email, password, organization, done] = arguments;
    (async () => {
        const credentials = JSON.stringify({ email, password });
        const headers = { 'content-type': 'application/json' };
        const signedIn = await fetch('/api/auth/sign-in/email', { method: 'POST', headers, body: credentials });
        const { token } = await signedIn.json();
        const id = new TextEncoder().encode(organization);
        const message = [0x0a, id.length, ...id];
        const answer = await fetch('/billing.admin.v1.AdminService/GetOrganization', {
            method: 'POST',
            headers: { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1', authorization: `Bearer ${token}` },
            body: new Uint8Array([0, 0, 0, 0, message.length, ...message]),
        });
        const bytes = new Uint8Array(await answer.arrayBuffer());
        const parts = [];
        for (let at = 0; at < bytes.length;) {
            const length = new DataView(bytes.buffer).getUint32(at + 1);
            parts.push([bytes[at], [...bytes.slice(at + 5, at + 5 + length)]]);
            at += 5 + length;
        }
        return { status: answer.status, type: answer.headers.get('content-type'), parts };
    })().then(done, (error) => done(String(error)));";

fn bytes(value: &Value) -> Vec<u8> {
    let numbers = value.as_array().unwrap().iter();
    numbers
        .map(|it| it.as_u64().unwrap().try_into().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_ours_calls_grpc() {
    in_browser(ENGLISH, async |system, browser| {
        let instance = reported(system, "Acme Corp").await;
        browser.sign_in().await;
        let id = instance.organization.to_string();
        let arguments = vec![json!(ADMIN_EMAIL), json!(ADMIN_PASSWORD), json!(id)];
        let answer = browser.client.execute_async(CALL, arguments).await.unwrap();
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(answer["type"], "application/grpc-web+proto", "{answer}");
        let [message, trailers] = answer["parts"].as_array().unwrap().as_slice() else {
            panic!("a message and its trailers: {answer}");
        };
        assert_eq!((&message[0], &trailers[0]), (&json!(0), &json!(0x80)));
        let response = GetOrganizationResponse::decode(bytes(&message[1]).as_slice()).unwrap();
        let organization = response.organization.unwrap();
        assert_eq!(
            (organization.id, organization.name.as_str()),
            (id, "Acme Corp")
        );
        let trailers = String::from_utf8(bytes(&trailers[1])).unwrap();
        assert!(trailers.contains("grpc-status:0"), "{trailers}");
    })
    .await;
}
