/** `create-key FILE` makes a signing key, `fingerprint FILE` prints what the customer reads out. */

import { readFileSync, writeFileSync } from "node:fs";

import { SigningKey } from "./signing";

const [command, file] = process.argv.slice(2);

if (command === "create-key" && file !== undefined) {
  const key = SigningKey.create();
  // Never over a key that is there.
  writeFileSync(file, key.toPem(), { mode: 0o600, flag: "wx" });
  console.log(key.fingerprint());
} else if (command === "fingerprint" && file !== undefined) {
  console.log(SigningKey.fromPem(readFileSync(file, "utf8")).fingerprint());
} else {
  console.error("Usage: vaultai-billing create-key FILE | fingerprint FILE");
  process.exitCode = 64;
}
