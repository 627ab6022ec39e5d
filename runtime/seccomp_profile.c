/* SPDX-License-Identifier: Apache-2.0 */
/* docker's default profile: everything is EPERM but what is listed. Groups with capabilities open calls that the capability alone
 * would make useful. Not listed on purpose: io_uring (removed by docker in 2023), keyctl and friends (keyrings are not namespaced),
 * userfaultfd, kexec, and what only the host needs. clone is allowed without new namespaces; clone3, whose flags a filter cannot see,
 * is ENOSYS so that libraries fall back to clone (seccomp.c). AF_VSOCK is refused because it reaches the hypervisor from any network
 * namespace. */
#include "runtime/seccomp_profile.h"

#include <linux/capability.h>

#define BIT(cap) (1ULL << (cap))
#define ADMIN    BIT(CAP_SYS_ADMIN)

const struct seccomp_group seccomp_profile_groups[] = {
	/* files */
	{ "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 "
	  "fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync "
	  "fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 "
	  "futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch "
	  "ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat "
	  "lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 "
	  "pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir "
	  "sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range "
	  "syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev "
	  "cachestat",
	  0, 0 },
	/* waiting and asynchronous input and output */
	{ "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 "
	  "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pipe pipe2 poll ppoll "
	  "ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 "
	  "timerfd_settime timerfd_settime64",
	  0, 0 },
	/* memory */
	{ "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect "
	  "mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages",
	  0, 0 },
	/* processes, identities, limits */
	{ "capget capset execve execveat exit exit_group fork getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups "
	  "getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage "
	  "getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset "
	  "landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace "
	  "restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
	  "rt_sigtimedwait_time64 rt_tgsigqueueinfo seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups "
	  "setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 "
	  "setrlimit setsid setuid setuid32 sigaltstack sigprocmask sigreturn tgkill tkill ugetrlimit vfork wait4 waitid waitpid",
	  0, 0 },
	/* threads and scheduling */
	{ "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu rseq "
	  "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
	  "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler "
	  "sched_yield set_robust_list set_thread_area set_tid_address",
	  0, 0 },
	/* clocks */
	{ "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
	  "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete "
	  "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 times",
	  0, 0 },
	/* sockets and System V */
	{ "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open "
	  "mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv "
	  "recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto "
	  "setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair",
	  0, 0 },
	/* the rest of what every program may ask */
	{ "getrandom lsm_get_self_attr lsm_list_modules sysinfo uname", 0, 0 },
	/* of single architectures */
	{ "arch_prctl modify_ldt uretprobe", 0, 0 },
	{ "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls", 0, 0 },
	{ "swapcontext s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr riscv_flush_icache riscv_hwprobe", 0, 0 },
	/* by capability */
	{ "open_by_handle_at", BIT(CAP_DAC_READ_SEARCH), 0 },
	{ "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie lsm_set_self_attr mount "
	  "mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns statmount syslog "
	  "umount umount2 unshare",
	  ADMIN, 0 },
	{ "reboot", BIT(CAP_SYS_BOOT), 0 }, { "chroot", BIT(CAP_SYS_CHROOT), 0 },
	{ "delete_module init_module finit_module", BIT(CAP_SYS_MODULE), 0 }, { "acct", BIT(CAP_SYS_PACCT), 0 },
	{ "kcmp pidfd_getfd process_madvise", BIT(CAP_SYS_PTRACE), 0 }, { "iopl ioperm", BIT(CAP_SYS_RAWIO), 0 },
	{ "settimeofday stime clock_settime clock_settime64", BIT(CAP_SYS_TIME), 0 }, { "vhangup", BIT(CAP_SYS_TTY_CONFIG), 0 },
	{ "get_mempolicy mbind set_mempolicy set_mempolicy_home_node", BIT(CAP_SYS_NICE), 0 }, { "syslog", BIT(CAP_SYSLOG), 0 },
	{ "bpf", BIT(39), 0 },             /* CAP_BPF */
	{ "perf_event_open", BIT(38), 0 }, /* CAP_PERFMON */
};
const size_t seccomp_profile_n_groups = sizeof(seccomp_profile_groups) / sizeof(seccomp_profile_groups[0]);

/* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
#define NEW_NAMESPACES 0x7e020000ULL

const struct seccomp_condition seccomp_profile_conditions[] = {
	{ "socket", 0, SECCOMP_NOT_EQUAL, 40, 0 }, /* AF_VSOCK */
	{ "personality", 0, SECCOMP_EQUAL, 0x0, 0 },
	{ "personality", 0, SECCOMP_EQUAL, 0x0008, 0 },  /* PER_LINUX32 */
	{ "personality", 0, SECCOMP_EQUAL, 0x20000, 0 }, /* UNAME26 */
	{ "personality", 0, SECCOMP_EQUAL, 0x20008, 0 },
	{ "personality", 0, SECCOMP_EQUAL, 0xffffffff, 0 },
#if defined(__s390x__)
	{ "clone", 1, SECCOMP_MASK_CLEAR, NEW_NAMESPACES, ADMIN },
#else
	{ "clone", 0, SECCOMP_MASK_CLEAR, NEW_NAMESPACES, ADMIN },
#endif
};
const size_t seccomp_profile_n_conditions = sizeof(seccomp_profile_conditions) / sizeof(seccomp_profile_conditions[0]);
