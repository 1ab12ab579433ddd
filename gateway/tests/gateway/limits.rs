//! What a client may not do: hold a connection for nothing. The clock stands still in these tests
//! and leaps whenever everybody waits.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::world::{TOKEN, World};

/// Sends the bytes and reads to the end; says after how many seconds it came.
async fn hold(bytes: &str) -> (String, u64) {
    let world = World::new().await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut off may end in an error, which is an end too.
    let _end = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    (answer, begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_nothing_is_sent_away() {
    for said in [
        "",
        "PRI * HTTP/2",
        "POST /api/usage-report HTTP/1.1\r\nHost: x\r\n",
    ] {
        let (answer, seconds) = hold(said).await;
        assert_eq!((&*answer, seconds), ("", 15), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (answer, seconds) = hold(&format!(
        "POST /api/usage-report HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    ))
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("malformed_body"), "{answer}");
    assert_eq!(seconds, 10);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_later_than_an_ingress_would() {
    let (answer, seconds) = hold("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(seconds, 75);
}
