"""Tries what is documented for programs against a running system.

schemathesis calls every operation of /api/openapi.json, as an instance and as an admin: no 5xx, and
no status, body or header that the document does not tell of. Then the lines of docs/ADMIN.md and
docs/SERVICES.md are run as they stand there. `cargo xtask ci openapi` starts the system and says in the
environment where it is: BASE_URL, ADMIN_EMAIL, ADMIN_PASSWORD, ORG_SVC_URL with the reader's TLS_CA_FILE,
TLS_CERT_FILE and TLS_KEY_FILE, SCHEMATHESIS and BUF (the two programs).
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = os.environ["BASE_URL"].rstrip("/")
INSTANCE_TOKEN = "vaultai_universal_billing_api_2024_production_key_XyZ9mP2nQ7wK"
# What the promise is about. The others judge choices of style: for example that names which are not
# known are ignored in a query.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"
SECONDS_MAX = "45"
# A step of the document may have to wait for the one before it, which goes on in the background.
LINES_SECONDS_MAX = 60


def post(path, body, token=None):
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def schemathesis(token, *tags):
    words = [os.environ["SCHEMATHESIS"], "run", BASE + "/api/openapi.json", "--checks", CHECKS]
    for tag in tags:
        words += ["--include-tag", tag]
    words += ["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--max-time", SECONDS_MAX]
    words += ["--seed", "1", "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure"]
    words += ["--request-timeout", "30", "-H", f"Authorization: Bearer {token}"]
    print(f"== schemathesis: {', '.join(tags)}", flush=True)
    return subprocess.run(words, cwd=ROOT / "target").returncode == 0


def document_lines(name, blocks_min, token, organization):
    document = (ROOT / name).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", document, re.M | re.S)
    assert len(blocks) >= blocks_min, f"{name} has lost its lines"
    buf = pathlib.Path(os.environ["BUF"]).resolve()
    environment = os.environ | {
        "PATH": f"{buf.parent}{os.pathsep}{os.environ['PATH']}",
        "BILLING_URL": BASE,
        "TOKEN": token,
        "INSTANCE_TOKEN": INSTANCE_TOKEN,
        "ORGANIZATION": organization,
    }
    for block in blocks:
        deadline = time.monotonic() + LINES_SECONDS_MAX
        while True:
            run = ["bash", "-euo", "pipefail", "-c", block]
            done = subprocess.run(run, env=environment, capture_output=True, text=True)
            if done.returncode == 0:
                break
            if time.monotonic() > deadline:
                print(f"{name}: this fails:\n{block}\n{done.stdout}{done.stderr}")
                return False
            time.sleep(1)
    print(f"{name}: {len(blocks)} blocks run as they stand", flush=True)
    return True


def main():
    credentials = {"email": os.environ["ADMIN_EMAIL"], "password": os.environ["ADMIN_PASSWORD"]}
    token = post("/api/auth/sign-in/email", credentials)["token"]
    organization = str(uuid.uuid4())
    an_hour_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    report = {
        "organization_id": organization,
        "organization_name": "Acme Corp",
        "instance_url": "acme.vaultai.eu",
        "user_count": 45,
        "timestamp": an_hour_ago.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    post("/api/usage-report", report, INSTANCE_TOKEN)
    outcomes = [
        document_lines("docs/ADMIN.md", 25, token, organization),
        document_lines("docs/SERVICES.md", 2, token, organization),
        schemathesis(INSTANCE_TOKEN, "instances", "stripe", "documents"),
        schemathesis(token, "admins", "better-auth"),
    ]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
