/** Sends one report until it is answered. */

import type { SigningKey } from "./signing";

/** The token that all instances share. */
export const BILLING_API_TOKEN =
  "vaultai_universal_billing_api_2024_production_key_XyZ9mP2nQ7wK";

/** The body of `POST /api/usage-report`. */
export interface UsageReport {
  organization_id: string;
  organization_name: string;
  instance_url: string;
  user_count: number;
  /** The moment of the count. A retry repeats it: it is what makes two requests one report. */
  timestamp: string;
}

/** The answer to a report that is recorded. */
export interface ReportAnswer {
  success: true;
  report_id: string;
  organization_status: string;
  server_time: string;
  next_report_expected_at: string | null;
  /** Whether the billing service holds reports that a certain key did not sign. */
  key_pinned: boolean;
  /** UTC days without a report; only for a sender that the service knows well enough. */
  missing_days?: string[];
}

/** How a report ended. */
export type Outcome =
  | { kind: "recorded"; answer: ReportAnswer; attempts: number }
  /** The service will not have it; the same again would fail again. */
  | { kind: "refused"; status: number; code: string; message: string }
  /** It is not known whether it is recorded: send the same again later. */
  | { kind: "unknown"; attempts: number; message: string };

export interface RetryPolicy {
  /** Attempts in all, the first included. */
  maxAttempts: number;
  /** The upper bound of the first wait; it doubles with each attempt. */
  baseMs: number;
  /** The upper bound of every wait of our own choice. */
  capMs: number;
  /** A longer Retry-After ends the attempts; the next run sends the report. */
  maxRetryAfterMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  maxAttempts: 6,
  baseMs: 500,
  capMs: 60_000,
  maxRetryAfterMs: 120_000,
};

const REQUEST_TIMEOUT_MS = 30_000;

export interface Sender {
  /** The billing service, for example `https://billing.vaultai.eu`. */
  billingUrl: string;
  token: string;
  retry: RetryPolicy;
  /** Signs reports; none are signed without it. */
  key?: SigningKey;
  /** The key before `key`, while the billing service may not know that `key` takes its place. */
  replaces?: SigningKey;
  now(): Date;
  sleep(ms: number): Promise<void>;
}

/** Sends a report, and the same again where it is not known to be recorded. */
export async function sendReport(sender: Sender, report: UsageReport): Promise<Outcome> {
  // Written once: each attempt sends the same bytes.
  const body = JSON.stringify(report);
  for (let attempts = 1; ; attempts += 1) {
    const attempt = await tryOnce(sender, report.organization_id, body);
    if (attempt.over !== undefined) {
      return attempt.over.kind === "recorded" ? { ...attempt.over, attempts } : attempt.over;
    }
    const wait = waitBefore(sender.retry, attempts, attempt.retryAfterMs, Math.random());
    if (wait === undefined) {
      return { kind: "unknown", attempts, message: attempt.problem };
    }
    await sender.sleep(wait);
  }
}

/** How long to wait after so many attempts; undefined when that was the last. */
export function waitBefore(
  policy: RetryPolicy,
  attempts: number,
  retryAfterMs: number | undefined,
  roll: number,
): number | undefined {
  if (attempts >= policy.maxAttempts) {
    return undefined;
  }
  const half = Math.min(policy.baseMs * 2 ** (attempts - 1), policy.capMs) / 2;
  const jitter = half * roll;
  if (retryAfterMs === undefined) {
    return half + jitter;
  }
  return retryAfterMs > policy.maxRetryAfterMs ? undefined : retryAfterMs + jitter;
}

/** Reads a Retry-After: seconds, or a date. */
export function parseRetryAfter(value: string | null, now: Date): number | undefined {
  if (value === null) {
    return undefined;
  }
  if (/^\s*\d+\s*$/.test(value)) {
    return Number(value) * 1000;
  }
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime());
}

interface Attempt {
  over?: Outcome;
  retryAfterMs?: number;
  problem: string;
}

async function tryOnce(sender: Sender, organizationId: string, body: string): Promise<Attempt> {
  const headers: Record<string, string> = {
    authorization: `Bearer ${sender.token}`,
    "content-type": "application/json",
    // The signature has the time of the attempt, the report that of the count.
    ...sender.key?.headers(body, sender.now()),
  };
  if (sender.key !== undefined && sender.replaces !== undefined) {
    Object.assign(headers, sender.replaces.replacedBy(sender.key, organizationId));
  }
  try {
    const url = new URL("/api/usage-report", sender.billingUrl);
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const response = await fetch(url, { method: "POST", headers, body, signal });
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), sender.now());
    return conclude(response.status, retryAfterMs, await response.text());
  } catch (error) {
    return { problem: describe(error) };
  }
}

function conclude(status: number, retryAfterMs: number | undefined, text: string): Attempt {
  const json = parseObject(text);
  if (status >= 200 && status < 300 && typeof json?.["report_id"] === "string") {
    const answer = json as unknown as ReportAnswer;
    return { over: { kind: "recorded", answer, attempts: 1 }, problem: "" };
  }
  const error = (json?.["error"] ?? {}) as { code?: unknown; message?: unknown };
  const code = typeof error.code === "string" ? error.code : `http_${status}`;
  const message = typeof error.message === "string" ? error.message : text.slice(0, 200);
  if (status === 429 || status >= 500) {
    return { retryAfterMs, problem: `HTTP ${status} ${code}: ${message}` };
  }
  return { over: { kind: "refused", status, code, message }, problem: "" };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
