/** Where an instance keeps what it counted, so that a day that could not be reported is not lost. */

import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** What was counted on one UTC day. */
export interface DayCount {
  /** The UTC day, YYYY-MM-DD. */
  day: string;
  user_count: number;
  /** The moment of the count. Every report of this day repeats it. */
  timestamp: string;
  /** Whether the billing service has answered for good: recorded, or refused. */
  settled: boolean;
}

/** Keeps the counts of one organization. A table of the instance's database does as well as a file. */
export interface CountStore {
  load(): Promise<DayCount[]>;
  save(counts: DayCount[]): Promise<void>;
}

/** Keeps the counts in a file. The directory must survive a restart. */
export class FileStore implements CountStore {
  constructor(private readonly path: string) {}

  async load(): Promise<DayCount[]> {
    let text: string;
    try {
      text = await readFile(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        return [];
      }
      throw error;
    }
    return JSON.parse(text) as DayCount[];
  }

  async save(counts: DayCount[]): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    // A crash leaves the old file or the new one.
    const temporary = `${this.path}.${randomUUID()}`;
    try {
      await writeFile(temporary, JSON.stringify(counts, null, 1), { mode: 0o600, flush: true });
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}
