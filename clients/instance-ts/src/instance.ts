/** An instance that counts its users once a day and reports them. */

import {
  BILLING_API_TOKEN,
  DEFAULT_RETRY,
  sendReport,
  type Outcome,
  type RetryPolicy,
  type Sender,
} from "./report";
import type { SigningKey } from "./signing";
import type { CountStore, DayCount } from "./store";

/** Counts are kept, and gaps filled, for so many UTC days: the billing service takes no older ones. */
const DAYS_KEPT = 35;
const DAY_MS = 86_400_000;

export interface InstanceOptions {
  /** The billing service, for example `https://billing.vaultai.eu`. */
  billingUrl: string;
  organizationId: string;
  organizationName: string;
  /** Where the instance lives: a host, or a URL whose host is taken. */
  instanceUrl: string;
  /** Counts the users that are active now. */
  countUsers(): Promise<number>;
  store: CountStore;
  /** The shared token; the constant one by default. */
  token?: string;
  retry?: Partial<RetryPolicy>;
  /** Signs reports. */
  key?: SigningKey;
  /** The key before `key`: set both when the key is replaced, and remove this one later. */
  replaces?: SigningKey;
  now?(): Date;
  sleep?(ms: number): Promise<void>;
}

/** What became of one day's report. */
export interface DayResult {
  day: string;
  user_count: number;
  outcome: Outcome;
}

export interface RunResult {
  /** Whether today's report is recorded. */
  success: boolean;
  /** One for each report that was sent: days that were left first, then today, then gaps. */
  reports: DayResult[];
  /** Days that the billing service lacks and nothing was counted on. They cannot be filled. */
  unfillable: string[];
}

export class BillingInstance {
  private running: Promise<RunResult> | undefined;

  constructor(private readonly options: InstanceOptions) {}

  /**
   * Counts, unless today was counted already, and reports what is not reported yet. Run it once a day;
   * a second run on the same day sends the same report, which counts once.
   */
  run(): Promise<RunResult> {
    // Two runs at once would write the store over each other.
    this.running ??= this.runAlone().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async runAlone(): Promise<RunResult> {
    const now = this.now();
    const today = dayOf(now);
    const counts = await this.counted(now);
    const reports: DayResult[] = [];
    for (const count of counts) {
      if (!count.settled || count.day === today) {
        reports.push(await this.report(counts, count));
      }
    }
    const ofToday = reports.find((report) => report.day === today)?.outcome;
    const answer = ofToday?.kind === "recorded" ? ofToday.answer : undefined;
    const sent = new Set(reports.map((report) => report.day));
    const unfillable: string[] = [];
    for (const day of answer?.missing_days ?? []) {
      // Only what was counted on that day: what is counted now says nothing of it.
      const count = counts.find((known) => known.day === day);
      if (count === undefined) {
        unfillable.push(day);
      } else if (!sent.has(day)) {
        reports.push(await this.report(counts, count));
      }
    }
    return { success: answer !== undefined, reports, unfillable };
  }

  /** The counts of the last days, today's among them. It is stored before it is sent. */
  private async counted(now: Date): Promise<DayCount[]> {
    const today = dayOf(now);
    const oldest = dayOf(new Date(now.getTime() - (DAYS_KEPT - 1) * DAY_MS));
    const stored = await this.options.store.load();
    const counts = stored.filter((count) => count.day >= oldest && count.day <= today);
    if (!counts.some((count) => count.day === today)) {
      const userCount = await this.options.countUsers();
      if (!Number.isSafeInteger(userCount) || userCount < 0) {
        throw new Error(`countUsers returned ${userCount}, which is not a number of users.`);
      }
      const timestamp = now.toISOString();
      counts.push({ day: today, user_count: userCount, timestamp, settled: false });
    }
    counts.sort((one, other) => one.day.localeCompare(other.day));
    await this.options.store.save(counts);
    return counts;
  }

  private async report(counts: DayCount[], count: DayCount): Promise<DayResult> {
    const outcome = await sendReport(this.sender(), {
      organization_id: this.options.organizationId,
      organization_name: this.options.organizationName,
      instance_url: hostOf(this.options.instanceUrl),
      user_count: count.user_count,
      timestamp: count.timestamp,
    });
    const isSettled = outcome.kind === "recorded" || (outcome.kind === "refused" && isFinal(outcome));
    if (isSettled && !count.settled) {
      count.settled = true;
      await this.options.store.save(counts);
    }
    return { day: count.day, user_count: count.user_count, outcome };
  }

  private sender(): Sender {
    const { billingUrl, token, retry, key, replaces } = this.options;
    return {
      billingUrl,
      token: token ?? BILLING_API_TOKEN,
      retry: { ...DEFAULT_RETRY, ...retry },
      key,
      replaces,
      now: () => this.now(),
      sleep: (ms) => this.options.sleep?.(ms) ?? new Promise((done) => setTimeout(done, ms)),
    };
  }

  private now(): Date {
    return this.options.now?.() ?? new Date();
  }
}

/**
 * Whether a refusal is about this report alone. A token, a key or a clock that is wrong can be mended;
 * the day is reported then.
 */
function isFinal(refused: { status: number }): boolean {
  return refused.status === 409;
}

function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10);
}

/** The host of a URL, with its port if it names one. */
export function hostOf(url: string): string {
  return new URL(url.includes("://") ? url : `https://${url}`).host;
}
