//! What a developer's machine lacks: a private PostgreSQL cluster and a certificate authority.
