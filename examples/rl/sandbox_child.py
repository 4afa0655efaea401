"""The inside of the sandbox: give up every right, then run the program. Started by `sandbox.py`.

    python -I -S -B sandbox_child.py PROGRAM CPU_S MEMORY_BYTES OUTPUT_BYTES

The order matters: what needs a right comes before it is given up, and nothing can be taken back.
Numbers are those of the kernel's headers: linux/landlock.h, linux/seccomp.h, linux/filter.h and the
system call tables.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
import sysconfig

UNAVAILABLE = 97
LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_VERSION, LANDLOCK_PATH_BENEATH = 1, 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many kinds of access each version knows; what is not handled is not denied."""

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the table below, and the number by which the kernel's filters know it."""
FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # Start, signal, inspect or slow down processes.
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    # Connect; io_uring has sockets of its own.
    "socket": (41, 198),
    "socketpair": (53, 199),
    "io_uring_setup": (425, 425),
    # Change what Landlock leaves alone: modes, owners, times and attributes of files.
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "truncate": (76, 45),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
CAPSET = (126, 91)
CAPABILITY_VERSION = 0x20080522
X32_BIT = 0x40000000
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06


def give_up(reason: str) -> None:
    """End the process without running the program."""
    sys.stderr.write(f"{reason} (errno {ctypes.get_errno()})")
    sys.stderr.flush()
    os._exit(UNAVAILABLE)


def limit(cpu_s: int, memory_bytes: int, output_bytes: int) -> None:
    """Set the rlimits; hard ones, which cannot be raised again."""
    for kind, value in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def drop_capabilities() -> None:
    """Leave root, if it is root, with no more rights than the owner of its files."""
    column, _ = ARCHITECTURES[platform.machine()]
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    if LIBC.syscall(CAPSET[column], header, bytes(24)):
        give_up("the process cannot drop its capabilities")


def close_files() -> None:
    """Deny every access to files, but reading below Python's library and the system's."""
    version = LIBC.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION)
    if version < 1:
        give_up("Landlock is not available")
    file_rights = (1 << FILE_RIGHTS_BY_ABI[min(version, max(FILE_RIGHTS_BY_ABI))]) - 1
    net_rights, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    # Older kernels take a longer record whose unknown part is 0.
    attributes = struct.pack("=QQQ", file_rights, net_rights, scopes)
    ruleset = LIBC.syscall(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        give_up("Landlock refused the rules")
    for folder in {sysconfig.get_path("stdlib"), "/lib", "/lib64", "/usr/lib", "/usr/lib64"}:
        if os.path.isdir(folder):
            handle = os.open(folder, os.O_PATH)
            rule = struct.pack("=Qi", READ_FILE | READ_DIR, handle)
            if LIBC.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, rule, 0):
                give_up(f"Landlock refused {folder}")
            os.close(handle)
    if LIBC.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0):
        give_up("Landlock refused the process")
    os.close(ruleset)


def close_system_calls() -> None:
    """Make the forbidden calls fail with EPERM; a call of another architecture ends the process."""
    column, architecture = ARCHITECTURES[platform.machine()]
    calls = [number for row in FORBIDDEN.values() if (number := row[column]) is not None]
    # Each instruction: operation, steps if true, steps if false, operand.
    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    program += [(AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, KILL)]
    for call in calls:
        program += [(EQUAL, 0, 1, call), (RETURN, 0, 0, DENY)]
    program.append((RETURN, 0, 0, ALLOW))
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
        give_up("seccomp is not available")


def main() -> None:
    """Read the program, give up the rights, run it as `__main__`."""
    path, *numbers = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        source = file.read()
    if platform.machine() not in ARCHITECTURES:
        give_up(f"no list of system calls for {platform.machine()}")
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        give_up("the process cannot give up privileges")
    limit(*map(int, numbers))
    drop_capabilities()
    close_files()
    close_system_calls()
    sys.argv = ["program.py"]
    exec(compile(source, "program.py", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
