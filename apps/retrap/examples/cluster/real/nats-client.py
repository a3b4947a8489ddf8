"""Clients of NATS JetStream publish messages, and note those that were acknowledged: they are to be there when all is mended.

Usage: nats-client.py SERVERS setup | write CLIENT MESSAGES | check
"""
import base64
import glob
import json
import socket
import sys
import time

SERVERS, COMMAND = int(sys.argv[1]), sys.argv[2]
STREAM = "LOG"


class Line:
    """A connection to a server, by NATS's protocol of lines."""

    def __init__(self, server):
        self.socket = socket.create_connection((f"node-{server}", 4222), timeout=1)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.asked = 0
        self.send('CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB answer.* 1\r\n'.encode())

    def send(self, words):
        self.socket.sendall(words)

    def ask(self, subject, body=b"", seconds=1.0):
        """Publishes a message. Returns the answer, or raises OSError where there is none in time."""
        self.asked += 1
        inbox = f"answer.{self.asked}"
        self.socket.settimeout(seconds)
        self.send(f"PUB {subject} {inbox} {len(body)}\r\n".encode() + body + b"\r\n")
        while True:
            words = self.file.readline().decode().split()
            if not words:
                raise OSError("the connection has ended")
            if words[0] == "PING":
                self.send(b"PONG\r\n")
            elif words[0] in ("MSG", "HMSG"):
                said = self.file.read(int(words[-1]) + 2)[:-2]
                if words[1] != inbox:
                    continue
                if words[0] == "HMSG":
                    raise OSError("no server answers")
                return json.loads(said)

    def close(self):
        self.socket.close()


def ask_any(subject, body, is_good, seconds=15):
    """Asks one server after another, until an answer is good. Returns that one, or the last one as a text where none is good in time."""
    end = time.monotonic() + seconds
    server = 0
    answer = None
    while time.monotonic() < end:
        server = server % SERVERS + 1
        try:
            line = Line(server)
            answer = line.ask(subject, body)
            line.close()
            if is_good(answer):
                return answer
        except (OSError, ValueError) as error:
            answer = str(error)
        time.sleep(0.5)
    return json.dumps(answer)


def report(name, holds, **details):
    with open("/dev/retrap/report", "w") as port:
        port.write(f"{name} {'ok' if holds else 'fail'} {json.dumps(details)}\n")


def has_leader(info):
    return bool((info.get("cluster") or {}).get("leader"))


def is_whole(info):
    replicas = (info.get("cluster") or {}).get("replicas") or []
    return has_leader(info) and len(replicas) == SERVERS - 1 and all(one.get("current") for one in replicas)


def is_message(answer):
    return "message" in answer or answer.get("error", {}).get("code") == 404


def setup():
    stream = {"name": STREAM, "subjects": ["log"], "num_replicas": SERVERS, "storage": "file", "retention": "limits"}
    ask_any(f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(stream).encode(), lambda answer: "error" not in answer)
    if isinstance(ask_any(f"$JS.API.STREAM.INFO.{STREAM}", b"", is_whole), str):
        sys.exit("the stream has not all of its replicas")


def write(client, count):
    line = None
    server = client
    with open(f"/tmp/acknowledged-{client}", "a") as acknowledged, open(f"/tmp/tried-{client}", "a") as tried:
        for i in range(count):
            word = f"{client}.{i}"
            try:
                line = line or Line(server % SERVERS + 1)
                print(word, file=tried)
                answer = line.ask("log", word.encode())
                if "error" not in answer:
                    print(word, file=acknowledged)
            except (OSError, ValueError):
                if line is not None:
                    line.close()
                line = None
                server += 1
            time.sleep(0.1)


def read_all(kind):
    return {word for path in glob.glob(f"/tmp/{kind}-*") for word in open(path).read().split()}


def check():
    info = ask_any(f"$JS.API.STREAM.INFO.{STREAM}", b"", is_whole)
    report("sometimes all-replicas-are-current", not isinstance(info, str))
    if isinstance(info, str):
        info = ask_any(f"$JS.API.STREAM.INFO.{STREAM}", b"", has_leader, 3)
    if isinstance(info, str):
        report("always stream-comes-back", False, said=info)
        sys.exit(1)
    there = set()
    # A stream without messages begins at 0, which is the number of none.
    for i in range(max(info["state"]["first_seq"], 1), info["state"]["last_seq"] + 1):
        answer = ask_any(f"$JS.API.STREAM.MSG.GET.{STREAM}", json.dumps({"seq": i}).encode(), is_message)
        if isinstance(answer, str):
            sys.exit(f"message {i} cannot be read: {answer}")
        if "message" in answer:
            there.add(base64.b64decode(answer["message"]["data"]).decode())
    acknowledged, tried = read_all("acknowledged"), read_all("tried")
    lost = sorted(acknowledged - there)
    print(f"{len(acknowledged - set(lost))} acknowledged and kept, {len(lost)} lost, of {len(tried - acknowledged)} others "
          f"{len((tried - acknowledged) & there)} are there", flush=True)
    report("sometimes unacknowledged", len(tried) > len(acknowledged))
    report("always nothing-was-made-up", there <= tried)
    report("always acknowledged-messages-are-kept", not lost, lost=len(lost), kept=len(acknowledged) - len(lost))


if COMMAND == "setup":
    setup()
elif COMMAND == "write":
    write(int(sys.argv[3]), int(sys.argv[4]))
else:
    check()
