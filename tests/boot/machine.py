# SPDX-License-Identifier: BSD-2-Clause
"""Boots a case in the test machine and judges it by its checks.

A check is a shell script that runs in dom0 and a function that judges what it printed; without a
script it judges the machine's logs. A case is a machine and, for each time that it boots, a list of
checks and how dom0 leaves: "poweroff", or a command that makes the machine start again.
"""

import json
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import tap

TOOLS = Path(__file__).resolve().parents[2] / "tools"
STEP_SECONDS = 300
LOGS = ("hypervisor.log", "serial.log")

JOB = """
PATH=$PATH:/share
for step in /share/steps/boot$LUVALLEY_BOOT-*; do
    [ -e "$step" ] || continue
    name=${step##*/} start=$EPOCHREALTIME
    echo; echo "@step $name"
    timeout --kill-after=5 %d bash "$step" 2>&1
    status=$?
    echo; echo "@status $name $status $start $EPOCHREALTIME"
done
[ -e /share/steps/leave$LUVALLEY_BOOT ] && . /share/steps/leave$LUVALLEY_BOOT
""" % STEP_SECONDS


class Failed(Exception):
    """What a check expected and did not find."""


@dataclass
class Check:
    name: str
    script: str
    judge: Callable[["Trial"], None]


def check(name, script=""):
    return lambda judge: Check(name, script, judge)


@dataclass
class Boot:
    checks: list[Check]
    leave: str = "poweroff"


@dataclass
class Case:
    name: str
    options: dict[str, str]
    boots: list[Boot] = field(default_factory=list)
    seconds: int = 240
    # For machines that Luvalley refuses: the sentence on the screen that ends the case.
    refusal: str = ""
    # Makes files that options name, in the case's folder.
    prepare: Callable[[Path, Path], None] = lambda build, folder: None
    # Judged after everything, whatever the boots left.
    at_end: list[Check] = field(default_factory=list)
    slow: bool = False
    # For a dom0 that speaks TAP on COM1 and powers off (tests/boot/bare): the tests that must pass, by
    # their names; the others must fail.
    tap: str = ""

    @property
    def uefi(self):
        return self.options.get("firmware", "bios") != "bios"

    @property
    def cpus(self):
        return int(self.options.get("smp", 2))

    @property
    def memory_kib(self):
        size = self.options.get("mem", "1024M")
        return int(size[:-1]) * {"M": 1 << 10, "G": 1 << 20}[size[-1]]

    @property
    def vendor(self):
        return "vmx" if self.options.get("cpu", "").startswith("vmx") else "svm"

    @property
    def in_bochs(self):
        return self.vendor == "vmx"

    @property
    def has_luvalley(self):
        return self.options.get("hypervisor") != "none"


@dataclass
class Trial:
    """What a check judges."""
    case: Case
    logs: Path
    output: str = ""
    status: int = 0
    machine_status: int | None = None

    def log(self, name):
        try:
            return (self.logs / name).read_bytes().decode(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    @property
    def lines(self):
        return self.output.strip().splitlines()

    def succeeded(self):
        expect(self.status == 0, f"exit status {self.status}: {last_words(self.output)}")

    def json(self):
        self.succeeded()
        try:
            return json.loads(self.output)
        except ValueError as error:
            raise Failed(f"no JSON ({error}): {last_words(self.output)}") from None


def must_fail(one):
    """The check, for a machine that lacks what it looks for."""
    def judge_failure(trial):
        try:
            one.judge(trial)
        except Failed:
            return
        raise Failed("it passed, although this machine lacks what it looks for")

    return Check(f"{one.name} (fails here)", one.script, judge_failure)


def expect(condition, message):
    if not condition:
        raise Failed(message)


def last_words(text, limit=300):
    words = " ".join(text.split())
    return words if len(words) <= limit else "… " + words[-limit:]


def squeezed(text):
    """Without white space: the screen cuts lines anywhere."""
    return re.sub(r"\s", "", text)


# --- running -------------------------------------------------------------------------------------

@dataclass
class Result:
    name: str
    why: str = ""  # empty: passed
    seconds: float = 0


def write_job(case, build, folder):
    share = folder / "share"
    steps = share / "steps"
    steps.mkdir(parents=True)
    for program in (build / "dom0").iterdir():
        if not program.suffix:
            shutil.copy(program, share)
    for number, boot in enumerate(case.boots, 1):
        for index, one in enumerate(boot.checks):
            if one.script:
                (steps / f"boot{number}-{index:02}").write_text(one.script + "\n")
        (steps / f"leave{number}").write_text(boot.leave + "\n")
    return share


def machine_command(case, build, folder):
    words = [TOOLS / "machine", "--elf", build / "luvalley.elf", "--logs", folder,
             "--timeout", case.seconds]
    if not case.in_bochs:
        words += ["--display-text", folder / "display.txt"]
    if not case.tap:
        words += ["--run", "true" if case.refusal else JOB]
    if not case.refusal and not case.tap:
        words += ["--share", write_job(case, build, folder)]
    for name, value in case.options.items():
        words += [f"--{name.replace('_', '-')}", *([value.format(folder=folder, build=build)] if value else [])]
    return [str(word) for word in words]


def end_when_refused(case, machine, trial):
    """The machine waits for a key then; it is ended as soon as the sentence is complete."""
    deadline = time.monotonic() + case.seconds
    while machine.poll() is None and time.monotonic() < deadline:
        if any("Press a key to restart." in trial.log(name) for name in LOGS):
            time.sleep(0.3)
            break
        time.sleep(0.1)
    if machine.poll() is None:
        machine.send_signal(signal.SIGTERM)


def run_machine(case, build, folder):
    trial = Trial(case, folder)
    with open(folder / "output.txt", "wb") as output:
        machine = subprocess.Popen(machine_command(case, build, folder), stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT)
        try:
            if case.refusal:
                end_when_refused(case, machine, trial)
            trial.machine_status = machine.wait(case.seconds + 60)
        finally:
            if machine.poll() is None:
                machine.terminate()
                machine.wait()
    return trial


def steps_of(output):
    """{step: (output, status, seconds)}"""
    found = re.findall(r"^@step (\S+)\n(.*?)\n?^@status \1 (\d+) ([\d.]+) ([\d.]+)$", output, re.M | re.S)
    return {name: (text, int(status), float(end) - float(start))
            for name, text, status, start, end in found}


def judge(case, one, trial, seconds):
    label = f"{case.name}: {one.name}"
    try:
        one.judge(trial)
    except Failed as failed:
        return Result(label, str(failed), seconds)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        return Result(label, f"cannot be judged ({error!r}): {last_words(trial.output)}", seconds)
    return Result(label, "", seconds)


def judge_boots(case, trial):
    steps = steps_of(trial.log("output.txt"))
    for number, boot in enumerate(case.boots, 1):
        for index, one in enumerate(boot.checks):
            name = f"boot{number}-{index:02}"
            if one.script and name not in steps:
                yield Result(f"{case.name}: {one.name}", "it was not reached, or did not end")
                continue
            trial.output, trial.status, seconds = steps.get(name, ("", 0, 0))
            yield judge(case, one, trial, seconds)


def judge_tap(case, trial):
    plan, tests = tap.read(trial.log("output.txt"))  # QEMU may repeat characters in serial.log
    for name, passed, notes in tests:
        why = "" if passed else notes or "not ok"
        if not re.search(case.tap, name):
            why = "it passed, although this machine lacks what it looks for" if passed else ""
        yield Result(f"{case.name}: {name}", why)
    if not tests or plan != len(tests):
        yield Result(f"{case.name}: ends well", f"after {len(tests)} of {plan} tests: "
                     + last_words(trial.log("output.txt")))


def run_case(case, build, folder):
    """The results of the case's checks; its files stay in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.monotonic()
    case.prepare(build, folder)
    trial = run_machine(case, build, folder)
    results = list(judge_boots(case, trial))
    if case.tap:
        results += judge_tap(case, trial)
    trial.output, trial.status = "", 0
    seconds = time.monotonic() - start
    return results + [judge(case, one, trial, seconds) for one in case.at_end]
