"""Judges what testssl.sh found: tls.py NAME FILE, where NAME is tls-1.2 or tls-1.3, the oldest version that is served."""

import collections, json, sys

# What is let pass, and why.
REASONS = {
    ("cert_chain_of_trust", "tls-1.3"): "the certificate is signed by itself: that is what is judged",
    ("cert_revocation", "tls-1.3"): "who signs for oneself has no list of what was revoked",
    ("cert_revocation", "tls-1.2"): "the judge's own authority publishes no list: that is for whoever issues certificates",
    ("engine_problem", "tls-1.2"): "about the judge's openssl, not about the server",
    ("engine_problem", "tls-1.3"): "about the judge's openssl, not about the server",
    ("HTTP_status_code", "tls-1.2"): "the first page leads on to the sign-in",
    ("HTTP_status_code", "tls-1.3"): "the first page leads on to the sign-in",
}
HARMLESS = {"OK", "INFO", "LOW", "DEBUG"}
# What a judge that looked has always said: without these nothing was judged.
OFFERED = {
    "tls-1.3": {"SSLv2": False, "SSLv3": False, "TLS1": False, "TLS1_1": False, "TLS1_2": False, "TLS1_3": True},
    "tls-1.2": {"SSLv2": False, "SSLv3": False, "TLS1": False, "TLS1_1": False, "TLS1_2": True, "TLS1_3": True},
}

name, path = sys.argv[1:]
found = json.load(open(path, encoding="utf-8"))
faults = []
for one in found:
    if one["severity"] not in HARMLESS:
        reason = REASONS.get((one["id"], name))
        text = f"{one['id']}: {one['severity']}: {one['finding']}"
        print(f"  {text}" + (f" (let pass: {reason})" if reason else ""))
        if not reason:
            faults.append(text)
said = {one["id"]: one["finding"] for one in found}
for version, offered in OFFERED[name].items():
    finding = said.get(version, "nothing")
    if (offered and not finding.startswith("offered")) or (not offered and not finding.startswith("not offered")):
        faults.append(f"{version}: it should be {'offered' if offered else 'not offered'}: {finding}")
severities = collections.Counter(one["severity"] for one in found)
print(f"testssl.sh, {name}: {len(found)} findings {dict(severities)}, {len(faults)} faults")
if len(found) < 50:
    faults.append("the judge did not finish")
sys.exit("\n".join(faults) or None)
