"""`weir diff`: what a reload would do, and which requests of the past would go elsewhere; and `weir reload`, which does it."""

import json
import subprocess

import pytest

from admin import administered
from gateway import BINARY, configuration, merged, sanitizer
from raw import get

BASE = {
    "version": 1,
    "listeners": [{"name": "public", "address": "127.0.0.1:18080"}],
    "admin": {"address": "127.0.0.1:19180", "token": "a-token-that-nobody-is-to-see-1234"},
    "upstreams": [
        {"name": "users", "endpoints": [{"address": "127.0.0.1:9001"}, {"address": "127.0.0.1:9002"}]},
        {"name": "rest", "endpoints": [{"address": "127.0.0.1:9003"}], "pool": {"max_connections": 10}},
    ],
    "routes": [
        {"name": "users", "match": {"path": "/users/*"}, "upstream": "users"},
        {"name": "first", "match": {"path": "/both", "methods": ["GET", "PUT"]}, "upstream": "users"},
        {"name": "second", "match": {"path": "/both", "methods": ["GET", "POST"]}, "upstream": "rest"},
        {"name": "rest", "match": {"path": "/*"}, "upstream": "rest",
            "filters": [{"headers": {"request": {"set": {"Authorization": "Bearer xyzzy"}}}}]},
    ],
}


def run(*arguments, stdin=None):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, input=stdin)


@pytest.fixture(name="files")
def _files(tmp_path):
    def write(after, before=BASE):
        paths = tmp_path / "old.yaml", tmp_path / "new.yaml"
        for path, config in zip(paths, (before, after)):
            path.write_text(json.dumps(config))
        return paths

    return write


def differences(files, after):
    done = run("diff", *files(after), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return {d["path"]: (d["before"], d["after"]) for d in told["differences"]}, [e["text"] for e in told["effects"]]


def test_the_same(files):
    done = run("diff", *files(BASE))
    assert (done.returncode, done.stdout) == (0, "the files say the same\n")


def test_keys_and_effects(files):
    after = json.loads(json.dumps(BASE))
    after["upstreams"][1]["pool"]["max_connections"] = 20
    after["upstreams"][0]["endpoints"] = [{"address": "127.0.0.1:9002", "weight": 3}, {"address": "127.0.0.1:9005"}]
    after["workers"] = 2
    after["listeners"].append({"name": "second", "address": "127.0.0.1:8999"})
    del after["routes"][0]
    told, effects = differences(files, after)
    assert told == {
        "upstreams[users].endpoints[127.0.0.1:9001]": ("a mapping", None),
        "upstreams[users].endpoints[127.0.0.1:9002].weight": (None, '"3"'),
        "upstreams[users].endpoints[127.0.0.1:9005]": (None, "a mapping"),
        "upstreams[rest].pool.max_connections": ('"10"', '"20"'),
        "routes[users]": ("a mapping", None),
        "workers": (None, '"2"'),
        "listeners[second]": (None, "a mapping"),
    }
    assert "upstream users: added: 127.0.0.1:9005; draining: 127.0.0.1:9001" in effects
    assert any(line.startswith("upstream rest: other pool settings") for line in effects)
    assert "listener second: listens on 127.0.0.1:8999" in effects
    assert "workers: the change takes effect at the next start" in effects


def test_other_host_names(files):
    """They have no addresses here, and are told by their names."""
    def asks(*names):
        return {**BASE, "upstreams": [{"name": "users", "endpoints": [{"address": name} for name in names]}, BASE["upstreams"][1]]}

    paths = files(asks("a.internal:80", "c.internal:80"), asks("a.internal:80", "b.internal:80"))
    told = json.loads(run("diff", *paths, "--json").stdout)
    assert [e["text"] for e in told["effects"]] == ["upstream users: added: c.internal:80; draining: b.internal:80"]


def test_what_is_secret_is_never_shown(files):
    after = json.loads(json.dumps(BASE).replace("nobody-is-to-see-1234", "somebody-has-seen-567").replace("xyzzy", "plugh"))
    for arguments in ([], ["--json"]):
        done = run("diff", *files(after), *arguments)
        assert done.returncode == 0 and "(secret)" in done.stdout
        for secret in ("token-that", "xyzzy", "plugh", "1234", "567"):
            assert secret not in done.stdout
    assert set(differences(files, after)[0].values()) == {("(secret)", "(secret)")}


def test_order_that_matters(files):
    after = json.loads(json.dumps(BASE))
    after["routes"][1], after["routes"][2] = after["routes"][2], after["routes"][1]
    told, effects = differences(files, after)
    assert told == {} and effects == ["route second is asked before route first now, whose match is the same"]
    # Others may change places as they like.
    after = json.loads(json.dumps(BASE))
    after["routes"][0], after["routes"][3] = after["routes"][3], after["routes"][0]
    assert differences(files, after) == ({}, [])


def test_replay(files, tmp_path):
    after = json.loads(json.dumps(BASE))
    after["routes"][0]["match"]["path"] = "/people/*"
    after["routes"][1], after["routes"][2] = after["routes"][2], after["routes"][1]
    after["routes"][3]["match"]["path"] = "/rest/*"
    record = {"host": "example.com", "cause": None, "status": 200}
    asked = [("GET", "/users/7?secret=1")] * 5 + [("POST", "/users/8")] + [("GET", "/both"), ("PUT", "/both"), ("GET", "/rest/1")]
    lines = [json.dumps({**record, "method": method, "target": target}) for method, target in asked]
    lines += ["what is this", "", json.dumps({**record, "method": "GET", "target": "/%zz", "cause": "bad_request"}), "x" * 3_000_000]
    lines += [json.dumps({**record, "method": "GET", "target": "/last"})]
    for log, stdin in ((tmp_path / "access.log", None), ("-", "\n".join(lines))):
        if stdin is None:
            log.write_text("\n".join(lines) + "\n")
        done = run("diff", *files(after), "--json", "--replay", log, stdin=stdin)
        assert done.returncode == 0, done.stderr
        replay = json.loads(done.stdout)["replay"]
        assert (replay["requests"], replay["elsewhere"], replay["unread"], replay["others"]) == (10, 8, 3, 0)
        assert [(move["from"], move["to"], move["count"]) for move in replay["moves"]] == [
            ("users (upstream users)", "no route (404)", 6),
            ("first (upstream users)", "second (upstream rest)", 1),
            ("rest (upstream rest)", "no route (404)", 1),
        ]
        assert replay["moves"][0]["examples"] == ["GET example.com/users/7", "POST example.com/users/8"]
    text = run("diff", *files(after), "--replay", tmp_path / "access.log").stdout
    assert "of 10 past requests 8 would go elsewhere" in text and "         6  users (upstream users) -> no route (404)" in text


def test_replay_of_what_is_no_log(files, tmp_path):
    """Each line stands for itself, whatever the one before it was; and none can speak to the terminal."""
    after = json.loads(json.dumps(BASE))
    after["routes"][0]["match"]["path"] = "/elsewhere/*"
    record = json.dumps({"method": "GET", "host": "example.com", "target": "/users/7"})
    escaping = json.dumps({"method": "GET", "host": "example.com", "target": "/users/\x1b[2J"})
    # U+009B is the same to some.
    as_one_character = json.dumps({"method": "GET", "host": "example.com", "target": "/users/\x9b2J"})
    log = tmp_path / "access.log"
    lines = [record, "x" * 3_000_000, record, "\0" * 9, record, "\xff", "[1]", escaping, as_one_character, record[:9]]
    log.write_bytes("\n".join(lines).encode("latin-1"))
    done = run("diff", *files(after), "--replay", log)
    assert "of 5 past requests 5 would go elsewhere" in done.stdout and "5 lines were no record" in done.stdout
    assert "GET example.com/users/?[2J" in done.stdout and "\x1b" not in done.stdout
    assert "GET example.com/users/??2J" in done.stdout and "\x9b" not in done.stdout
    done = run("diff", *files(after), "--replay", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"weir: {tmp_path} cannot be read\n")


@pytest.mark.skipif(sanitizer() is not None, reason="a sanitizer reserves more address space than that")
def test_replay_needs_little_memory(files, tmp_path):
    """However long the log is."""
    log = tmp_path / "access.log"
    line = json.dumps({"method": "GET", "host": "example.com", "target": "/users/" + "x" * 900}) + "\n"
    log.write_text(line * 60_000)
    script = f"ulimit -v 200000 && exec {BINARY} diff \"$@\""
    old, new = files(BASE)
    done = subprocess.run(["sh", "-c", script, "sh", old, new, "--replay", log], capture_output=True, text=True, timeout=120,
        check=False)
    assert done.returncode == 0 and "of 60000 past requests 0 would go elsewhere" in done.stdout, done.stderr


def test_a_log_of_the_gateway_itself(start, origin, files):
    gateway = start(configuration(origin.serve()))
    client = gateway.connect()
    for i in range(3):
        assert client.ask(get(f"/here/{i}")).status == 200
    lines = "\n".join(json.dumps(record) for record in gateway.records(3))
    after = merged(gateway.config, {"routes": [merged(gateway.config["routes"][0], {"name": "other"})]})
    done = run("diff", *files(after, gateway.config), "--json", "--replay", "-", stdin=lines)
    replay = json.loads(done.stdout)["replay"]
    assert (replay["requests"], replay["elsewhere"], replay["renamed"]) == (3, 0, 3)


def replayed(files, before, after, *records):
    lines = "\n".join(json.dumps({"host": "example.com", "method": "GET", **record}) for record in records)
    texts = [run("diff", *files(after, before), *json_, "--replay", "-", stdin=lines).stdout for json_ in (["--json"], [])]
    return json.loads(texts[0])["replay"], texts[1]


def routes(*given):
    return {**BASE, "routes": [{"match": {"path": "/a/*"}, "upstream": "users", **route} for route in given]}


def test_replay_of_routes_that_are_renamed(files):
    """It is where a request goes that counts; a route without a name has none to change."""
    told, text = replayed(files, routes({"name": "old"}), routes({"name": "new"}), {"target": "/a/1"}, {"target": "/a/2"})
    assert (told["elsewhere"], told["renamed"], told["moves"]) == (0, 2, [])
    assert [(r["from"], r["to"], r["count"]) for r in told["renames"]] == [("old (upstream users)", "new (upstream users)", 2)]
    assert "0 would go elsewhere\n2 would take a route of another name to the same place\n" in text
    # The same targets by another pattern.
    told, _ = replayed(files, routes({"name": "a", "rewrite": {"path": "/b/*"}}),
        routes({"name": "one", "match": {"path": "/a/1"}, "rewrite": {"path": "/b/1"}}, {"name": "a", "rewrite": {"path": "/b/*"}}),
        {"target": "/a/1"}, {"target": "/a/2"})
    assert (told["elsewhere"], told["renamed"]) == (0, 1)


@pytest.mark.parametrize("before, after", [({}, {"rewrite": {"path": "/v2/*"}}), ({"rewrite": {"path": "/v1/*"}}, {"rewrite": {"path": "/v2/*"}}),
    ({"rewrite": {"path": "/v1/*"}}, {"rewrite": {"path": "/v1"}}), ({}, {"rewrite": {"host": "other.example"}}), ({}, {"upstream": "rest"})])
def test_replay_of_another_rewrite(files, before, after):
    told, text = replayed(files, routes({"name": "a", **before}), routes({"name": "a", **after}), {"target": "/a/7"}, {"target": "/a/8?x"})
    assert (told["elsewhere"], told["renamed"], len(told["moves"])) == (2, 0, 1)
    assert told["moves"][0]["from"] != told["moves"][0]["to"] and "2 would go elsewhere" in text


def test_replay_of_other_redirects(files):
    def to(location, status=302):
        return {**BASE, "routes": [{"name": "a", "match": {"path": "/a/*"}, "redirect": {"location": location, "status": status}}]}

    for before, after, elsewhere in ((to("/b/*"), to("/b/*"), 0), (to("/b/*"), to("/c/*"), 1), (to("/b/*"), to("/b/*", 308), 1)):
        assert replayed(files, before, after, {"target": "/a/7"})[0]["elsewhere"] == elsewhere


def test_replay_of_other_answers(files):
    """What a client would read counts, whatever the route is called that says it."""
    def says(body, status=200, content_type="text/plain", name="a"):
        return {**BASE, "routes": [{"name": name, "match": {"path": "/a/*"},
            "respond": {"body": body, "status": status, "content_type": content_type}}]}

    for after, elsewhere, renamed in ((says("one"), 0, 0), (says("one", name="b"), 0, 1), (says("two"), 1, 0), (says("one", 201), 1, 0),
            (says("one", content_type="text/html"), 1, 0), (says("two", name="b"), 1, 0), (says("one more"), 1, 0)):
        told, _ = replayed(files, says("one"), after, {"target": "/a/7"})
        assert (told["elsewhere"], told["renamed"]) == (elsewhere, renamed)
    told, text = replayed(files, says("one"), says("\x1b[2J" + 100 * "x"), {"target": "/a/7"})
    assert 'a (responds 200, "one") -> a (responds 200, "?[2J' + 28 * "x" + '"...)' in text
    assert told["moves"][0]["to"] == 'a (responds 200, "?[2J' + 28 * "x" + '"...)'


def test_replay_of_records_that_lack_what_is_needed(files, tmp_path):
    """With `log.access.fields` they may: nothing is known of them, which is not that they go to the same place."""
    other = routes({"name": "a", "match": {"path": "/other/*"}})
    log = tmp_path / "access.log"
    whole = {"method": "GET", "host": None, "target": "/a/1"}
    log.write_text("\n".join(json.dumps({k: v for k, v in whole.items() if k != left_out}) for left_out in ("", *whole)))
    done = run("diff", *files(other, routes({"name": "a"})), "--replay", log)
    assert "of 1 past requests 1 would go elsewhere" in done.stdout
    assert "3 lines were no record" in done.stdout and "3 of them do not say `method`, `host` or `target`" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["one"], ["one", "two", "three"], ["one", "two", "--replay"], ["--what", "one", "two"]])
def test_wrong_use(arguments):
    done = run("diff", *arguments)
    assert done.returncode == 2 and "diff: " in done.stderr


def test_wrong_file(files, tmp_path):
    old, new = files({**BASE, "nonsense": 1})
    assert run("diff", old, new).returncode == 2
    assert run("diff", old, tmp_path / "not-there").returncode in (1, 2)
    assert run("diff", old, old, "--replay", tmp_path / "not-there").returncode == 1


# --- weir reload -----------------------------------------------------------------------------------------------------


def test_reload(start, origin):
    gateway, _ = administered(start, origin.serve())
    config = merged(gateway.config, {"routes": [*gateway.config["routes"],
        {"name": "own", "match": {"path": "/own"}, "respond": {"body": "own"}}]})
    gateway.write(config)
    done = run("reload", "-c", gateway.file)
    assert done.returncode == 0, done.stderr
    assert "reloaded: 2 routes (1 before)" in done.stdout and "no worker paused for longer than " in done.stdout
    assert gateway.connect().ask(get("/own")).body == b"own"
    receipt = json.loads(run("reload", "-c", gateway.file, "--json").stdout)
    assert receipt["outcome"] == "reloaded" and receipt["by"] == "admin"


def test_reload_of_a_bad_file(start, origin):
    """The gateway is asked, and says what is wrong with it: the command may have another one."""
    gateway, admin = administered(start, origin.serve())
    other = gateway.file.with_name("other.yaml")
    other.write_text(gateway.file.read_text())
    gateway.write({**gateway.config, "nonsense": 1})
    for file in (gateway.file, other):
        done = run("reload", "-c", file)
        assert done.returncode == 2 and "refused: the configuration of before stays in force" in done.stdout
        assert "unknown key" in done.stdout and done.stderr == ""
    assert admin.json("/v1/reload")["outcome"] == "refused"


def test_reload_of_nobody(start, origin, tmp_path):
    path = tmp_path / "nobody.yaml"
    path.write_text(json.dumps(BASE))
    assert run("reload", "-c", path).returncode == 1
