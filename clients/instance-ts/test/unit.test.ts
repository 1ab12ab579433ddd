import assert from "node:assert/strict";
import { verify, createPublicKey } from "node:crypto";
import { mkdtemp, readFile, stat } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { BillingInstance, hostOf, type InstanceOptions } from "../src/instance";
import { cronHandler } from "../src/cron";
import { DEFAULT_RETRY, parseRetryAfter, waitBefore, type UsageReport } from "../src/report";
import { SigningKey } from "../src/signing";
import { FileStore, type CountStore, type DayCount } from "../src/store";

interface Request {
  headers: IncomingHttpHeaders;
  body: string;
  report: UsageReport;
}

type Reply = { status: number; headers?: Record<string, string>; json?: unknown } | "hang up";

let server: Server;
let requests: Request[];
/** What the service answers to the next requests; then it records them. */
let replies: Reply[];
let missingDays: string[] | undefined;

beforeEach(async () => {
  requests = [];
  replies = [];
  missingDays = undefined;
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      requests.push({ headers: request.headers, body, report: JSON.parse(body) as UsageReport });
      const reply = replies.shift() ?? { status: 200, json: recorded() };
      if (reply === "hang up") {
        request.socket.destroy();
        return;
      }
      response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers });
      response.end(JSON.stringify(reply.json ?? {}));
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
});

afterEach(() => server.close());

function recorded(): unknown {
  return {
    success: true,
    message: "Usage report received",
    report_id: `r${requests.length}`,
    organization_status: "pending",
    server_time: "2026-03-10T03:00:00Z",
    next_report_expected_at: "2026-03-11T03:00:00Z",
    key_pinned: false,
    ...(missingDays === undefined ? {} : { missing_days: missingDays }),
  };
}

class MemoryStore implements CountStore {
  counts: DayCount[] = [];
  async load(): Promise<DayCount[]> {
    return structuredClone(this.counts);
  }
  async save(counts: DayCount[]): Promise<void> {
    this.counts = structuredClone(counts);
  }
}

interface World {
  instance: BillingInstance;
  store: MemoryStore;
  clock: { now: string };
  users: { count: number };
  waits: number[];
}

function world(more: Partial<InstanceOptions> = {}): World {
  const store = new MemoryStore();
  const clock = { now: "2026-03-10T03:00:00.123Z" };
  const users = { count: 45 };
  const waits: number[] = [];
  const { port } = server.address() as AddressInfo;
  const instance = new BillingInstance({
    billingUrl: `http://127.0.0.1:${port}`,
    organizationId: "0193a6f0-5f0e-7d2c-8c1b-1f2e3d4c5b6a",
    organizationName: "Acme Corp",
    instanceUrl: "https://acme.vaultai.eu/app",
    countUsers: async () => users.count,
    store,
    now: () => new Date(clock.now),
    sleep: async (ms) => {
      waits.push(ms);
    },
    ...more,
  });
  return { instance, store, clock, users, waits };
}

test("it counts, stores and reports", async () => {
  const { instance, store } = world();
  const result = await instance.run();
  assert.equal(result.success, true);
  assert.deepEqual(requests[0]?.report, {
    organization_id: "0193a6f0-5f0e-7d2c-8c1b-1f2e3d4c5b6a",
    organization_name: "Acme Corp",
    instance_url: "acme.vaultai.eu",
    user_count: 45,
    timestamp: "2026-03-10T03:00:00.123Z",
  });
  const authorization = requests[0]?.headers.authorization;
  assert.match(authorization ?? "", /^Bearer vaultai_universal_billing_api_/);
  assert.equal(requests[0]?.headers["x-vaultai-key"], undefined);
  assert.deepEqual(store.counts, [
    { day: "2026-03-10", user_count: 45, timestamp: "2026-03-10T03:00:00.123Z", settled: true },
  ]);
});

test("a retry repeats the report with its timestamp, and waits as it is told", async () => {
  const { instance, clock, waits } = world();
  replies = [
    "hang up",
    { status: 503, headers: { "retry-after": "7" } },
    { status: 429, headers: { "retry-after": "1" } },
  ];
  clock.now = "2026-03-10T03:00:00.123Z";
  const result = await instance.run();
  assert.equal(result.success, true);
  assert.equal(requests.length, 4);
  assert.equal(new Set(requests.map((request) => request.body)).size, 1);
  const [first = 0, second = 0, third = 0] = waits;
  assert.ok(first >= 250 && first <= 500, `${first}`);
  assert.ok(second >= 7_000 && third >= 1_000, `${waits}`);
});

test("a second run on a day sends the same report again", async () => {
  const { instance, clock, users } = world();
  await instance.run();
  users.count = 99;
  clock.now = "2026-03-10T15:00:00.000Z";
  await instance.run();
  assert.equal(requests[1]?.body, requests[0]?.body);
});

test("a day that could not be reported is reported later, with its own count and time", async () => {
  const { instance, clock, users } = world({ retry: { maxAttempts: 1 } });
  replies = [{ status: 503 }];
  assert.equal((await instance.run()).success, false);
  clock.now = "2026-03-11T03:00:00.456Z";
  users.count = 50;
  const result = await instance.run();
  assert.deepEqual(
    result.reports.map((report) => [report.day, report.user_count, report.outcome.kind]),
    [
      ["2026-03-10", 45, "recorded"],
      ["2026-03-11", 50, "recorded"],
    ],
  );
  assert.equal(requests[1]?.report.timestamp, "2026-03-10T03:00:00.123Z");
});

test("gaps are filled only with what was counted on that day", async () => {
  const { instance, clock, users } = world();
  await instance.run();
  clock.now = "2026-03-13T03:00:00.000Z";
  users.count = 60;
  missingDays = ["2026-03-10", "2026-03-11", "2026-03-12"];
  const result = await instance.run();
  assert.deepEqual(result.unfillable, ["2026-03-11", "2026-03-12"]);
  assert.deepEqual(
    requests.map((request) => [request.report.user_count, request.report.timestamp]),
    [
      [45, "2026-03-10T03:00:00.123Z"],
      [60, "2026-03-13T03:00:00.000Z"],
      [45, "2026-03-10T03:00:00.123Z"],
    ],
  );
});

test("a conflict is final, and what may be mended is tried again another day", async () => {
  const { instance, clock, store } = world();
  replies = [{ status: 409, json: { error: { code: "report_conflict", message: "Other." } } }];
  const conflict = await instance.run();
  assert.equal(conflict.success, false);
  assert.deepEqual(conflict.reports[0]?.outcome, {
    kind: "refused",
    status: 409,
    code: "report_conflict",
    message: "Other.",
  });
  assert.equal(requests.length, 1, "it is not sent again");
  clock.now = "2026-03-11T03:00:00.000Z";
  replies = [{ status: 401, json: { error: { code: "unauthenticated", message: "No." } } }];
  assert.equal((await instance.run()).success, false);
  clock.now = "2026-03-12T03:00:00.000Z";
  assert.equal((await instance.run()).success, true);
  const days = requests.map((request) => request.report.timestamp.slice(0, 10));
  assert.deepEqual(days, ["2026-03-10", "2026-03-11", "2026-03-11", "2026-03-12"]);
  assert.ok(store.counts.every((count) => count.settled));
});

test("counts are kept for 35 days", async () => {
  const { instance, clock, store } = world();
  await instance.run();
  clock.now = "2026-04-13T03:00:00.000Z";
  await instance.run();
  assert.deepEqual(store.counts.map((count) => count.day), ["2026-03-10", "2026-04-13"]);
  clock.now = "2026-04-14T03:00:00.000Z";
  await instance.run();
  assert.deepEqual(store.counts.map((count) => count.day), ["2026-04-13", "2026-04-14"]);
});

test("what is not a number of users is not reported", async () => {
  for (const count of [Number.NaN, -1, 4.5]) {
    const { instance, store } = world({ countUsers: async () => count });
    await assert.rejects(instance.run(), /not a number of users/);
    assert.deepEqual(store.counts, []);
  }
  assert.equal(requests.length, 0);
});

test("two runs at once are one", async () => {
  const { instance } = world();
  await Promise.all([instance.run(), instance.run()]);
  assert.equal(requests.length, 1);
});

test("a key signs the time and the body as it is sent", async () => {
  const key = SigningKey.create();
  const { instance } = world({ key });
  await instance.run();
  const [request] = requests;
  const [algorithm, publicKey] = String(request?.headers["x-vaultai-key"]).split(" ");
  assert.equal(algorithm, "ed25519");
  const signature = /^t=(\d+),v1=([\w-]+)$/.exec(String(request?.headers["x-vaultai-signature"]));
  assert.equal(signature?.[1], "1773111600");
  const message = `vaultai-usage-report-v1\n${signature?.[1]}\n${request?.body}`;
  assert.ok(isSigned(publicKey, message, signature?.[2]));
});

test("the old key signs the new one, for one organization", async () => {
  const [key, replaces] = [SigningKey.create(), SigningKey.create()];
  const { instance } = world({ key, replaces });
  await instance.run();
  const header = String(requests[0]?.headers["x-vaultai-replaces-key"]).split(" ");
  assert.equal(header[1], replaces.publicKey());
  const message = `vaultai-key-replacement-v1\n0193a6f0-5f0e-7d2c-8c1b-1f2e3d4c5b6a\n${key.publicKey()}`;
  assert.ok(isSigned(replaces.publicKey(), message, header[2]));
});

function isSigned(publicKey: string | undefined, message: string, signature?: string): boolean {
  const jwk = { kty: "OKP", crv: "Ed25519", x: publicKey ?? "" };
  const key = createPublicKey({ key: jwk, format: "jwk" });
  return verify(null, Buffer.from(message), key, Buffer.from(signature ?? "", "base64url"));
}

test("a key reads back, and its fingerprint is that of the documentation", () => {
  const key = SigningKey.create();
  const again = SigningKey.fromPem(key.toPem().replaceAll("\n", "\\n"));
  assert.equal(again.publicKey(), key.publicKey());
  assert.match(key.fingerprint(), /^([0-9a-f]{4}-){7}[0-9a-f]{4}$/);
  // The key of RFC 8032, section 7.1, test 1, and `sha256sum` of its public half.
  const known = SigningKey.fromPem(
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
  );
  assert.equal(known.publicKey(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
  assert.equal(known.fingerprint(), "21fe-31df-a154-a261-626b-f854-046f-d227");
});

test("the cron asks for its secret", async () => {
  const { instance } = world();
  const call = (secret: string | undefined, authorization?: string) => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const request = new Request("https://acme.vaultai.eu/api/cron/billing", { headers });
    return cronHandler(() => instance, secret)(request);
  };
  assert.equal((await call("s3cret")).status, 401);
  assert.equal((await call("s3cret", "Bearer s3cre")).status, 401);
  assert.equal((await call(undefined, "Bearer undefined")).status, 500);
  assert.equal((await call("", "Bearer ")).status, 500);
  assert.equal(requests.length, 0);
  const answer = await call("s3cret", "Bearer s3cret");
  assert.equal(answer.status, 200);
  assert.equal(((await answer.json()) as { success: boolean }).success, true);
  replies = [{ status: 400, json: {} }];
  assert.equal((await call("s3cret", "Bearer s3cret")).status, 502);
});

test("the file store keeps what it was given, for its owner's eyes", async () => {
  const path = join(await mkdtemp(join(tmpdir(), "counts-")), "nested", "counts.json");
  const store = new FileStore(path);
  assert.deepEqual(await store.load(), []);
  const count = { day: "2026-03-10", user_count: 1, timestamp: "2026-03-10T03:00:00Z", settled: false };
  await store.save([count]);
  assert.deepEqual(await store.load(), [count]);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.ok((await readFile(path, "utf8")).includes("2026-03-10"));
});

test("waits grow, are spread, and end", () => {
  for (const [attempts, low, high] of [[1, 250, 500], [2, 500, 1_000], [3, 1_000, 2_000]] as const) {
    for (const roll of [0, 0.5, 0.999]) {
      const wait = waitBefore(DEFAULT_RETRY, attempts, undefined, roll) ?? 0;
      assert.ok(wait >= low && wait <= high, `${attempts}: ${wait}`);
    }
  }
  assert.equal(waitBefore(DEFAULT_RETRY, DEFAULT_RETRY.maxAttempts, undefined, 0), undefined);
  assert.equal(waitBefore(DEFAULT_RETRY, 1, 121_000, 0), undefined);
  const now = new Date("2024-11-03T03:00:00Z");
  assert.equal(parseRetryAfter("12", now), 12_000);
  assert.equal(parseRetryAfter("Sun, 03 Nov 2024 03:00:30 GMT", now), 30_000);
  assert.equal(parseRetryAfter("soon", now), undefined);
});

test("the instance URL is a host", () => {
  assert.equal(hostOf("https://acme.vaultai.eu/app?x=1"), "acme.vaultai.eu");
  assert.equal(hostOf("http://localhost:3000"), "localhost:3000");
  assert.equal(hostOf("acme.vaultai.eu"), "acme.vaultai.eu");
});
