"""The `opa` program and the OPA server, as far as stannary uses them, over the real OPA library. Runs in .venv-oracles.

eval --format json --data FILE --input FILE [--capabilities FILE] QUERY      as `opa eval`
eval capabilities --current                            as `opa capabilities --current`, of a few names
serve FILE                                             as `opa run --server FILE`; prints its address

No wheel carries the program itself: its engine is what these two stand around.
"""

import http.server
import json
import sys
from pathlib import Path

from opa_bindings.engine import OpaEngine, OpaError, OpaUndefinedError

REACHING = ("http.send", "net.lookup_ip_addr", "opa.runtime")


def evaluate(arguments):
    if arguments[0] == "capabilities":
        return {"builtins": [{"name": name} for name in ("count", *REACHING)], "features": ["rego_v1"]}
    data = arguments[arguments.index("--data") + 1]
    if "--capabilities" in arguments:  # which the library takes none of: what OPA refuses by them is refused here by its name
        may = json.loads(Path(arguments[arguments.index("--capabilities") + 1]).read_text())
        known = {item["name"] for item in may["builtins"]}
        for name in REACHING:
            if name not in known and f"{name}(" in Path(data).read_text():
                sys.stderr.write(f"{data}:1: rego_type_error: undefined function {name}")
                sys.exit(2)
        if may["allow_net"] != [] or may["features"] != ["rego_v1"]:
            sys.exit(3)
    given = json.loads(Path(arguments[arguments.index("--input") + 1]).read_text())
    engine = OpaEngine()
    try:
        engine.add_policy(data, Path(data).read_text())
        value = engine.eval_document(arguments[-1].removeprefix("data."), given)
    except OpaUndefinedError:
        return {}
    except OpaError as error:
        sys.stderr.write(str(error))
        sys.exit(1)
    return {"result": [{"expressions": [{"value": value, "text": arguments[-1]}]}]}


def serve(file):
    text = Path(file).read_text()
    engine = OpaEngine()
    engine.add_policy(file, text)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, document):
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self):
            self.answer({"result": [{"id": file, "raw": text}]})

        def do_POST(self):
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            path = self.path.removeprefix("/v1/data/").replace("/", ".")
            try:
                self.answer({"result": engine.eval_document(path, given)})
            except OpaUndefinedError:
                self.answer({})

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    sys.stdout.write(json.dumps(evaluate(sys.argv[2:])))
