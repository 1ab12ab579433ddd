/**
 * A route of Next.js: call it once a day, for example from Vercel Cron, which sends
 * `Authorization: Bearer <CRON_SECRET>` by itself. The import is `vaultai-billing-instance`, or the
 * folder to which `src` was copied.
 */

import {
  BillingInstance,
  cronHandler,
  FileStore,
  SigningKey,
} from "../../../../../src/index";

export const runtime = "nodejs";
export const dynamic = "force-dynamic";

let instance: BillingInstance | undefined;

function billing(): BillingInstance {
  const { BILLING_SIGNING_KEY, BILLING_PREVIOUS_SIGNING_KEY } = process.env;
  instance ??= new BillingInstance({
    billingUrl: required("BILLING_URL"),
    organizationId: required("ORGANIZATION_ID"),
    organizationName: required("ORGANIZATION_NAME"),
    instanceUrl: required("NEXT_PUBLIC_APP_URL"),
    countUsers,
    // A table of your database does as well: see CountStore. It must outlive the process.
    store: new FileStore(process.env["BILLING_COUNTS_FILE"] ?? "data/billing-counts.json"),
    key: BILLING_SIGNING_KEY ? SigningKey.fromPem(BILLING_SIGNING_KEY) : undefined,
    replaces: BILLING_PREVIOUS_SIGNING_KEY
      ? SigningKey.fromPem(BILLING_PREVIOUS_SIGNING_KEY)
      : undefined,
  });
  return instance;
}

/** Replace this by your own count, for example `prisma.user.count({ where: { active: true } })`. */
async function countUsers(): Promise<number> {
  return Number(required("USER_COUNT"));
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set.`);
  }
  return value;
}

export const GET = (request: Request): Promise<Response> =>
  cronHandler(billing, process.env["CRON_SECRET"])(request);
