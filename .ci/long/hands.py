"""What is done to the workers of a rollout while it goes on."""

import collections
import os
import random
import re
import shutil
import signal
import socket
import threading
import time

from machine import enlarge, files_below, meddle

# Every signal that is no order and that a worker has to shrug off (docs/signals.md).
HARMLESS = ("HUP", "USR1", "USR2", "PIPE", "ALRM", "VTALRM", "XCPU", "XFSZ", "IO", "STKFLT", "TSTP", "TTIN", "TTOU", "CHLD",
            "CONT", "URG", "WINCH")
DEEDS = ("rename", "delete", "truncate", "copy and truncate")
NONSENSE = (b"", b"GET", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"POST /drain/force HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\xff" * 400, b"GET /snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
# What a probe may take before it counts as unanswered: this is no measurement, both cores may be busy.
PROBE = 20


class Hands:
    """Threads that do what the surroundings' faults say, to workers that are ready and have not left."""

    def __init__(self, dice, surroundings, home, directory):
        self.surroundings, self.home, self.directory = surroundings, home, directory
        self.problems, self.deeds, self.probes = [], [], collections.Counter()
        self.ready, self.ordered, self.early = set(), set(), set()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = []
        faults = surroundings.faults
        for fault, one in (("signals", self.storm), ("repeated orders", self.repeat), ("early order", self.order_early),
                           ("flood", self.flood), ("somebody at the journal", self.rotate_journal),
                           ("somebody at the trail", self.rotate_trail), ("somebody at the log", self.rotate_log),
                           ("log", self.leave_pipe), ("full disk", self.make_room)):
            for name, how in faults.get(fault, {}).items():
                self.start(one, random.Random(dice.random()), name, how)
        for name in surroundings.names:
            self.start(self.probe, random.Random(dice.random()), name, None)

    def start(self, one, dice, name, how):
        thread = threading.Thread(target=one, args=(dice, name, how), daemon=True)
        self.threads.append(thread)
        thread.start()

    def hear(self, line):
        """The demo says how far it is."""
        found = re.search(r"workers of (v\d) are ready", line)
        if found:
            self.ready |= self.of(found[1])
        if "SIGTERM to every v1 worker" in line:
            self.ordered |= self.of("v1")
        if "stopping the new version" in line:
            self.ordered |= self.of("v2")

    def of(self, version):
        colour = {"v1": "blue", "v2": "green"}[version]
        return {name for name in self.surroundings.names if name.startswith(colour)}

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        for reader in self.surroundings.pipes.values():
            os.close(reader)

    def did(self, *words):
        with self.lock:
            self.deeds.append(" ".join(words))

    # --- whoever is there ---

    def pid(self, name):
        """The worker's process, if it is ready and has not left."""
        if name not in self.ready:
            return None
        with open(os.path.join(self.home, f"{name}.pid"), encoding="utf-8") as file:
            pid = int(file.read())
        return pid if is_running(pid) else None

    def wait_until(self, condition):
        while not self.over.is_set() and not condition():
            self.over.wait(0.005)
        return not self.over.is_set()

    def wait_for(self, name):
        """Waits until a worker is ready. None if the rollout is over before."""
        return self.pid(name) if self.wait_until(lambda: name in self.ready) else None

    def send(self, name, what):
        pid = self.pid(name)
        if pid:
            os.kill(pid, getattr(signal, f"SIG{what}"))
        return bool(pid)

    # --- what they do ---

    def storm(self, dice, name, every_ms):
        self.wait_for(name)
        while self.send(name, dice.choice(HARMLESS)):
            self.over.wait(every_ms / 1_000)

    def repeat(self, dice, name, what):
        """Supervisors repeat their stop signal, and some use SIGINT."""
        if self.wait_until(lambda: name in self.ordered):
            while self.send(name, dice.choice(("TERM", "INT") if what == "both" else (what,))):
                self.over.wait(dice.choice((0.001, 0.05, 0.7)))

    def order_early(self, dice, name, what):
        if self.wait_for(name):
            self.over.wait(dice.random() * 0.5)
            if name not in self.ordered and self.send(name, what):
                self.early.add(name)
                self.did("early", what, "to", name)

    def leave_pipe(self, dice, name, how):
        if how == "leaves" and self.wait_for(name):
            self.over.wait(dice.random())
            os.close(self.surroundings.pipes.pop(name))
            self.did("the reader of the log of", name, "left")

    def make_room(self, dice, name, _):
        """Half of the disks that fill up get room again."""
        if dice.random() < 0.5 and self.wait_for(name):
            self.over.wait(0.3 + dice.random() * 2)
            enlarge(os.path.join(self.directory, name), 4_096)
            self.did("room for", name)

    def rotate_journal(self, dice, name, times):
        journal = os.path.join(self.directory, name)
        for _ in range(times):
            self.over.wait(dice.random())
            if not self.pid(name):
                continue
            if dice.random() < 0.2:
                # A disk of its own cannot be moved, only emptied.
                shutil.rmtree(journal, ignore_errors=True)
                self.did("delete all of", name)
            else:
                self.meddle(dice, files_below(journal), name)

    def rotate_trail(self, dice, name, times):
        for _ in range(times):
            self.over.wait(dice.random())
            trail = os.path.join(self.directory, f"{name}.audit.jsonl")
            if self.pid(name) and os.path.exists(trail):
                self.meddle(dice, [trail], name)

    def rotate_log(self, dice, name, path):
        while self.wait_for(name) and self.pid(name):
            self.over.wait(dice.random() / 2)
            self.meddle(dice, [path], name)

    def meddle(self, dice, files, name):
        files = [file for file in files if not file.endswith(".old")]
        if files:
            file, deed = dice.choice(files), dice.choice(DEEDS)
            if meddle(file, deed):
                self.did(deed, os.path.basename(file), "of", name)

    def flood(self, dice, name, connections):
        """Strangers who say nothing, nonsense, or half of something, and stay."""
        pid, held = self.wait_for(name), []
        if not pid:
            return
        ports = listening(pid)
        while ports and self.pid(name) and not self.over.is_set():
            try:
                stranger = socket.create_connection(("127.0.0.1", dice.choice(ports)), 5)
                stranger.sendall(dice.choice(NONSENSE))
                held.append(stranger)
            except OSError:
                self.over.wait(0.02)
            if len(held) >= connections:
                held.pop(dice.randrange(len(held))).close()
        for stranger in held:
            stranger.close()

    def probe(self, dice, name, _):
        """Liveness is answered for as long as the process is there."""
        pid = self.wait_for(name)
        ops = pid and next((port for port in listening(pid) if is_live(port)), None)
        while ops and not self.over.wait(0.05 + dice.random() / 10):
            if is_live(ops):
                self.probes["answered"] += 1
                continue
            # It has closed its listeners, and is about to be gone.
            self.over.wait(2)
            if self.pid(name):
                self.problems.append(f"{name}: it runs, and /livez was not answered")
            return


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def listening(pid):
    """The ports that a process listens on."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        with open(f"/proc/{pid}/net/tcp", encoding="utf-8") as table:
            rows = [line.split() for line in table][1:]
    except OSError:
        return []
    return sorted(int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in links)


def is_live(port):
    try:
        with socket.create_connection(("127.0.0.1", port), PROBE) as probe:
            probe.settimeout(PROBE)
            probe.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return probe.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
