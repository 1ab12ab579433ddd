-- A fleet for `cargo xtask bench-pages`, in a database that is migrated and has no organization yet:
-- :organizations of them, nine in ten billed, three days of reports each, and of everything else that
-- a page lists more than a page. One in ten thousand is past due, so that a filter has something rare.
-- Only the dashboard's pages are measured on it: Stripe knows none of these customers. It takes a role that
-- may set session_replication_role.
SET synchronous_commit = off;
SET maintenance_work_mem = '256MB';
-- The rows refer to each other as they should; a million triggers need not say so.
SET session_replication_role = replica;

INSERT INTO organizations (id, name, instance_url, stripe_customer_id, stripe_subscription_id, deployment_type, plan_type,
    subscription_status, trial_end, admin_email, created_at, updated_at, billing_start_at,
    current_period_start_at, current_period_end_at)
SELECT md5('organization' || n)::uuid,
    (ARRAY['Acme', 'Beta', 'Cabinet', 'Durand', 'Étoile', 'Fabrique', 'Groupe', 'Horizon', 'Institut', 'Jardin', 'Kepler',
        'Lumière', 'Maison', 'Nova', 'Orion', 'Pivot'])[1 + n / 10 % 16] || ' '
        || (ARRAY['SARL', 'SAS', 'Corp', 'Labs', 'Conseil', 'Santé', 'Média'])[1 + n % 7] || ' ' || n,
    'https://org-' || n || '.vaultai.example',
    CASE WHEN linked THEN 'cus_bench' || n END, CASE WHEN linked THEN 'sub_bench' || n END,
    CASE WHEN linked THEN CASE WHEN n % 3 = 0 THEN 'on-premise' ELSE 'managed-cloud' END END,
    CASE WHEN linked THEN CASE WHEN n % 4 = 0 THEN 'self-hosted' ELSE 'managed-cloud' END END,
    CASE WHEN NOT linked THEN 'pending' WHEN n % 10000 = 1 THEN 'past_due' WHEN n % 9 = 0 THEN 'trial'
        WHEN n % 50 = 3 THEN 'canceled' ELSE 'active' END,
    CASE WHEN linked AND n % 9 = 0 THEN now() + interval '20 days' END,
    CASE WHEN linked THEN 'billing' || n || '@client.example' END,
    now() - n * interval '40 seconds', now(),
    CASE WHEN linked THEN now() - n * interval '40 seconds' END,
    CASE WHEN linked THEN date_trunc('month', now()) END,
    CASE WHEN linked THEN date_trunc('month', now()) + interval '1 month' END
FROM generate_series(1, :organizations) n, LATERAL (SELECT n % 10 > 0) AS it (linked);
-- What org-svc would fill by itself, within minutes.
UPDATE organizations SET search_form = translate(search_text, 'Éèé', 'eee');

-- One in a hundred is silent, another one late; the others reported within the day.
INSERT INTO organization_reporting (organization_id, user_count, last_reported_at, subscription_status, deployment_type,
    stripe_customer_id, billing_start_at, billable, baseline_user_count, baseline_reported_at, baseline_instance_url, billing_end_at)
SELECT id, n % 400, reported_at, subscription_status, deployment_type, stripe_customer_id, billing_start_at,
    stripe_customer_id IS NOT NULL AND subscription_status <> 'canceled', n % 400, reported_at, instance_url,
    CASE WHEN subscription_status = 'canceled' THEN now() END
FROM organizations, LATERAL (SELECT split_part(name, ' ', 3)::integer) AS it (n),
    LATERAL (SELECT now() - (n % 20) * interval '1 hour'
        - CASE WHEN n % 100 = 1 THEN interval '9 days' WHEN n % 100 = 2 THEN interval '30 hours' ELSE interval '0' END) AS last (reported_at);

INSERT INTO usage_reports (organization_id, user_count, deployment_type, reported_at, stripe_meter_event_id,
    organization_name, instance_url, received_at, delivery_state, hold_reason, error_code, error_message, settled_at)
SELECT r.organization_id, r.user_count, coalesce(r.deployment_type, 'unassigned'), at, CASE state WHEN 'sent' THEN 'bench' || n || '-' || ago END,
    o.name, o.instance_url, at + interval '1 second', state,
    CASE state WHEN 'held' THEN CASE WHEN n % 2 = 0 THEN 'count_jump' ELSE 'other_url' END END,
    CASE state WHEN 'held' THEN 'held' WHEN 'refused' THEN 'resource_missing' END,
    CASE state WHEN 'held' THEN '10 to 400 users' WHEN 'refused' THEN 'No such customer' END,
    CASE WHEN state IN ('sent', 'refused') THEN at + interval '2 seconds' END
FROM organization_reporting r JOIN organizations o ON o.id = r.organization_id,
    LATERAL (SELECT split_part(o.name, ' ', 3)::integer) AS it (n), generate_series(0, 2) AS ago,
    LATERAL (SELECT r.last_reported_at - ago * interval '1 day') AS day (at),
    LATERAL (SELECT CASE WHEN r.stripe_customer_id IS NULL THEN 'waiting' WHEN ago = 0 AND n % 500 = 7 THEN 'held'
        WHEN ago = 1 AND n % 500 = 11 THEN 'refused' ELSE 'sent' END) AS its (state);

INSERT INTO audit_events (id, occurred_at, organization_id, admin_user_id, action, request_id, before, after, client_address)
SELECT gen_random_uuid(), now() - n * interval '3 minutes', md5('organization' || 1 + n % :organizations)::uuid, 'bench-admin',
    (ARRAY['organization.link_requested', 'organization.linked', 'organization.update_requested', 'organization.updated'])[1 + n % 4], 'bench-' || n,
    '{"plan_type": "self-hosted"}', '{"plan_type": "managed-cloud"}', '192.0.2.1'
FROM generate_series(1, :organizations) n;
INSERT INTO "user" (id, name, email, "emailVerified", "updatedAt") VALUES ('bench-admin', 'Bench', 'bench@billing.example', true, now());

INSERT INTO billing_findings (organization_id, kind, day, period_start_at, period_end_at, expected, found, first_seen_at, last_seen_at, resolved_at)
SELECT md5('organization' || n)::uuid, 'meter_day', day, day, day + 1, 10, 12, now(), now(), CASE WHEN n % 10 > 0 THEN now() END
FROM generate_series(1, :organizations / 50) n, LATERAL (SELECT current_date - 1 - n % 90) AS it (day);

INSERT INTO stripe_events (event_id, event_type, is_thin, payload, created_at, received_at, state, next_attempt_at, error_code, error_message, ended_at)
SELECT 'evt_bench' || n, 'customer.subscription.updated', false, '{}', at, at,
    CASE WHEN n % 1000 = 1 THEN 'dead' ELSE 'processed' END, at, CASE WHEN n % 1000 = 1 THEN 'stripe' END,
    CASE WHEN n % 1000 = 1 THEN 'No such subscription' END, at
FROM generate_series(1, :organizations) n, LATERAL (SELECT now() - n * interval '1 minute') AS it (at);
INSERT INTO stripe_meter_errors (id, event_id, error_code, error_message, error_count, sample_identifiers, found_at)
SELECT gen_random_uuid(), 'evt_bench' || n, 'meter_event_customer_not_found', 'No such customer', 1, ARRAY['bench' || n], now() - n * interval '1 hour'
FROM generate_series(1, :organizations / 500) n;
INSERT INTO notices (id, kind, occurred_at, data, state, attempt_count, next_attempt_at, created_at, settled_at, error_message)
SELECT gen_random_uuid(), 'organizations.pending', at, '{}', CASE WHEN n % 20 = 0 THEN 'given_up' ELSE 'sent' END, 1, at, at, at,
    CASE WHEN n % 20 = 0 THEN 'HTTP 500' END
FROM generate_series(1, :organizations / 50) n, LATERAL (SELECT now() - n * interval '5 minutes') AS it (at);

-- Nobody asks the simulator for customers that it does not have.
UPDATE reconciliation_pass SET last_full_pass_at = now(), next_step_at = now() + interval '7 days';
