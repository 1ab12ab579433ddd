/**
 * The client against the running product: `BASE_URL`, `ADMIN_EMAIL` and `ADMIN_PASSWORD` say where it is.
 * The shell lines of docs/INSTANCES.md (`INSTANCES_MD` is its path) are run too.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";

import { GET } from "../example/app/api/cron/billing/route";
import { BillingInstance, FileStore, SigningKey, type InstanceOptions } from "../src/index";

const baseUrl = required("BASE_URL");
const DAY_MS = 86_400_000;

let adminToken: string;

before(async () => {
  const credentials = { email: required("ADMIN_EMAIL"), password: required("ADMIN_PASSWORD") };
  const response = await fetch(`${baseUrl}/api/auth/sign-in/email`, {
    method: "POST",
    // Node's fetch says `Sec-Fetch-Mode`, as browsers do; the sign-in then asks where it comes from.
    headers: { "content-type": "application/json", origin: baseUrl },
    body: JSON.stringify(credentials),
  });
  assert.equal(response.status, 200);
  adminToken = ((await response.json()) as { token: string }).token;
});

function required(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

/** What an admin asks of an organization's keys. */
async function keys(organizationId: string, verb?: string, body: object = {}): Promise<any> {
  const path = `/api/admin/organizations/${organizationId}/signing-keys`;
  const response = await fetch(`${baseUrl}${path}${verb === undefined ? "" : `/${verb}`}`, {
    method: verb === undefined ? "GET" : "POST",
    headers: {
      authorization: `Bearer ${adminToken}`,
      "content-type": "application/json",
      origin: baseUrl,
    },
    ...(verb === undefined ? {} : { body: JSON.stringify(body) }),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

function dayOf(daysAgo: number): string {
  return new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);
}

function storeFile(): string {
  return join(mkdtempSync(join(tmpdir(), "instance-")), "counts.json");
}

function instance(options: Partial<InstanceOptions> & { organizationId: string }): BillingInstance {
  return new BillingInstance({
    billingUrl: baseUrl,
    organizationName: "Client Test",
    instanceUrl: "https://client-test.vaultai.eu",
    countUsers: async () => 45,
    store: new FileStore(storeFile()),
    ...options,
  });
}

test("an instance without a key reports, once however often it runs", async () => {
  const own = instance({ organizationId: randomUUID() });
  const first = (await own.run()).reports[0]?.outcome;
  assert.ok(first?.kind === "recorded", JSON.stringify(first));
  assert.equal(first.answer.organization_status, "pending");
  assert.equal(first.answer.key_pinned, false);
  assert.ok(Math.abs(Date.parse(first.answer.server_time) - Date.now()) < 60_000);
  const again = (await own.run()).reports[0]?.outcome;
  assert.ok(again?.kind === "recorded");
  assert.equal(again.answer.report_id, first.answer.report_id);
});

test("a pinned key is told which days are missing, and fills them with what it stored", async () => {
  const organizationId = randomUUID();
  const key = SigningKey.create();
  const store = new FileStore(storeFile());
  const stored = (daysAgo: number, userCount: number, settled: boolean) => ({
    day: dayOf(daysAgo),
    user_count: userCount,
    timestamp: `${dayOf(daysAgo)}T03:00:00.000Z`,
    settled,
  });
  // Four days ago could not be reported; three days ago was, as the instance believes.
  await store.save([stored(4, 40, false), stored(3, 41, true)]);
  const own = instance({ organizationId, key, store });
  const before = await own.run();
  assert.equal(before.success, true);
  assert.deepEqual(before.reports.map((report) => report.user_count), [40, 45]);
  assert.deepEqual(before.unfillable, [], "nobody is told before the key is pinned");

  const seen = await keys(organizationId);
  assert.deepEqual(seen.keys.map((it: any) => it.fingerprint), [key.fingerprint()]);
  await keys(organizationId, "pin", { fingerprint: key.fingerprint().toUpperCase() });
  const after = await own.run();
  assert.deepEqual(after.reports.map((report) => [report.day, report.user_count]), [
    [dayOf(0), 45],
    [dayOf(3), 41],
  ]);
  assert.ok(after.reports.every((report) => report.outcome.kind === "recorded"));
  assert.deepEqual(after.unfillable, [dayOf(2), dayOf(1)]);
});

test("a new key takes the place of the pinned one", async () => {
  const organizationId = randomUUID();
  const [old, key] = [SigningKey.create(), SigningKey.create()];
  await instance({ organizationId, key: old }).run();
  await keys(organizationId, "pin", { fingerprint: old.fingerprint() });
  const result = await instance({ organizationId, key, replaces: old }).run();
  assert.equal(result.success, true);
  const now = await keys(organizationId);
  assert.equal(now.keys[0].fingerprint, key.fingerprint());
  assert.equal(now.keys[0].pinned, true);
  await keys(organizationId, "reset");
  assert.equal((await keys(organizationId)).pinned_at, null);
});

test("the example's route reports for who knows the secret", async () => {
  const organizationId = randomUUID();
  const key = SigningKey.create();
  Object.assign(process.env, {
    BILLING_URL: baseUrl,
    ORGANIZATION_ID: organizationId,
    ORGANIZATION_NAME: "Route Test",
    NEXT_PUBLIC_APP_URL: "https://route-test.vaultai.eu",
    BILLING_COUNTS_FILE: storeFile(),
    BILLING_SIGNING_KEY: key.toPem(),
    CRON_SECRET: "s3cret",
    USER_COUNT: "7",
  });
  const call = (secret: string) =>
    GET(
      new Request("https://route-test.vaultai.eu/api/cron/billing", {
        headers: { authorization: `Bearer ${secret}` },
      }),
    );
  assert.equal((await call("guess")).status, 401);
  const answer = await call("s3cret");
  assert.equal(answer.status, 200, await answer.clone().text());
  const seen = await keys(organizationId);
  assert.equal(seen.keys[0].fingerprint, key.fingerprint());
});

test("the shell lines of the contract do what it says", () => {
  const text = readFileSync(required("INSTANCES_MD"), "utf8");
  const blocks = [...text.matchAll(/^```sh\n([^]*?)^```$/gm)].map((match) => match[1] ?? "");
  assert.ok(blocks.length >= 3, "the contract has its examples");
  const script = ["set -euo pipefail", ...blocks].join("\n");
  const output = execFileSync("bash", ["-c", script], {
    cwd: mkdtempSync(join(tmpdir(), "contract-")),
    encoding: "utf8",
    env: {
      ...process.env,
      BILLING_URL: baseUrl,
      ORGANIZATION_ID: randomUUID(),
      CLIENT: join(__dirname, "..", ".."),
    },
  });
  const statuses = [...output.matchAll(/^HTTP (\d+)$/gm)].map((match) => Number(match[1]));
  assert.deepEqual(statuses, [200, 200, 409, 200], output);
});
