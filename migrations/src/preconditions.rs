//! What a run needs of the database, looked at before anything is changed.

use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement,
};

/// Refuses to begin a second installation by mistake, and makes the schema.
pub(crate) async fn check_schema(db: &DatabaseConnection, schema: &str) -> Result<(), DbErr> {
    let installed = "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname IN ('seaql_migrations', 'usage_reports', 'organization_reporting')
        GROUP BY 1 HAVING count(*) = 3 ORDER BY 1";
    let rows = rows(db, installed).await?;
    let installed: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect::<Result<_, _>>()?;
    match installed.first() {
        Some(other) if !installed.iter().any(|name| name == schema) => {
            Err(DbErr::Migration(format!(
                "The tables of this database are in the schema {other}, and DATABASE_SCHEMA is {schema}. Set DATABASE_SCHEMA={other} for the migrations and for every service."
            )))
        }
        Some(_) => Ok(()),
        None if schema == billing_database::SCHEMA_DEFAULT => Ok(()),
        None => {
            let create = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
            db.execute_unprepared(&create).await.map(drop)
        }
    }
}

/// Roles belong to the whole cluster. Where another database's owner made them, a login of PostgreSQL 16
/// and later cannot make itself a member, however many roles it may create.
pub(crate) async fn check_roles(db: &DatabaseConnection) -> Result<(), DbErr> {
    let roles = "SELECT me.rolname, me.rolcreaterole OR me.rolsuper AS may_create,
            coalesce(string_agg(r.rolname, ', ' ORDER BY r.rolname) FILTER (WHERE
                NOT pg_has_role(r.oid, CASE WHEN v.number >= 160000 THEN 'SET' ELSE 'MEMBER' END)
                AND NOT pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
                AND (v.number >= 160000 OR NOT me.rolcreaterole)), '') AS closed
        FROM (SELECT current_setting('server_version_num')::integer) AS v (number)
        CROSS JOIN pg_roles me
        LEFT JOIN pg_roles r ON r.rolname IN ('billing_ingest', 'billing_org', 'billing_stripe')
        WHERE me.rolname = current_user GROUP BY 1, 2";
    let rows = rows(db, roles).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let login: String = row.try_get_by_index(0)?;
    let login = login.replace('"', "\"\"");
    let may_create: bool = row.try_get_by_index(1)?;
    let closed: String = row.try_get_by_index(2)?;
    let mut fixes = Vec::new();
    if !may_create {
        fixes.push(format!("ALTER ROLE \"{login}\" CREATEROLE;"));
    }
    if !closed.is_empty() {
        fixes.push(format!("GRANT {closed} TO \"{login}\";"));
    }
    if fixes.is_empty() {
        return Ok(());
    }
    Err(DbErr::Migration(format!(
        "The login {login} may not take the roles of the services, which belong to the whole cluster. Nothing was changed. A superuser, or the user who created the roles, has to run: {}",
        fixes.join(" ")
    )))
}

async fn rows(db: &DatabaseConnection, query: &str) -> Result<Vec<QueryResult>, DbErr> {
    let query = Statement::from_string(DbBackend::Postgres, query);
    db.query_all_raw(query).await
}
