"""System calls a jailed reader may make, as `name:x86_64:aarch64` (`-` where an architecture lacks it).

Everything that is absent is refused. Left out on purpose, besides sockets, processes, mounts and
keys: calls that change metadata by path (chmod, chown, setxattr, utimes, truncate) and inotify,
because Landlock does not govern them; splice, vmsplice, userfaultfd, memfd_create and System V
IPC, because exploits want them and readers do not. Numbers are from the kernel's own tables
(`arch/x86/entry/syscalls/syscall_64.tbl`, `include/uapi/asm-generic/unistd.h`).
"""

from __future__ import annotations

__all__ = ["CHECKED", "PLAIN", "table"]

PLAIN = """
read:0:63 write:1:64 pread64:17:67 pwrite64:18:68 readv:19:65 writev:20:66 preadv:295:69 pwritev:296:70
preadv2:327:286 pwritev2:328:287 lseek:8:62 close:3:57 close_range:436:436 dup:32:23 dup2:33:- dup3:292:24 pipe:22:-
pipe2:293:59 flock:73:32 fsync:74:82 fdatasync:75:83 sync_file_range:277:84 ftruncate:77:46 fallocate:285:47
fadvise64:221:223 readahead:187:213 sendfile:40:71 copy_file_range:326:285 open:2:- openat:257:56 openat2:437:437
stat:4:- fstat:5:80 lstat:6:- newfstatat:262:79 statx:332:291 access:21:- faccessat:269:48 faccessat2:439:439
readlink:89:- readlinkat:267:78 getdents:78:- getdents64:217:61 getcwd:79:17 chdir:80:49 fchdir:81:50 mkdir:83:-
mkdirat:258:34 rmdir:84:- unlink:87:- unlinkat:263:35 rename:82:- renameat:264:38 renameat2:316:276 statfs:137:43
fstatfs:138:44 umask:95:166 mmap:9:222 munmap:11:215 mremap:25:216 mprotect:10:226 madvise:28:233 msync:26:227
brk:12:214 mincore:27:232 mlock:149:228 munlock:150:229 mlock2:325:284 membarrier:324:283 get_mempolicy:239:236
set_mempolicy:238:237 mbind:237:235 pkey_alloc:330:289 pkey_free:331:290 pkey_mprotect:329:288 rt_sigaction:13:134
rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigsuspend:130:133 rt_sigtimedwait:128:137
sigaltstack:131:132 pause:34:- alarm:37:- getitimer:36:102 setitimer:38:103 timer_create:222:107
timer_settime:223:110 timer_gettime:224:108 timer_getoverrun:225:109 timer_delete:226:111 timerfd_create:283:85
timerfd_settime:286:86 timerfd_gettime:287:87 signalfd4:289:74 eventfd:284:- eventfd2:290:19 poll:7:- ppoll:271:73
select:23:- pselect6:270:72 epoll_create:213:- epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:-
epoll_pwait:281:22 epoll_pwait2:441:441 futex:202:98 futex_waitv:449:449 futex_wake:454:454 futex_wait:455:455
futex_requeue:456:456 set_robust_list:273:99 get_robust_list:274:100 set_tid_address:218:96 rseq:334:293
arch_prctl:158:- restart_syscall:219:128 clock_gettime:228:113 clock_getres:229:114 clock_nanosleep:230:115
nanosleep:35:101 gettimeofday:96:169 time:201:- times:100:153 getcpu:309:168 sched_yield:24:124
sched_getaffinity:204:123 sched_setaffinity:203:122 sched_getparam:143:121 sched_getscheduler:145:120
sched_get_priority_max:146:125 sched_get_priority_min:147:126 sched_rr_get_interval:148:127 getpriority:140:141
getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177
getgroups:115:158 getresuid:118:148 getresgid:120:150 getpgid:121:155 getpgrp:111:- getsid:124:156 getrlimit:97:163
setrlimit:160:164 getrusage:98:165 uname:63:160 sysinfo:99:179 capget:125:90 getrandom:318:278 wait4:61:260
waitid:247:95 exit:60:93 exit_group:231:94
"""

# Allowed for some arguments only; `seccomp.py` says which.
CHECKED = """
fcntl:72:25 clone:56:220 clone3:435:435 prctl:157:167 prlimit64:302:261 ioctl:16:29 kill:62:129 tgkill:234:131
"""


def table(text: str, machine: str) -> dict[str, int]:
    """Return name -> number for `x86_64` or `aarch64`."""
    column = 1 if machine == "x86_64" else 2
    rows = (entry.split(":") for entry in text.split())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}
