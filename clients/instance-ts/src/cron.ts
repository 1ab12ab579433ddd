/** The instance's cron as a handler of web requests: what a route of Next.js exports. */

import { createHash, timingSafeEqual } from "node:crypto";

import type { BillingInstance } from "./instance";

/**
 * Runs the instance for who bears the secret: `Authorization: Bearer <CRON_SECRET>`. Answers 200 when
 * today's report is recorded, 502 when it is not, 401 without the secret.
 */
export function cronHandler(
  instance: () => BillingInstance,
  secret: string | undefined,
): (request: Request) => Promise<Response> {
  return async (request) => {
    if (secret === undefined || secret === "") {
      return Response.json({ success: false, error: "CRON_SECRET is not set" }, { status: 500 });
    }
    if (!isSame(request.headers.get("authorization") ?? "", `Bearer ${secret}`)) {
      return Response.json({ success: false, error: "Unauthorized" }, { status: 401 });
    }
    try {
      const result = await instance().run();
      return Response.json(result, { status: result.success ? 200 : 502 });
    } catch (error) {
      console.error("The usage report failed.", error);
      return Response.json({ success: false, error: "Usage report failed" }, { status: 500 });
    }
  };
}

/** Takes as long for a good guess as for a bad one. */
function isSame(given: string, expected: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(expected));
}
