//! A TCP proxy that can cut, hold and slow what passes it. What it carries (TLS, mostly) it does not
//! look at.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::schedule::Weather;

const BUFFER_BYTES: usize = 16 * 1024;

/// A way between two parts. Where there are several behind it, they take turns, as behind a
/// Kubernetes Service.
#[derive(Debug)]
pub(crate) struct Proxy {
    weather: watch::Sender<Weather>,
}

impl Proxy {
    /// Begins to listen on the port, for as long as this value lives.
    pub(crate) async fn start(port: u16, backends: Vec<u16>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let (weather, seen) = watch::channel(Weather::Clear);
        tokio::spawn(accept(listener, Arc::new(backends), seen));
        Ok(Self { weather })
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn accept(
    listener: TcpListener,
    backends: Arc<Vec<u16>>,
    mut weather: watch::Receiver<Weather>,
) {
    let turn = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            ended = closed(&mut weather) => return ended,
        };
        let Ok((client, _)) = accepted else {
            continue;
        };
        if *weather.borrow() == Weather::Cut {
            continue;
        }
        let (backends, turn, mut seen) =
            (Arc::clone(&backends), Arc::clone(&turn), weather.clone());
        let carried = weather.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = carry(client, &backends, &turn, carried) => {}
                () = cut(&mut seen) => {}
            }
        });
    }
}

/// Waits until the proxy is gone.
async fn closed(weather: &mut watch::Receiver<Weather>) {
    while weather.changed().await.is_ok() {}
}

/// Waits until the way is cut, or the proxy is gone.
async fn cut(weather: &mut watch::Receiver<Weather>) {
    // An error is the proxy's end.
    let _ = weather.wait_for(|weather| *weather == Weather::Cut).await;
}

async fn carry(
    client: TcpStream,
    backends: &[u16],
    turn: &AtomicUsize,
    weather: watch::Receiver<Weather>,
) {
    let first = turn.fetch_add(1, Ordering::Relaxed);
    let in_turn = backends.iter().cycle().skip(first % backends.len().max(1));
    for port in in_turn.take(backends.len()) {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await else {
            continue;
        };
        // Without it small messages wait for others.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            pump(from_client, to_server, weather.clone()),
            pump(from_server, to_client, weather),
        );
        return;
    }
}

/// Carries one direction. What has been read is still delivered when its sender is gone by then, as
/// in a real network.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            // Its end, or an error: either way nothing more comes.
            let _ = to.shutdown().await;
            return;
        };
        let now = weather
            .wait_for(|weather| *weather != Weather::Held)
            .await
            .map(|weather| *weather);
        if let Ok(Weather::Slow(by)) = now {
            tokio::time::sleep(by).await;
        }
        let read = buffer.get(..count).unwrap_or_default();
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that says a letter to everybody and then repeats what it hears.
    async fn echo(letter: u8) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(&[letter]).await.unwrap();
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn a_way_is_shared_held_and_cut() {
        let (a, b) = (echo(b'a').await, echo(b'b').await);
        let gone = billing_devkit::ports::any_free().unwrap();
        let port = billing_devkit::ports::any_free().unwrap();
        let proxy = Proxy::start(port, vec![a, gone, b]).await.unwrap();
        let connect = async || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .unwrap();
            (stream.read_u8().await.unwrap(), stream)
        };
        let (first, mut stream) = connect().await;
        let (second, _other) = connect().await;
        assert_eq!((first, second), (b'a', b'b'));

        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        proxy.set(Weather::Held);
        stream.write_all(b"y").await.unwrap();
        let held = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(held.is_err());
        proxy.set(Weather::Slow(Duration::from_millis(1)));
        assert_eq!(stream.read_u8().await.unwrap(), b'y');

        proxy.set(Weather::Cut);
        assert!(stream.read_u8().await.is_err());
        let mut refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        assert!(refused.read_u8().await.is_err());
        proxy.set(Weather::Clear);
        connect().await;
    }
}
