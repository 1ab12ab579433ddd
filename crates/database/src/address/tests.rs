use super::*;

fn parse(text: &str) -> Result<Address, Vec<String>> {
    Address::parse("DATABASE_URL", text, &Policy::default())
}

/// The one sentence that is wrong with it; nothing of the password is in it.
fn problem(text: &str) -> String {
    let problems = parse(text).unwrap_err();
    let told = problems.join("\n");
    for secret in ["Tr0", "b4dor", "billing", "db.example"] {
        assert!(!told.contains(secret), "{told}");
    }
    assert!(problems.iter().all(|problem| problem.contains("DATABASE_")));
    told
}

#[test]
fn fm26_a_password_that_breaks_the_address_is_refused_and_not_shown() {
    for (text, part) in [
        (
            "postgresql://org_svc:Tr0ub4dor#3@127.0.0.1:5432/billing",
            "%23",
        ),
        (
            "postgresql://org_svc:Tr0u/b4dor@127.0.0.1:5432/billing",
            "%2F",
        ),
        (
            "postgresql://org_svc:42/Tr0ub4dor@127.0.0.1:5432/billing",
            "%2F",
        ),
        (
            "postgresql://org_svc:Tr0u?b4dor@127.0.0.1:5432/billing",
            "%3F",
        ),
        (
            "postgresql://org_svc:42?Tr0ub4dor@127.0.0.1:5432/billing",
            "%3F",
        ),
        (
            "postgresql://org_svc:42?Tr0ub4dor=x@127.0.0.1:5432/billing",
            "%3F",
        ),
        (
            "postgresql://org_svc:Tr0u@b4dor@127.0.0.1:5432/billing",
            "%40",
        ),
        (
            "postgresql://org_svc:Tr0u b4dor@127.0.0.1:5432/billing",
            "space",
        ),
        (
            "postgresql://org_svc:Tr0%zzb4dor@127.0.0.1:5432/billing",
            "%25",
        ),
        ("postgresql://Tr0u:b4dor", "port"),
        ("postgresql://u:Tr0ub4dor@db.example:x/billing", "port"),
        ("postgresql://u:Tr0ub4dor@db.example:0/billing", "port"),
        (
            "postgresql://u:Tr0ub4dor@db.example,db2.example/billing",
            "one host",
        ),
        (
            "postgresql://u:Tr0ub4dor@db.example:1,db2.example:2/billing",
            "one host",
        ),
        ("postgresql://u:Tr0ub4dor@/billing", "no host"),
        ("postgresql://u:Tr0ub4dor@127.0.0.1/billing/more", "one /"),
        ("mysql://u:Tr0ub4dor@127.0.0.1/billing", "postgresql://"),
        ("Tr0ub4dor", "postgresql://"),
    ] {
        let told = problem(text);
        assert!(told.contains(part), "{text}: {told}");
    }
}

#[test]
fn parameters_that_would_do_nothing_are_refused_by_name() {
    for (query, part) in [
        (
            "search_path=billing",
            "search_path, which is ignored. Set DATABASE_SCHEMA",
        ),
        ("options=-c%20search_path%3Dbilling", "options"),
        ("channel_binding=require", "channel_binding"),
        ("ssl=true", "sslmode=require"),
        ("sslmode=allow", "sslmode"),
        ("sslmode=Tr0ub4dor", "unknown sslmode"),
        ("sslmode=require&sslrootcert=/ca.pem", "verify-full"),
        (
            "sslrootcert=system&sslmode=verify-full",
            "public authorities",
        ),
        ("sslmode=verify-full&sslcert=/c.pem", "sslkey"),
        ("sslmode=require&sslmode=disable", "twice"),
        ("host=db.example", "one host"),
        ("hostaddr=10.0.0.1", "one host"),
        ("port=1", "port"),
        ("password=Tr0ub4dor", "in front of the host"),
        ("Tr0ub4dor=1", "not supported"),
        ("Tr0ub4dor", "not supported"),
    ] {
        let told = problem(&format!("postgresql://u:p@127.0.0.1/billing?{query}"));
        assert!(told.contains(part), "{query}: {told}");
    }
}

#[test]
fn plaintext_stays_on_this_machine_unless_it_is_allowed() {
    let allowed = Policy {
        allow_plaintext: Some("true".to_owned()),
        schema: None,
    };
    for mode in ["disable", "prefer"] {
        let text = format!("postgresql://u:p@db.example/billing?sslmode={mode}");
        assert!(problem(&text).contains("DATABASE_ALLOW_PLAINTEXT=true"));
        let address = Address::parse("DATABASE_URL", &text, &allowed).unwrap();
        assert!(address.is_plaintext_to_another_machine());
    }
    let address = parse("postgresql://u:p@db.example/billing").unwrap();
    assert!(matches!(address.ssl_mode(), PgSslMode::Require));
    assert!(!address.is_plaintext_to_another_machine());
    for local in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
        let address = parse(&format!("postgresql://u:p@{local}/billing?sslmode=disable")).unwrap();
        assert!(!address.is_plaintext_to_another_machine());
    }
    let unclear = Policy {
        allow_plaintext: Some("perhaps".to_owned()),
        schema: None,
    };
    Address::parse("DATABASE_URL", "postgresql://u@localhost/b", &unclear).unwrap_err();
}

#[test]
fn a_good_address_reaches_the_driver_as_it_was_meant() {
    let text = "postgres://org%2Fsvc:Tr0%23ub%404@db.example:6543/bill%20ing?sslmode=verify-full&application_name=a%20b";
    let options = parse(text).unwrap().connect_options();
    assert_eq!(options.get_username(), "org/svc");
    assert_eq!(options.get_host(), "db.example");
    assert_eq!(options.get_port(), 6543);
    assert_eq!(options.get_database(), Some("bill ing"));
    assert_eq!(options.get_application_name(), Some("a b"));
    assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
    assert!(options.to_url_lossy().as_str().contains("Tr0%23ub%404"));
    for socket in [
        "postgresql://u@%2Frun%2Fpg/billing",
        "postgresql:///billing?host=/run/pg&port=5433",
    ] {
        let options = parse(socket).unwrap().connect_options();
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/pg"));
    }
}

#[test]
fn the_schema_is_one_plain_name() {
    let with = |schema: &str| {
        let policy = Policy {
            allow_plaintext: None,
            schema: Some(schema.to_owned()),
        };
        Address::parse("DATABASE_URL", "postgresql://u@localhost/b", &policy)
    };
    assert_eq!(
        with("").unwrap().search_path(),
        "SET search_path = \"public\""
    );
    assert_eq!(with("bill_2").unwrap().schema(), "bill_2");
    for schema in ["Bill", "a,b", "a\"b", "2a", "pg_catalog", "$user"] {
        with(schema).unwrap_err();
    }
}
