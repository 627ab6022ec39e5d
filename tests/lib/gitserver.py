# SPDX-License-Identifier: Apache-2.0
"""Git repositories over http on the loopback: git's own http-backend behind a small server that can be old, ask for credentials, redirect, and counts."""
import http.server
import os
import subprocess
import threading


def git(folder, *args, stdin=None, **env):
    """Runs git there, as nobody in particular and without the machine's configuration; its output."""
    return subprocess.run(["git", "-C", folder, *args], check=True, stdout=subprocess.PIPE, input=stdin, env={
        "PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": folder,
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.test", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.test",
        "GIT_AUTHOR_DATE": "2022-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2022-01-02T03:04:05Z", **env}).stdout.decode(errors="replace").strip()


class GitServer:
    """Serves the bare repositories below a folder. fetches: how often a pack was asked for."""

    def __init__(self, folder):
        outer = self
        self.old, self.authorization, self.seen, self.fetches, self.moved = False, None, [], 0, {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
                outer.seen.append(self.headers.get("Authorization"))
                for old, new in outer.moved.items():
                    if path.startswith(old):
                        self.send_response(301)
                        self.send_header("Location", new + self.path[len(old):])
                        self.end_headers()
                        return
                if outer.authorization and self.headers.get("Authorization") != outer.authorization:
                    self.send_error(401)
                    return
                outer.fetches += b"want " in body
                out = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, check=False, env={
                    "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": folder, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                    "GIT_PROTOCOL": "" if outer.old else self.headers.get("Git-Protocol", ""), "GIT_CONFIG_GLOBAL": "/dev/null",
                    "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}).stdout
                head, _, rest = out.partition(b"\r\n\r\n")
                lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(lines.pop("Status", "200").split()[0]))
                for item in lines.items():
                    self.send_header(*item)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest)

            do_POST = do_GET

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
