"""A caller of the HTTP API, with one token. Nothing but Python's own library."""

import http.client
import json
import uuid
from urllib.parse import urlsplit


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body.get('code')}: {body.get('detail')} {body.get('errors', '')}")
        self.status, self.code = status, body.get("code")


class Caller:
    def __init__(self, url, token):
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        self.token = token
        self.position = None

    def ask(self, method, path, body=None, media="application/json", lines=False, captured_at=None):
        """Status and body, whatever the answer is. Retries once where a connection was idle for too long."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if method == "POST":
            headers |= {"Content-Type": media, "Idempotency-Key": f'"{uuid.uuid4()}"'}
            headers |= {"Lethe-Captured-At": captured_at} if captured_at else {}
        data = body if isinstance(body, (str, type(None))) else json.dumps(body)
        for last in (False, True):
            try:
                self.connection.request(method, path, data, headers)
                answer = self.connection.getresponse()
                text = answer.read().decode(errors="replace")
                break
            except (http.client.HTTPException, ConnectionError):
                self.connection.close()
                if last:
                    raise
        self.position = answer.getheader("Lethe-Position") or self.position
        if lines:
            return answer.status, [json.loads(line) for line in text.splitlines()]
        try:
            return answer.status, json.loads(text) if text else {}
        except json.JSONDecodeError:
            return answer.status, {"text": text}

    def good(self, method, path, body=None, captured_at=None):
        status, answer = self.ask(method, path, body, captured_at=captured_at)
        if status >= 300:
            raise Refused(status, answer)
        return answer

    def get(self, path):
        return self.good("GET", path)

    def send(self, path, command, captured_at=None):
        return self.good("POST", path, command, captured_at)

    def pages(self, path):
        """Every entry of a list."""
        mark, cursor = "&" if "?" in path else "?", ""
        while True:
            page = self.get(f"{path}{mark}limit=500{cursor}")
            yield from page["items"]
            if not page["next"]:
                return
            cursor = f"&cursor={page['next']}"
