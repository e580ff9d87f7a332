"""Sends every form of the desk as another site would: foreign_forms.py BASE FILE-OF-TOKEN...

Pages are found by their links, from the first page and that of the study on; a form that is answered by anything but a refusal
is a fault."""

import collections, html, http.client, re, sys, urllib.parse

base, tokens = sys.argv[1], sys.argv[2:]
host = urllib.parse.urlsplit(base).netloc
ELSEWHERE = [
    {},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": base},
    {"Sec-Fetch-Site": "same-site"},
]
PAGES_MAX, PER_SHAPE = 60, 2


def ask(method, path, headers, body=None):
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.getheaders(), response.read().decode(errors="replace")


def shape(path):
    """Pages that differ in ids alone are of one shape."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{64}", "*", path.split("?")[0])


faults, sent, seen_pages, forms = [], 0, 0, set()
for file in tokens:
    cookie = {"Cookie": "lethe-session=" + open(file, encoding="utf-8").read().strip()}
    todo, done, shapes = ["/desk", "/desk/studies/cardio-1", "/sign-in", "/join"], set(), collections.Counter()
    while todo and len(done) < PAGES_MAX:
        path = todo.pop(0)
        if path in done or shapes[shape(path)] >= PER_SHAPE:
            continue
        done.add(path)
        shapes[shape(path)] += 1
        status, headers, page = ask("GET", path, cookie)
        named = {name.lower(): value for name, value in headers}
        if "text/html" in named.get("content-type", "") and named.get("cache-control") != "no-store":
            faults.append(f"{shape(path)}: it may be kept: {named.get('cache-control')}")
        links = re.findall(r'href="(/[^"#]*)', page)
        todo += [html.unescape(link) for link in links if not link.startswith("/desk/assets/")]
        for form in re.findall(r"<form[^>]*>", page):
            if 'method="post"' in form:
                action = re.search(r'action="([^"]*)"', form)
                forms.add(html.unescape(action.group(1)) if action else path)
    seen_pages += len(done)
    for action in sorted(forms):
        for elsewhere in ELSEWHERE:
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            status, _, _ = ask("POST", action, {**cookie, **kind, **elsewhere}, "a=b")
            sent += 1
            if status != 403:
                faults.append(f"POST {shape(action)} from elsewhere ({elsewhere}): {status}")
print(f"forms from elsewhere: {seen_pages} pages, {len(forms)} forms, {sent} requests, {len(faults)} faults")
print("\n".join(sorted(set(faults))))
if len(forms) < 8:
    faults.append("hardly a form was found")
sys.exit(bool(faults))
