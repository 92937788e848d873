"""What the runners here share: what is done to a machine, its disks and files."""

import os
import shutil
import signal
import subprocess
import sys


def isolate():
    """Begins again in a mount namespace of its own: what is mounted goes with the runner. Where that is not allowed,
    nothing can be mounted."""
    if "OPENRTC_ISOLATED" in os.environ:
        return
    unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    allowed = subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0
    os.environ["OPENRTC_ISOLATED"] = "yes" if allowed else "no"
    if allowed:
        os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def small_disk(at, kilobytes):
    """Makes a directory a disk of its own. Whether that is allowed."""
    os.makedirs(at, exist_ok=True)
    if os.environ.get("OPENRTC_ISOLATED") != "yes":
        return False
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", at], capture_output=True, check=False)
    return done.returncode == 0


def enlarge(at, kilobytes):
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", at], capture_output=True, check=False)


def discard(directory):
    """Removes a directory, and the disks in it."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        mounted = [line.split()[1].replace("\\040", " ") for line in mounts]
    for at in mounted:
        if at.startswith(directory + "/"):
            subprocess.run(["umount", "--lazy", at], check=False)
    shutil.rmtree(directory, ignore_errors=True)


def wait_or_kill(leader, seconds):
    """What the leader of a session leaves with. One that takes too long is killed, and so is one whose runner stops."""
    try:
        return leader.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"none: it took longer than {seconds:.0f} s"
    finally:
        if leader.poll() is None:
            os.killpg(leader.pid, signal.SIGKILL)
            leader.wait()


def files_below(directory):
    return sorted(os.path.join(at, name) for at, _, names in os.walk(directory) for name in names)


def meddle(file, deed):
    """Does to a file what a log rotator, a cleaner or a careless hand does. Whether it was there."""
    try:
        match deed:
            case "rename":
                os.rename(file, file + ".old")
            case "delete":
                os.remove(file)
            case "truncate":
                os.truncate(file, os.path.getsize(file) // 2)
            case "copy and truncate":
                shutil.copyfile(file, file + ".old")
                os.truncate(file, 0)
    except OSError:
        return False
    return True
