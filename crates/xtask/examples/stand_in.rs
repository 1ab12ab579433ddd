//! Stands in for any of the product's binaries where only what `cargo xtask up` does with them is
//! tested. It is called by the name of the one that it stands in for, notes each call in
//! STAND_IN_LOG, and as a service answers 200 to everything.
#![expect(
    clippy::print_stdout,
    reason = "what it prints is what the test looks for"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let arguments: Vec<String> = arguments.collect();
    note(&format!("{name} {}", arguments.join(" ")))?;

    if arguments.iter().any(|word| word == "--password-stdin") {
        let mut password = String::new();
        std::io::stdin().read_to_string(&mut password)?;
        note(&format!("password of {} characters", password.trim().len()))?;
    }
    let listen = arguments
        .iter()
        .skip_while(|word| *word != "--listen")
        .nth(1);
    if listen.is_none() && !arguments.is_empty() {
        return Ok(());
    }
    if set("STAND_IN_DIES") == Some(name.clone()) {
        println!("{name} cannot go on");
        std::process::exit(3);
    }
    let health = set("HEALTH_ADDR").map(TcpListener::bind).transpose()?;
    let own = listen.cloned().or_else(|| set("LISTEN_ADDR"));
    let own = own.map(TcpListener::bind).transpose()?;
    println!("{name} listens");
    let answering: Vec<_> = [health, own]
        .into_iter()
        .flatten()
        .map(|listener| std::thread::spawn(move || answer(&listener)))
        .collect();
    for thread in answering {
        drop(thread.join());
    }
    Ok(())
}

fn answer(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let mut request = [0; 1024];
        drop(stream.read(&mut request));
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    }
}

fn note(line: &str) -> std::io::Result<()> {
    let Some(path) = set("STAND_IN_LOG") else {
        return Ok(());
    };
    let mut log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)?;
    log.write_all(format!("{line}\n").as_bytes())
}

fn set(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}
