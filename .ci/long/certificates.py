#!/usr/bin/env python3
"""Rolls real workers under random faults and holds each certificate against what the callers saw.

    .ci/long/certificates.py OPENRTC RESULTS [--count 1000] [--minutes 30]

One line of JSON is added to RESULTS for each rollout; started again, it goes on with the next one. A rollout is drawn
with its number as seed. At the end it adds up all of RESULTS, and exits with 1 if a certificate was ever wrong:
"proven" although a caller was dropped, or "dropped" although none was.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
from machine import discard, isolate, small_disk
from results import Results

OFFER, ACCEPT, DECLINE, ASSIGN, AUDIO, HANGUP, BYE, CUT = range(1, 9)
FAULTS = (
    "none", "kill blue", "kill blue without calls", "kill green", "abort blue", "force", "cancel early", "cancel drained",
    "cancel and kill", "delete directory", "delete segment", "cut segment", "move segment", "delete lock", "rotate",
    "rotate and kill", "full disk", "full disk and kill", "copy", "restart", "certify while it drains",
)
PATIENCE = 20
TOKEN = "0123456789abcdef"


class Worker:
    """A worker's process on a journal of its own."""

    def __init__(self, openrtc, home, name, version, settings):
        self.journal = os.path.join(home, name)
        environment = dict(os.environ, OPENRTC_OPS_ADDR="127.0.0.1:0", OPENRTC_JOURNAL_DIR=self.journal, RUST_LOG="error")
        environment.update(settings, OPENRTC_OPS_TOKEN=TOKEN)
        command = [openrtc, "worker", "--json", "--deployment-version", version]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ready = json.loads(self.process.stdout.readline())
        self.calls, self.ops = (address(ready[of]) for of in ("calls", "ops"))

    def order(self, what):
        request = urllib.request.Request(f"http://{self.ops[0]}:{self.ops[1]}{what}", method="POST", data=b"",
                                         headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def phase(self):
        with urllib.request.urlopen(f"http://{self.ops[0]}:{self.ops[1]}/snapshot", timeout=PATIENCE) as answer:
            return json.load(answer)["phase"]

    def wait_for(self, phase):
        until = time.monotonic() + PATIENCE
        while self.phase() != phase and time.monotonic() < until:
            time.sleep(0.002)

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        return self.process.wait(PATIENCE)


class Call:
    """One end of a call. `fate` is what its caller saw."""

    def __init__(self, worker, name):
        self.name, self.fate = name, "up"
        self.socket = socket.create_connection(worker.calls, PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.send(OFFER, name.encode())
        self.taken = self.receive() == ACCEPT
        if self.taken:
            self.send(ASSIGN)
        else:
            self.fate = "declined"

    def send(self, kind, payload=b""):
        self.socket.sendall(struct.pack("<BH", kind, len(payload)) + payload)

    def receive(self):
        try:
            head = self.read(3)
            self.read(struct.unpack("<BH", head)[1])
            return head[0]
        except (OSError, EOFError):
            return None

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def talk(self):
        """So that the worker has taken the call up."""
        self.send(AUDIO, struct.pack("<I", 0) + b"\x55" * 160)
        if self.receive() != AUDIO:
            self.fate = "dropped"

    def hang_up(self):
        if self.fate != "up":
            return
        try:
            self.send(HANGUP)
        except OSError:
            self.fate = "dropped"
            return
        # Without a farewell nobody can know whether the hang-up was heard.
        self.fate = "hung up" if self.receive() == BYE else "unheard"

    def look(self):
        """What became of a call that its caller would have gone on with, once its worker is gone."""
        if self.fate == "up" and self.receive() in (CUT, None):
            self.fate = "dropped"


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Rollout:
    """From v1 to v2, with one fault."""

    def __init__(self, openrtc, number):
        self.openrtc, self.number, self.dice = openrtc, number, random.Random(number)
        self.fault = FAULTS[number % len(FAULTS)]
        self.home = tempfile.mkdtemp(prefix="certificates-")
        self.calls, self.green_calls, self.checks = [], [], []

    def run(self):
        try:
            self.start()
            self.roll()
            # Calls on the new worker go on, unless that was killed.
            ended = self.calls if self.green.process.poll() is None else self.calls + self.green_calls
            for call in ended:
                call.look()
            self.check("at the end")
            return self.outcome()
        finally:
            for worker in (getattr(self, "blue", None), getattr(self, "green", None)):
                if worker and worker.process.poll() is None:
                    worker.process.kill()
                    worker.process.wait()
            for call in self.calls + self.green_calls:
                call.socket.close()
            discard(self.home)

    def start(self):
        blue = {"OPENRTC_LEAVE": "parked"} if "cancel" in self.fault or self.dice.random() < 0.3 else {}
        if "rotate" in self.fault:
            blue["OPENRTC_JOURNAL_MAX_BYTES"] = str(self.dice.randrange(2_000, 20_000))
        if self.fault == "force":
            blue |= {"OPENRTC_DRAIN_TIMEOUT": "100ms", "OPENRTC_ON_DEADLINE": "force", "OPENRTC_FORCE_GRACE": "100ms"}
        if "full disk" in self.fault and not small_disk(os.path.join(self.home, "blue"), self.dice.randrange(2, 6) * 4):
            self.fault = "none"
        self.parked = "OPENRTC_LEAVE" in blue
        self.blue = Worker(self.openrtc, self.home, "blue", "v1", blue)
        self.green = Worker(self.openrtc, self.home, "green", "v2", {})
        for call in range(self.dice.randrange(1, 8)):
            self.call(self.blue, f"blue-{call}")
        if "rotate" in self.fault or "full disk" in self.fault:
            for call in range(self.dice.randrange(50, 250)):
                self.call(self.blue, f"short-{call}").hang_up()

    def call(self, worker, name):
        if worker.process.poll() is not None:
            return None
        call = Call(worker, name)
        (self.calls if worker is self.blue else self.green_calls).append(call)
        if call.taken:
            call.talk()
        return call

    def roll(self):
        fault, blue, dice = self.fault, self.blue, self.dice
        ups = [call for call in self.calls if call.fate == "up"]
        for call in range(dice.randrange(0, 4)):
            self.call(self.green, f"green-{call}")
        for call in ups[: dice.randrange(0, len(ups) + 1)]:
            call.hang_up()
        if fault in ("kill blue", "rotate and kill", "full disk and kill", "abort blue"):
            blue.order("/drain") if dice.random() < 0.5 else None
            blue.signal(signal.SIGABRT if fault == "abort blue" else signal.SIGKILL)
            blue.end()
            return
        if fault == "kill blue without calls":
            self.hang_up()
            blue.signal(signal.SIGKILL)
            blue.end()
            return
        if fault == "kill green":
            self.green.signal(signal.SIGKILL)
            self.green.end()
        self.damage()
        if "cancel" in fault:
            self.cancel()
            if fault == "cancel and kill":
                blue.signal(signal.SIGKILL)
                blue.end()
                return
        if fault == "restart":
            blue.signal(signal.SIGKILL)
            blue.end()
            for call in self.calls:
                call.look()
            self.calls = []
            self.blue = blue = Worker(self.openrtc, self.home, "blue", "v1", {})
            self.parked = False
            self.call(blue, "again")
        stays = self.parked and dice.random() < 0.5
        blue.order("/drain") if stays else blue.signal(signal.SIGTERM)
        for call in range(dice.randrange(0, 3)):
            self.call(self.green, f"late-{call}")
        if fault == "certify while it drains":
            self.check("while it drains")
        if fault != "force":
            self.hang_up()
        if stays:
            blue.wait_for("drained")
            self.check("while it is parked")
            blue.signal(signal.SIGTERM)
        blue.end()

    def damage(self):
        journal, segments = self.blue.journal, []
        if os.path.isdir(journal):
            segments = sorted(name for name in os.listdir(journal) if name.endswith(".orj"))
        first = os.path.join(journal, segments[0]) if segments else None
        match self.fault:
            case "delete directory":
                shutil.rmtree(journal)
            case "delete segment":
                os.remove(first)
            case "cut segment":
                os.truncate(first, self.dice.randrange(0, os.path.getsize(first)))
            case "move segment":
                os.rename(first, first + ".1")
            case "delete lock":
                os.remove(os.path.join(journal, "lock"))
        if self.fault.startswith(("delete", "cut", "move")) and self.dice.random() < 0.5:
            # Long enough for the worker to look, or not.
            time.sleep(1.2)

    def cancel(self):
        self.blue.order("/drain")
        if self.fault != "cancel early":
            self.hang_up()
            self.blue.wait_for("drained")
        self.blue.order("/drain/cancel")
        self.call(self.blue, "after the cancel")

    def hang_up(self):
        for call in self.calls:
            call.hang_up()

    def check(self, when):
        journals = [self.blue.journal, self.green.journal]
        if self.fault == "copy":
            copies = [journal + "-copy" for journal in journals]
            for journal, copy in zip(journals, copies):
                shutil.copytree(journal, copy, dirs_exist_ok=True)
            journals = copies
        out = os.path.join(self.home, "certificate.jsonl")
        command = [self.openrtc, "certify", "--retire", "v1", "--out", out, *journals]
        issued = subprocess.run(command, capture_output=True, text=True)
        if issued.returncode == 2:
            self.checks.append({"when": when, "verdict": "refused", "said": issued.stderr.strip()})
            return
        with open(out, encoding="utf-8") as lines:
            ledger = json.loads(lines.readline())
        standing = [worker["standing"] for worker in ledger["workers"] if worker["role"] == "retired"]
        gaps = sorted({untold["gap"] for untold in ledger["unknown"]})
        self.checks.append({"when": when, "verdict": ledger["verdict"], "standing": standing, "gaps": gaps})
        dropped = [call for call in self.calls + self.green_calls if call.fate == "dropped"]
        named = {call["id"] for call in ledger["calls"] if call["end"] in ("drain_forced", "platform_forced")}
        fates = {call.name: call.fate for call in self.calls + self.green_calls}
        check = self.checks[-1]
        if ledger["verdict"] == "proven" and dropped:
            check["wrong"] = "proven, but dropped: " + ", ".join(call.name for call in dropped)
        elif ledger["verdict"] == "dropped" and all(fates.get(name) in ("hung up", "declined") for name in named):
            check["wrong"] = "dropped, but these ended well: " + ", ".join(sorted(named))

    def outcome(self):
        fates = collections.Counter(call.fate for call in self.calls)
        return {"fault": self.fault, "fates": fates, "checks": self.checks}


def summary(results):
    verdicts, wrong, why = collections.Counter(), [], collections.Counter()
    for line in results:
        if "broke" in line:
            wrong.append(f"rollout {line['number']} broke: {line['broke']}")
        for check in line.get("checks", []):
            verdicts[check["verdict"]] += 1
            if check["verdict"] in ("open", "unknown", "refused"):
                rests = ",".join(check.get("standing", [])), ",".join(check.get("gaps", []))
                why[f"{check['verdict']:8} {line['fault']:26} {check['when']:20} {' '.join(rests)}"] += 1
            if "wrong" in check:
                wrong.append(f"rollout {line['number']} ({line['fault']}) {check['when']}: {check['wrong']}")
    print(f"{len(results)} rollouts; certificates: " + ", ".join(f"{count} {what}" for what, count in verdicts.most_common()))
    for what, count in sorted(why.items()):
        print(f"{count:6}  {what}")
    for line in wrong:
        print("WRONG:", line)
    print(f"wrong certificates: {len(wrong)}")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("openrtc")
    parser.add_argument("results")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=60)
    args = parser.parse_args()
    isolate()
    openrtc, results = os.path.abspath(args.openrtc), Results(args.results)
    for _ in results.complete(0, args.count, args.minutes, lambda number: Rollout(openrtc, number).run()):
        pass
    return summary(results.all())


if __name__ == "__main__":
    sys.exit(main())
