/**
 * Signs reports with an Ed25519 key of the instance's own. Optional: without a key reports are
 * sent as they are.
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from "node:crypto";

const REPORT_PURPOSE = "vaultai-usage-report-v1";
const REPLACEMENT_PURPOSE = "vaultai-key-replacement-v1";
const FINGERPRINT_BYTES = 16;

/** The private key of an instance. Keep its PEM text as secret as a password. */
export class SigningKey {
  private constructor(private readonly privateKey: KeyObject) {}

  /** Makes a new key. */
  static create(): SigningKey {
    return new SigningKey(generateKeyPairSync("ed25519").privateKey);
  }

  /** Reads a key: PKCS#8 in PEM, as {@link toPem} writes it. */
  static fromPem(pem: string): SigningKey {
    // Variables of the environment often hold "\n" for a line break.
    const key = createPrivateKey(pem.replaceAll("\\n", "\n"));
    if (key.asymmetricKeyType !== "ed25519") {
      throw new Error("The signing key is not an Ed25519 key.");
    }
    return new SigningKey(key);
  }

  /** The private key in PEM. */
  toPem(): string {
    return this.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  }

  /** The public key as the headers carry it. */
  publicKey(): string {
    const jwk = createPublicKey(this.privateKey).export({ format: "jwk" });
    if (jwk.x === undefined) {
      throw new Error("The public key cannot be read.");
    }
    return jwk.x;
  }

  /** What the customer reads out to the admin: eight groups of four hexadecimal digits. */
  fingerprint(): string {
    const hash = createHash("sha256")
      .update(Buffer.from(this.publicKey(), "base64url"))
      .digest()
      .subarray(0, FINGERPRINT_BYTES);
    return (hash.toString("hex").match(/.{4}/g) ?? []).join("-");
  }

  /** The headers that sign a body as it is sent, at this time. */
  headers(body: string, at: Date): Record<string, string> {
    const seconds = Math.floor(at.getTime() / 1000);
    const signature = this.sign(`${REPORT_PURPOSE}\n${seconds}\n${body}`);
    return {
      "x-vaultai-key": `ed25519 ${this.publicKey()}`,
      "x-vaultai-signature": `t=${seconds},v1=${signature}`,
    };
  }

  /** The header by which this key says that another takes its place for an organization. */
  replacedBy(newKey: SigningKey, organizationId: string): Record<string, string> {
    const message = `${REPLACEMENT_PURPOSE}\n${organizationId.toLowerCase()}\n${newKey.publicKey()}`;
    return {
      "x-vaultai-replaces-key": `ed25519 ${this.publicKey()} ${this.sign(message)}`,
    };
  }

  private sign(message: string): string {
    return sign(null, Buffer.from(message, "utf8"), this.privateKey).toString("base64url");
  }
}
