// A real Better Auth server for the tests of crates/e2e: the older admin, as it may well run today.
//
// Everything comes from the environment. The first line on standard output is the address. The
// process ends when its standard input does, so that it never outlives the test that started it.
import { createServer } from "node:http";
import pg from "pg";

const { PACKAGE, DATABASE_URL, SECRET, GENERATE_ID, PLUGINS, MIGRATE } = process.env;

const { betterAuth } = await import(PACKAGE);
const { toNodeHandler } = await import(`${PACKAGE}/node`);

const plugins = [];
for (const name of (PLUGINS ?? "").split(",").filter(Boolean)) {
  const known = await import(`${PACKAGE}/plugins`);
  plugins.push(known[name]());
}

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 4 });
// A test's database goes with its test, and what waits in the pool with it.
pool.on("error", () => {});

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const baseURL = `http://127.0.0.1:${server.address().port}`;
const options = {
  database: pool,
  secret: SECRET,
  baseURL,
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  advanced: GENERATE_ID ? { database: { generateId: GENERATE_ID } } : {},
  telemetry: { enabled: false },
  plugins,
};
if (MIGRATE) {
  // It moved between the versions.
  const { getMigrations } = await import(`${PACKAGE}/db/migration`).catch(() => import(`${PACKAGE}/db`));
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
}
server.on("request", toNodeHandler(betterAuth(options)));
console.log(baseURL);
process.stdin.on("end", () => process.exit(0)).resume();
