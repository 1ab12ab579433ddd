-- Nothing to take back: 0004 and 0005 refuse to go back on a database that holds adopted rows, and
-- drop the two tables otherwise.
DO $$
BEGIN
    IF to_regclass(quote_ident(current_schema()) || '.organizations') IS NOT NULL THEN
        RAISE EXCEPTION 'organizations is still there: take back 0004_organizations first';
    END IF;
END
$$;
