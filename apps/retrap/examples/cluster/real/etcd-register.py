"""Clients of etcd write and read registers, each by way of a member of its own, and look whether that was linearizable."""
import base64
import http.client
import json
import random
import sys
import threading
import time

from linear import fault_of

MEMBERS = int(sys.argv[1])
SECONDS = int(sys.argv[2])
REGISTERS = 4
OPERATIONS = 25
history = []
lock = threading.Lock()


def text(word):
    return base64.b64encode(word.encode()).decode()


def client(number):
    draws = random.Random(number)
    end = time.monotonic() + SECONDS
    line = None
    for i in range(10**9):
        if time.monotonic() > end:
            return
        # New registers every now and then: a long history is hard to check.
        key = f"{i // OPERATIONS}-{draws.randrange(REGISTERS)}"
        writes = draws.random() < 0.5
        value = f"{number}.{i}"
        path, body = ("put", {"value": text(value)}) if writes else ("range", {})
        called = time.monotonic()
        answered = None
        try:
            line = line or http.client.HTTPConnection(f"node-{number % MEMBERS + 1}", 2379, timeout=1)
            line.request("POST", f"/v3/kv/{path}", json.dumps({"key": text(key), **body}))
            answer = line.getresponse()
            result = json.loads(answer.read())
            if answer.status == 200:
                answered = time.monotonic()
                if not writes:
                    kvs = result.get("kvs")
                    value = base64.b64decode(kvs[0]["value"]).decode() if kvs else None
        except (OSError, http.client.HTTPException, ValueError):
            pass
        if answered is None:
            line = None
        with lock:
            history.append(("write" if writes else "read", key, value, called, answered))
        time.sleep(draws.random() / 10)


def report(line):
    with open("/dev/retrap/report", "w") as port:
        port.write(line + "\n")


threads = [threading.Thread(target=client, args=(number,)) for number in range(2 * MEMBERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
known = sum(answered is not None for *_, answered in history)
fault = fault_of(history)
print(f"{len(history)} operations, {known} answered", flush=True)
report(f"sometimes answered {'ok' if known > 0 else 'fail'}")
report(f"sometimes unanswered {'ok' if known < len(history) else 'fail'}")
report("always linearizable " + ("ok" if fault is None else "fail " + json.dumps(fault)))
