//! Goal: faults around the database are told apart, and end when their cause ends.
//! Method: a real PostgreSQL that is made read-only and altered beneath a pool; a pooler in transaction
//! mode: PgBouncer where it is installed, and always a server that does what such a pooler shows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;

use billing_devkit::postgres::Account;
use billing_harness::{TestDatabase, eventually};
use billing_kit_db::{DatabaseConfig, Readiness, check_role, connect, db_fault};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROLE: &str = "billing_ingest";

async fn pool(database: &TestDatabase, size: u32) -> DatabaseConnection {
    let create = "CREATE TABLE notes (turns bigint); GRANT ALL ON notes TO billing_ingest";
    let owner = database.connect().await;
    owner.execute_unprepared(create).await.unwrap();
    owner.close().await.unwrap();
    let config = DatabaseConfig::new(database.url(), size);
    connect(&config, ROLE).await.unwrap()
}

async fn write(db: &DatabaseConnection) -> Result<(), DbErr> {
    db.execute_unprepared("INSERT INTO notes VALUES (1)")
        .await
        .map(drop)
}

/// keycloak#24493, influxdb_iox#5570: after a failover the pool kept its sessions to a server that may not
/// be written to, and health stayed green.
#[tokio::test]
async fn fm22_a_read_only_database_is_away_and_needs_no_restart() {
    let database = TestDatabase::migrated().await;
    let db = pool(&database, 2).await;
    let readiness = Readiness::new(db.clone(), ROLE);
    write(&db).await.unwrap();
    assert!(readiness.is_ready().await);

    database.make_read_only();
    assert!(!readiness.is_ready().await);
    let error = write(&db).await.unwrap_err();
    assert!(db_fault(error).retry_after.is_some());

    database.make_writable();
    assert!(readiness.is_ready().await);
    write(&db).await.unwrap();
}

/// sqlx#1250, sea-orm#1162: a column was added to a table, and each statement that was prepared with `*`
/// failed until the service was restarted.
#[tokio::test]
async fn fm21_a_connection_whose_plans_are_invalid_is_replaced() {
    let database = TestDatabase::migrated().await;
    let db = pool(&database, 1).await;
    let select = || Statement::from_string(db.get_database_backend(), "SELECT * FROM notes");
    db.query_all_raw(select()).await.unwrap();
    let owner = database.connect().await;
    let alter = "ALTER TABLE notes ADD COLUMN more text";
    owner.execute_unprepared(alter).await.unwrap();

    let error = db.query_all_raw(select()).await.unwrap_err();
    assert!(error.to_string().contains("cached plan"), "{error}");
    assert!(db_fault(error).retry_after.is_some());
    db.query_all_raw(select()).await.unwrap();
    owner.close().await.unwrap();
}

/// pgdog#1341, sqlx#67: behind a pooler in transaction mode the role of one service leaked into the
/// sessions of others.
#[tokio::test]
async fn fm30_a_pooler_in_transaction_mode_is_refused_at_start() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let pooler = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(share_one_backend(client));
        }
    });
    assert_is_refused(pooler).await;
}

async fn assert_is_refused(pooler: SocketAddr) {
    let url = format!("postgresql://billing@{pooler}/billing?sslmode=disable");
    let db = connect(&DatabaseConfig::new(url, 1), ROLE).await.unwrap();
    let problem = check_role(&db, ROLE).await.unwrap_err();
    assert!(problem.contains("pooler in transaction mode"), "{problem}");
    assert!(!Readiness::new(db, ROLE).is_ready().await);
}

/// Answers as PostgreSQL does, and shows every client the same backend.
async fn share_one_backend(mut client: TcpStream) -> Option<()> {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    // The startup message, without a type.
    let length = client.read_u32().await.ok()?;
    skip(&mut client, length).await?;
    let authenticated = [b"R\0\0\0\x08\0\0\0\0", READY].concat();
    client.write_all(&authenticated).await.ok()?;
    loop {
        let _query = client.read_u8().await.ok()?;
        let length = client.read_u32().await.ok()?;
        let text = skip(&mut client, length).await?;
        let mut answer = Vec::new();
        if text.starts_with(b"SELECT pg_backend_pid()") {
            // One column of type int4, as text; and the row.
            answer.extend_from_slice(
                b"T\0\0\0\x1c\0\x01pid\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
            );
            answer.extend_from_slice(b"D\0\0\0\x0c\0\x01\0\0\0\x02\x34\x32");
        }
        answer.extend_from_slice(b"C\0\0\0\x07OK\0");
        answer.extend_from_slice(READY);
        client.write_all(&answer).await.ok()?;
    }
}

/// What follows a message's length, which counts itself.
async fn skip(client: &mut TcpStream, length: u32) -> Option<Vec<u8>> {
    let mut rest = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    client.read_exact(&mut rest).await.ok()?;
    Some(rest)
}

/// PgBouncer with one connection to the server, and what it says of itself.
struct PgBouncer {
    process: Child,
    dir: PathBuf,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
        let _gone = std::fs::remove_dir_all(&self.dir);
    }
}

#[tokio::test]
async fn fm30_pgbouncer_is_refused_in_transaction_mode_and_taken_in_session_mode() {
    let programs = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
    let Some(program) = programs.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: PgBouncer is not installed");
        return;
    };
    let database = TestDatabase::migrated().await;
    for (mode, is_taken) in [("transaction", false), ("session", true)] {
        let port = billing_devkit::ports::any_free().unwrap();
        let pooler = start_pgbouncer(program, &database, mode, port);
        let (_, place) = database.url().split_once('@').unwrap();
        let (_, name) = place.split_once('/').unwrap();
        let url = format!("postgresql://billing@127.0.0.1:{port}/{name}?sslmode=disable");
        let db = connect(&DatabaseConfig::new(url, 1), ROLE).await.unwrap();
        let verdict = eventually("PgBouncer listens", async || {
            let is_up = TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            is_up.then_some(())
        });
        verdict.await;
        let told = check_role(&db, ROLE).await;
        assert_eq!(told.is_ok(), is_taken, "{mode}: {told:?}");
        assert_eq!(Readiness::new(db, ROLE).is_ready().await, is_taken);
        drop(pooler);
    }
}

fn start_pgbouncer(program: &str, database: &TestDatabase, mode: &str, port: u16) -> PgBouncer {
    let dir = std::env::temp_dir().join(format!("billing-pgbouncer-{port}"));
    std::fs::create_dir_all(&dir).unwrap();
    let (_, place) = database.url().split_once('@').unwrap();
    let (host, name) = place.split_once('/').unwrap();
    let (host, server_port) = host.split_once(':').unwrap();
    let ini = format!(
        "[databases]\n{name} = host={host} port={server_port} user=billing\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = {mode}\ndefault_pool_size = 4\nignore_startup_parameters = extra_float_digits\n\
         logfile = {0}/log\npidfile = {0}/pid\n",
        dir.display()
    );
    std::fs::write(dir.join("ini"), ini).unwrap();
    // It refuses to run as root.
    let account = Account::choose().unwrap();
    account.give(&dir).unwrap();
    let mut command = account.command(Path::new(program));
    let process = command.arg(dir.join("ini")).spawn().unwrap();
    PgBouncer { process, dir }
}
