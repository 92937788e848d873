"""A program that takes calls and knows nothing of the host in front of it. The first byte of a call says what it does.

Variables: SIGNALS, a file that each signal's name is written to; WAYS, words for how it behaves at its start and its
end.
"""
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ways = os.environ.get("WAYS", "").split()


def on_signal(number, _):
    with open(os.environ["SIGNALS"], "a") as file:
        file.write(signal.Signals(number).name + "\n")
    if "stubborn" not in ways:
        os._exit(0)


if "SIGNALS" in os.environ:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)


def state():
    """What a program can see of how it was started."""
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
    descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    own = os.open("/proc/self/fd", os.O_RDONLY)
    os.close(own)
    return {
        "blocked": status["SigBlk"].strip(),
        "ignored": status["SigIgn"].strip(),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        # The last one is that of the listing.
        "descriptors": [number for number in descriptors if number < own],
        "environment": sorted(os.environ),
        "session": os.getsid(0) == os.getpid(),
        "terminal": os.isatty(0) or os.isatty(1),
    }


def serve(call):
    way = call.recv(1)
    if way == b"e":
        while data := call.recv(65536):
            call.sendall(data)
    elif way == b"t":  # Talks on when the caller has closed its direction.
        while call.recv(65536):
            pass
        for number in range(5):
            time.sleep(0.05)
            call.sendall(b"part %d\n" % number)
    elif way == b"q":  # Says a lot, and closes.
        call.sendall(b"q" * 300_000)
    elif way == b"f":  # Says more than anybody reads.
        while True:
            call.sendall(b"f" * 65536)
    elif way == b"r":  # Resets.
        call.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif way == b"w":  # Says how the call ended, in a file.
        try:
            end = "closed" if call.recv(1) == b"" else "data"
        except ConnectionResetError:
            end = "reset"
        with open(os.environ["SIGNALS"], "a") as file:
            file.write(end + "\n")
    elif way == b"z":  # Refuses connections for a moment.
        listener.shutdown(socket.SHUT_RDWR)
    elif way == b"x":  # Crashes.
        os._exit(7)
    elif way == b"s":
        call.sendall(json.dumps(state()).encode())
    elif way == b"v":
        call.sendall(os.environ["OPENRTC_DEPLOYMENT_VERSION"].encode())
    elif way == b"o":  # Writes what nobody can read as fast.
        for _ in range(200):
            os.write(1, b"o" * 500_000)
        for _ in range(200_000):
            os.write(2, b"a line\n")
        os.close(1)
        os.close(2)
        call.sendall(b"done")
    call.close()


def serve_http(call):
    seen = b""
    while b"\r\n\r\n" not in seen:
        if not (data := call.recv(65536)):
            return
        seen += data
    head, rest = seen.split(b"\r\n\r\n", 1)
    path = head.split(b" ")[1]
    if path.startswith(b"/ws"):
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        call.sendall(answer + b"first" + rest)
        while data := call.recv(65536):
            call.sendall(data)
            if data.startswith(b"\x88"):  # Its close frame is answered; the server is the one that closes.
                break
    elif path == b"/mute":  # Neither a yes nor a no.
        call.recv(65536)
    elif path == b"/wait":  # Takes its time: half of the answer, and the other half when the test says so.
        no = b"403 Forbidden" if b"websocket" in head else b"200 OK"
        call.sendall(b"HTTP/1.1 " + no + b"\r\nContent-Length: 8\r\n\r\nhalf")
        while not os.path.exists(os.environ["SIGNALS"] + ".go"):
            time.sleep(0.02)
        call.sendall(b"done")
    elif path == b"/deny":
        call.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        while data := call.recv(65536):
            with open(os.environ["SIGNALS"], "a") as file:
                file.write(repr(data) + "\n")
    else:
        said = {b"/version": os.environ["OPENRTC_DEPLOYMENT_VERSION"].encode()}.get(path, head + b"\r\n")
        call.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
    call.close()


def listen(port):
    global listener
    while True:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        try:
            accept(listener)
        except OSError:
            listener.close()
            time.sleep(0.3)


def accept(listener):
    while True:
        call, _ = listener.accept()
        call.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve_http if "http" in ways else serve, args=(call,), daemon=True).start()


port = int(os.environ["PORT"])
if "leaves" in ways:
    sys.exit(0)
if "fails" in ways:
    sys.exit("no such model")
if "deaf" in ways:
    time.sleep(3600)
if "background" in ways:
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.01)
if "foreign" in ways:  # Whoever it is, it was not told to listen there.
    foreign = "import socket, sys, time; held = socket.create_server((\"127.0.0.1\", int(sys.argv[1]))); time.sleep(20)"
    subprocess.Popen([sys.executable, "-c", foreign, str(port)], env={}, start_new_session=True)
    time.sleep(3600)
if "daemon" in ways or "stray" in ways:  # What listens has left the session.
    with open(os.environ["SIGNALS"], "a") as file:
        file.write("started\n")
    if not os.fork():
        os.setsid()
        threading.Timer(60, lambda: os._exit(0)).start()
        listen(port)
    if "daemon" in ways:
        os._exit(0)
    time.sleep(3600)
if "child" in ways:
    subprocess.Popen(["sleep", "3600"])
if "prefork" in ways:  # Two processes that serve, and a first one that does not.
    shared = socket.create_server(("127.0.0.1", port))
    if os.fork() and os.fork():
        time.sleep(3600)
    accept(shared)
listen(port)
