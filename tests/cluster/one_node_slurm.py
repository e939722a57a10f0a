"""A Slurm cluster of one node, on the loopback, in a folder of its own: for tests by hand, as root on Linux.

Needs slurmctld, slurmd, slurm-client and munge (Debian's packages have these names).
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")

_PATIENCE_SECONDS = 60

_CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A job that is queued again may start as soon as its credential is over.
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=5,sched_min_interval=0
ReturnToService=2
KillWait=20
MessageTimeout=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing_programs() -> list[str]:
    """What this machine lacks for a cluster."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


@contextmanager
def one_node_cluster(folder: Path, cpus: int) -> Iterator[dict[str, str]]:
    """While entered, the cluster runs, with so many cores whatever the machine has.

    Args:
        folder: for keys, state and logs; that user `munge` can get to.

    Yields:
        The environment in which Slurm's commands find it.
    """
    host = socket.gethostname().partition(".")[0]
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True)
    settings = {"host": host, "port": _free_port(), "node_port": _free_port(), "folder": folder, "cpus": cpus}
    configuration = folder / "slurm.conf"
    configuration.write_text(_CONFIGURATION.format(**settings))
    environment = os.environ | {
        "SLURM_CONF": str(configuration),
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
    }
    daemons = [_start_munge(folder / "munge")]
    try:
        daemons.append(
            _start(["slurmctld", "-D", "-c", "-f", str(configuration)], environment, folder / "slurmctld.out")
        )
        daemons.append(
            _start(["slurmd", "-D", "-N", host, "-f", str(configuration)], environment, folder / "slurmd.out")
        )
        _wait_for_node(environment)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _start_munge(folder: Path) -> "subprocess.Popen[bytes]":
    """The daemon that signs messages, as its own user: it refuses root's folders."""
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    user = pwd.getpwnam("munge")
    for path in (folder, key):
        os.chown(path, user.pw_uid, user.pw_gid)
    folder.chmod(0o711)
    key.chmod(0o400)
    command = ["munged", "--foreground", "--force", f"--socket={folder}/socket", f"--key-file={key}"]
    command += [f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed"]
    daemon = subprocess.Popen(
        [shutil.which("munged", path="/usr/sbin:/sbin") or command[0], *command[1:]],
        user=user.pw_uid,
        group=user.pw_gid,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (folder / "socket").exists():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"munged does not start: {folder / 'log'} says why")
        time.sleep(0.1)
    return daemon


def _start(command: list[str], environment: dict[str, str], output: Path) -> "subprocess.Popen[bytes]":
    program = shutil.which(command[0], path=environment["PATH"])
    assert program is not None
    with open(output, "wb") as file:
        return subprocess.Popen([program, *command[1:]], env=environment, stdout=file, stderr=file)


def _wait_for_node(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        shown = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
        if shown.stdout.strip() == "idle":
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the node does not come up: {shown.stdout}{shown.stderr}")
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
