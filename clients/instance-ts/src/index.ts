export { cronHandler } from "./cron";
export {
  BillingInstance,
  hostOf,
  type DayResult,
  type InstanceOptions,
  type RunResult,
} from "./instance";
export {
  BILLING_API_TOKEN,
  DEFAULT_RETRY,
  type Outcome,
  type ReportAnswer,
  type RetryPolicy,
  type UsageReport,
} from "./report";
export { SigningKey } from "./signing";
export { FileStore, type CountStore, type DayCount } from "./store";
