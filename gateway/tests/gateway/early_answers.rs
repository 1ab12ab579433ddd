//! Answers that do not wait for the body: an HTTP/1.1 client can use its connection again, or is told
//! that it cannot. It closed without a word, and the next request met a broken pipe.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::world::{TOKEN, World};

const PATIENCE: Duration = Duration::from_secs(20);
const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
/// What is answered before the body is read: the status, the request line and a header.
const EARLY: [(u16, &str, &str); 5] = [
    (401, "POST /api/usage-report", "Authorization: Bearer wrong"),
    (
        401,
        "POST /api/admin/organizations/0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a10/link",
        "Authorization: Bearer wrong",
    ),
    (404, "POST /no/such/path", "Accept: */*"),
    (405, "PUT /api/usage-report", "Accept: */*"),
    (400, "POST /%ff", "Accept: */*"),
];

struct Client {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl Client {
    async fn connect(world: &World) -> Self {
        let stream = TcpStream::connect(world.addr).await.unwrap();
        let (reader, writer) = stream.into_split();
        Self { reader, writer }
    }

    /// The head of an answer; its body is read, too.
    async fn answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.reader.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.reader.read_exact(&mut body).await.unwrap();
        head
    }
}

fn request(line: &str, header: &str, length: usize) -> Vec<u8> {
    let head =
        format!("{line} HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: {length}\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + length, b'x');
    bytes
}

/// A small body is read, and the connection goes on.
#[tokio::test]
async fn after_an_early_answer_the_next_request_is_answered() {
    let world = World::new().await;
    for (status, line, header) in EARLY {
        let mut client = Client::connect(&world).await;
        // Both at once, as a client does that does not wait.
        let mut bytes = request(line, header, 10_000);
        bytes.extend(NEXT.bytes());
        client.writer.write_all(&bytes).await.unwrap();
        let first = timeout(PATIENCE, client.answer()).await.unwrap();
        assert!(first.starts_with(&format!("http/1.1 {status} ")), "{first}");
        assert!(!first.contains("connection: close"), "{line}: {first}");
        let second = timeout(PATIENCE, client.answer()).await.unwrap();
        assert!(second.starts_with("http/1.1 200 "), "{line}: {second}");
    }
}

/// A large body is not waited for: the answer says that the connection closes, and the client gets to
/// read it although it is still sending.
#[tokio::test]
async fn a_client_with_a_large_body_is_told_that_the_connection_closes() {
    let world = World::new().await;
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let too_large = (413, "POST /api/usage-report", &*authorization);
    for (status, line, header) in EARLY.into_iter().chain([too_large]) {
        let mut client = Client::connect(&world).await;
        let bytes = request(line, header, 4_000_000);
        let writing = async {
            // It may be cut off.
            let _end = client.writer.write_all(&bytes).await;
            client
        };
        let mut client = timeout(PATIENCE, writing).await.unwrap();
        let answer = timeout(PATIENCE, client.answer()).await.unwrap();
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("connection: close"), "{line}: {answer}");
        let mut rest = Vec::new();
        timeout(PATIENCE, client.reader.read_to_end(&mut rest))
            .await
            .unwrap()
            .unwrap();
        assert!(rest.is_empty());
    }
}

/// curl asks first whether it may send a large body. It may not, and sends none.
#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_that_the_connection_closes() {
    let world = World::new().await;
    let mut client = Client::connect(&world).await;
    let head = "POST /no/such/path HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    client.writer.write_all(head.as_bytes()).await.unwrap();
    let answer = timeout(PATIENCE, client.answer()).await.unwrap();
    assert!(answer.starts_with("http/1.1 404 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
