# SPDX-License-Identifier: BSD-2-Clause
"""Has QEMU write down round trips of one row after another, in one boot.

bench-luv and bench-kvm turn in a row for ever (spin-ROW in tests/bench/init); a line on the console ends it, and the
next row begins.
"""

import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import image
import machine
import turns

LOG_BYTES = 20 << 20
BOOT_SECONDS = 300
TRIES = 10


class Monitor:
    def __init__(self, connection):
        self.stream = connection.makefile("rw")
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, name, **values):
        self.stream.write(json.dumps({"execute": name, "arguments": values}) + "\n")
        self.stream.flush()
        while "return" not in (answer := json.loads(self.stream.readline() or '{"error": {"desc": "QEMU ended"}}')):
            if "error" in answer:
                raise image.Failure(f"{name}: {answer['error']['desc']}")

    def human(self, line):
        self.ask("human-monitor-command", **{"command-line": line})


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise image.Failure(f"no {what} within {seconds} s")
        time.sleep(0.1)


class Recorder:
    """QEMU with its monitor and its console on sockets."""

    def __init__(self, arguments):
        self.output = b""
        ours, theirs = zip(socket.socketpair(), socket.socketpair())
        words = list(machine.MACHINE)
        del words[words.index("-monitor"):words.index("-monitor") + 2]
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *words,
                   "-chardev", f"socket,id=monitor,fd={theirs[0].fileno()}", "-mon", "chardev=monitor,mode=control",
                   "-chardev", f"socket,id=console,fd={theirs[1].fileno()}",
                   "-serial", "chardev:console", *map(str, arguments)]
        self.qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, pass_fds=[end.fileno() for end in theirs])
        for end in theirs:
            end.close()
        self.console = ours[1]
        self.monitor = Monitor(ours[0])

    def said(self):
        self.console.setblocking(False)
        try:
            while data := self.console.recv(65536):
                self.output += data
        except BlockingIOError:
            return self.output.decode(errors="replace")
        raise image.Failure(f"QEMU ended: {self.output[-300:].decode(errors='replace')}")

    def record(self, log):
        """What the machine executes from now on, until the log is long enough."""
        self.monitor.human("stop")
        self.monitor.human("singlestep on")
        self.monitor.human(f"logfile {log}")
        self.monitor.human("log exec,cpu,nochain,in_asm")
        self.monitor.human("cont")
        wait_for(lambda: log.exists() and log.stat().st_size > LOG_BYTES, 120, "trace")
        self.monitor.human("stop")
        self.monitor.human("log none")
        self.monitor.human("singlestep off")

    def next(self):
        self.monitor.human("cont")
        self.console.setblocking(True)
        self.console.sendall(b"\n")

    def end(self):
        self.qemu.kill()
        self.qemu.wait()


def spinning(text, number):
    """Whether the row of that number, from 1, turns by now."""
    if "@failed" in text:
        raise image.Failure(text[text.index("@failed"):].splitlines()[0])
    return text.count("@spinning") >= number


def trace(files, system, rows):
    """{row: [Step] of its shortest turn}; the system is kvm or luvalley."""
    found, texts = {}, {}
    if system == "kvm":
        words, boot = ["modules", *(f"kvm-spin-{row}" for row in rows)], machine.bare
        start = [files.kernel]
    else:
        words = [f"{'face' if turns.is_face(row) else 'luv'}-spin-{row}" for row in rows]
        boot, start = machine.luvalley, [files.elf, files.kernel]
    arguments = boot(*start, files.initramfs(), machine.append(",".join(words)))
    hypervisor = None if system == "kvm" else turns.Code(files.build / "luvalley.debug")
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(arguments)
        try:
            for number, row in enumerate(rows, 1):
                wait_for(lambda: spinning(recorder.said(), number), BOOT_SECONDS, f"@spinning of {row}")
                found[row] = turn_of(files, row, recorder, Path(folder, "log"), texts, hypervisor)
                recorder.next()
        finally:
            recorder.end()
    return found


def turn_of(files, row, recorder, log, texts, hypervisor):
    """Where the host is slow, the first look comes before the first turns."""
    for _ in range(TRIES):
        time.sleep(0.5)  # until it is warm
        recorder.record(log)
        steps = list(turns.qemu_steps(log, texts))
        log.unlink()
        turns.name_steps(steps, hypervisor, turns.Programs(files, row, recorder.said()))
        if turn := turns.shortest_turn(steps):
            return turn
        recorder.monitor.human("cont")
    raise image.Failure(f"{row}: no round trip in the trace")
