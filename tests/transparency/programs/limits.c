/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that limit themselves: resources, identity, privileges, memory locks, what a process shows of itself.
 */
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tp.h"

static int pair[2];

static void limit(int what, rlim_t soft)
{
    struct rlimit r;
    MUST(!getrlimit(what, &r));
    r.rlim_cur = soft;
    MUST(!setrlimit(what, &r));
}

/* The whole of this program again, after whatever was limited. */
static void again(const char *name)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    MUST(len > 0);
    self[len] = 0;
    execl(self, self, name, "asleep", (char *)NULL);
    say("exec: errno %d\n", errno);
    _exit(97);
}

static void all_limits(void)
{
    tp_serve(3);
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit r = {0, 0};
        SHOW(getrlimit((__rlimit_resource_t)i, &r));
        say("%d: %llu %llu\n", i, (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max);
    }
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(umask(0));
}

/* How much can be mapped; in pieces that are larger than what the object and its region take. */
static void count_pieces(void)
{
    int n = 0;
    while (n < 1000 && mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        n++;
    say("pieces of 8 MiB: %d, errno %d\n", n, errno);
    say("malloc: %d\n", malloc(64 << 20) == NULL);
}

static void little_address_space(void)
{
    tp_serve(2);
    limit(RLIMIT_AS, 256 << 20);
    tp_serve(2);
    count_pieces();
}

static void little_address_space_from_the_start(void)
{
    pid_t child = fork();
    if (child == 0) {
        limit(RLIMIT_AS, 256 << 20);
        again("serve_and_count");
    }
    tp_reap("child", child);
}

static void little_data(void)
{
    limit(RLIMIT_DATA, 64 << 20);
    tp_serve(2);
    count_pieces();
}

static void serve_and_count(void)
{
    tp_serve(2);
    count_pieces();
}

static void serve_only(void)
{
    tp_serve(20);
    tp_say_fds("open");
}

static void little_stack(void)
{
    pid_t child = fork();
    if (child == 0) {
        limit(RLIMIT_STACK, 64 << 10);
        again("serve_only");
    }
    tp_reap("child", child);
}

static void no_file_size(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        limit(RLIMIT_FSIZE, 0);
        tp_serve(2);
        int file = open("f", O_RDWR | O_CREAT, 0600);
        signal(SIGXFSZ, SIG_IGN);
        SHOW(write(file, "x", 1));
        SHOW(write(file, "", 0));
        SHOW(ftruncate(file, 5));
        signal(SIGXFSZ, SIG_DFL);
        SHOW(write(file, "x", 1));
    }
    MUST(waitpid(child, &status, 0) == child);
    tp_say_status("file size 0", status);
    child = fork();
    if (child == 0) {
        limit(RLIMIT_FSIZE, 0);
        again("serve_only");
    }
    tp_reap("from the start", child);
}

static void no_descriptors(void)
{
    char buf[64];
    tp_pair(pair);
    int listener = tp_listener(), client = tp_connect(listener), more = socket(AF_INET, SOCK_STREAM, 0), last = -1;
    limit(RLIMIT_NOFILE, 64);
    for (int fd; (fd = dup(0)) >= 0;)
        last = fd;
    say("last %d, errno %d\n", last, errno);
    SHOW(accept(listener, NULL, NULL));
    SHOW(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(dup(0));
    SHOW(dup2(0, 64));
    SHOW(dup3(0, 63, O_CLOEXEC));
    SHOW(fcntl(0, F_DUPFD, 0));
    SHOW(fcntl(0, F_DUPFD, 64));
    SHOW(open("/dev/null", O_RDONLY));
    SHOW(listen(more, 5)); /* not bound: it is bound by that */
    tp_exchange(pair);
    SHOW(close(20));
    SHOW(accept(listener, NULL, NULL));
    tp_exchange((int[2]){20, client});
    SHOW(accept(listener, NULL, NULL));
    limit(RLIMIT_NOFILE, 10); /* below what is open */
    SHOW(read(20, buf, 0));
    SHOW(dup(0));
    tp_exchange((int[2]){20, client});
    limit(RLIMIT_NOFILE, 0);
    SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
    tp_exchange((int[2]){20, client});
}

/* Memory locks: what a region takes must not be taken from the program's allowance. */
static void locked_memory(void)
{
    struct rlimit r = {8 << 20, 8 << 20};
    pid_t child = fork();
    if (child == 0) {
        struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct own[2];
        MUST(!setrlimit(RLIMIT_MEMLOCK, &r) && !syscall(SYS_capget, &head, own));
        own[0].effective &= ~(1u << CAP_IPC_LOCK);
        MUST(!syscall(SYS_capset, &head, own));
        SHOW(mlockall(MCL_FUTURE));
        tp_serve(3);
        int n = 0;
        while (n < 100 && mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            n++;
        say("locked pieces of 1 MiB: %d\n", n);
    }
    if (child == 0)
        _exit(0);
    tp_reap("child", child);
    SHOW(mlockall(MCL_CURRENT | MCL_FUTURE));
    tp_serve(3);
    SHOW(munlockall());
}

static void other_users(void)
{
    pid_t child = fork();
    if (child == 0) {
        gid_t group = 65534;
        tp_tcp_pair(pair);
        SHOW(setgroups(1, &group));
        tp_exchange(pair);
        SHOW(setgid(65534));
        tp_exchange(pair);
        SHOW(seteuid(65534));
        tp_exchange(pair);
        SHOW(seteuid(0));
        SHOW(setresuid(65534, 65534, 65534));
        tp_exchange(pair);
        tp_serve(3);
        SHOW(setuid(0));
        say("%d %d %d %d\n", getuid(), geteuid(), getgid(), getegid());
        SHOW(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
        again("serve_only");
    }
    tp_reap("child", child);
}

static void no_new_privileges(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    tp_tcp_pair(pair);
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(syscall(SYS_capset, &head, none));
    tp_exchange(pair);
    SHOW(setuid(5));
    tp_serve(3);
    again("serve_only");
}

static void other_root(void)
{
    MUST(!mkdir("empty", 0700));
    tp_tcp_pair(pair);
    SHOW(chroot("empty"));
    SHOW(chdir("/"));
    tp_exchange(pair);
    tp_serve(3);
    SHOW(open("/dev/null", O_RDONLY));
    SHOW(execl("/bin/true", "true", (char *)NULL));
}

static void other_root_before_anything(void)
{
    MUST(!mkdir("empty", 0700) && !chroot("empty") && !chdir("/"));
    tp_serve(3);
    tp_say_fds("open");
}

static void no_environment(void)
{
    extern char **environ;
    SHOW(clearenv());
    tp_serve(3);
    say("environment: %d\n", environ && *environ);
    MUST(!setenv("A", "1", 1));
    tp_serve(3);
    pid_t child = fork();
    if (child == 0)
        execl("/usr/bin/env", "env", (char *)NULL);
    tp_reap("env", child);
}

/* LD_PRELOAD is the one that may differ, but it must stay as it was given. */
static void environment(void)
{
    extern char **environ;
    char was[16384], is[16384];
    FILE *f = fopen("/proc/self/environ", "r");
    size_t len = fread(was, 1, sizeof(was), f), n = 0;
    fclose(f);
    tp_serve(3);
    for (char **e = environ; *e; e++) {
        n += (size_t)snprintf(is + n, sizeof(is) - n, "%s", *e) + 1;
        if (strncmp(*e, "LD_PRELOAD=", 11) && strncmp(*e, "TICKBIRD_DIR=", 13) && strncmp(*e, "HOME=", 5) &&
            strncmp(*e, "TMPDIR=", 7))
            say("%s\n", *e);
    }
    say("as it was at exec: %d\n", n == len && !memcmp(is, was, len));
}

/* What /proc tells others about this process. */
static void status(void)
{
    static const char *const keys[] = {"Umask",       "State",  "TracerPid", "Threads", "SigPnd",     "ShdPnd",
                                       "SigBlk",      "SigIgn", "SigCgt",    "CapEff",  "NoNewPrivs", "Seccomp",
                                       "CoreDumping", "Name",   "Ngid",      "FDSize"};
    char line[256];
    tp_pair(pair);
    tp_exchange(pair);
    tp_serve(5);
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof(line), f))
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
            if (!strncmp(line, keys[i], strlen(keys[i])))
                say("%s", line);
    fclose(f);
    f = fopen("/proc/thread-self/children", "r");
    say("children: %s\n", f && fgets(line, sizeof(line), f) ? line : "none");
    if (f)
        fclose(f);
    SHOW(waitpid(-1, NULL, WNOHANG));
    SHOW(waitpid(-1, NULL, WNOHANG | __WALL));
    static const int options[] = {PR_GET_DUMPABLE, PR_GET_KEEPCAPS,   PR_GET_TIMERSLACK, PR_GET_NO_NEW_PRIVS,
                                  PR_GET_SECCOMP,  PR_GET_SECUREBITS, PR_GET_THP_DISABLE};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        SHOW(prctl(options[i], 0, 0, 0, 0));
    int tsc = 0;
    SHOW(prctl(PR_GET_TSC, &tsc));
    say("tsc %d\n", tsc);
    char name[16] = "";
    SHOW(prctl(PR_GET_NAME, name));
    say("name %s\n", name);
}

/* A crash in the program's own code stays one: same signal, same address, a core file. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    say("signal %d, code %d, address %lx\n", number, info->si_code, (unsigned long)info->si_addr);
    signal(number, SIG_DFL);
}

static void crashes(void)
{
    struct sigaction act = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO};
    tp_tcp_pair(pair);
    tp_exchange(pair);
    for (int how = 0; how < 6; how++) {
        pid_t child = fork();
        if (child == 0) {
            tp_exchange(pair);
            limit(RLIMIT_CORE, how < 3 ? RLIM_INFINITY : 0);
            sigaction(SIGSEGV, &act, NULL);
            if (how % 3 == 0)
                *(volatile int *)16 = 1;
            else if (how % 3 == 1)
                abort();
            else
                raise(SIGQUIT);
            _exit(0);
        }
        tp_reap("child", child);
        say("core: %d\n", !unlink("core"));
    }
    tp_exchange(pair);
}

static void spaces(void)
{
    static const struct {
        const char *name;
        int flag;
    } all[] = {{"mount", CLONE_NEWNS},      {"net", CLONE_NEWNET},   {"ipc", CLONE_NEWIPC},
               {"uts", CLONE_NEWUTS},       {"user", CLONE_NEWUSER}, {"pid", CLONE_NEWPID},
               {"cgroup", CLONE_NEWCGROUP}, {"files", CLONE_FILES},  {"fs", CLONE_FS}};
    tp_tcp_pair(pair);
    tp_exchange(pair);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        pid_t child = fork();
        if (child == 0) {
            say("%s:\n", all[i].name);
            SHOW(unshare(all[i].flag));
            tp_exchange(pair);
            pid_t inner = fork();
            if (inner == 0) {
                tp_exchange(pair);
                if (all[i].flag != CLONE_NEWNET)
                    tp_serve(2);
                again("fds_only");
            }
            tp_reap("inner", inner);
            _exit(0);
        }
        tp_reap("outer", child);
    }
}

static void fds_only(void)
{
    tp_say_fds("open");
}

static void errno_at_start(void)
{
    say("errno %d\n", tp_errno);
}

TP_MAIN({"errno_at_start", errno_at_start, ""}, {"all_limits", all_limits, ""},
        {"little_address_space", little_address_space, ""},
        {"little_address_space_from_the_start", little_address_space_from_the_start, ""},
        {"little_data", little_data, ""}, {"serve_and_count", serve_and_count, ""}, {"serve_only", serve_only, ""},
        {"little_stack", little_stack, ""}, {"no_file_size", no_file_size, ""}, {"no_descriptors", no_descriptors, ""},
        {"locked_memory", locked_memory, "root"}, {"other_users", other_users, "root"},
        {"no_new_privileges", no_new_privileges, "root"}, {"other_root", other_root, "root"},
        {"other_root_before_anything", other_root_before_anything, "root"}, {"no_environment", no_environment, ""},
        {"environment", environment, ""}, {"status", status, ""}, {"crashes", crashes, ""}, {"spaces", spaces, "root"},
        {"fds_only", fds_only, ""})
