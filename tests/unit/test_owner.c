/* SPDX-License-Identifier: Apache-2.0 */
/* owner.c: every process has a slot of its own, and what a killed one had in flight does not stick. */
#include "support.h"

#include <pthread.h>
#include <sched.h>

static struct tb_core *shared_core(char *dir)
{
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("shop");
    enum tb_inert why;
    assert_int_equal(tb_region_open(core, dir, &id, &why), 0);
    return core;
}

/* Forks a worker that has @in_flight requests, tells its slot and waits to be killed. */
static pid_t fork_worker(struct tb_core *core, int in_flight, uint32_t *ret_slot)
{
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t pid = support_fork();
    if (pid == 0) {
        tb_core_forked(core, (uint32_t)getpid());
        MUST(tb_owner_claim(core));
        for (int i = 0; i < in_flight; i++) {
            tb_add_relaxed(&core->owner->in_flight, 1);
            MUST(tb_inflight_claim(core, 1000000, (uint32_t)i * 7, 5, 1) != 0);
        }
        MUST(write(told[1], &core->owner_slot, 4) == 4);
        for (;;)
            pause();
    }
    close(told[1]);
    assert_int_equal(read(told[0], ret_slot, 4), 4);
    close(told[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static unsigned entries_of(const struct tb_core *core, uint32_t slot)
{
    unsigned count = 0;
    const struct tb_inflight *table = &core->inflight[slot % TB_SHARDS * TB_INFLIGHT_PER_SHARD];
    for (uint32_t i = 0; i < TB_INFLIGHT_PER_SHARD; i++)
        count += table[i].start_ns != 0 && TB_INFLIGHT_OWNER(table[i].start_ns) == slot;
    return count;
}

static void a_worker_gets_its_own_slot_and_shard(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = shared_core(dir);
    pid_t pids[8];
    assert_int_equal(core->owner_slot, 0);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t slot;
        pids[i] = fork_worker(core, 0, &slot);
        assert_int_equal(slot, i + 1);
        assert_int_equal(core->owners[slot].pid, pids[i]);
        assert_true(core->owners[slot].start_ns != 0);
    }
    for (int i = 0; i < 8; i++)
        end(pids[i]);
    support_drop(core);
    support_remove_dir(dir);
}

static void a_killed_worker_is_cleaned_by_the_next_fork(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = shared_core(dir);
    uint32_t first, second, third, fourth;
    pid_t a = fork_worker(core, 20, &first), b = fork_worker(core, 30, &second);
    assert_int_equal(entries_of(core, first), 20);
    assert_int_equal(entries_of(core, second), 30);
    end(a);
    assert_int_equal(core->owners[first].in_flight, 20);
    pid_t c = fork_worker(core, 1, &third);
    assert_int_equal(third, first);
    assert_int_equal(core->owners[first].in_flight, 1);
    assert_int_equal(entries_of(core, first), 1);
    assert_int_equal(core->owners[second].in_flight, 30);
    assert_int_equal(entries_of(core, second), 30);
    end(b);
    end(c); /* two at once: the next takes one slot and frees the other */
    pid_t d = fork_worker(core, 0, &fourth);
    assert_int_equal(fourth, first);
    assert_int_equal(core->owners[second].pid, 0);
    assert_int_equal(core->owners[second].in_flight, 0);
    assert_int_equal(entries_of(core, first) + entries_of(core, second), 0);
    end(d);
    support_drop(core);
    support_remove_dir(dir);
}

static void leaving_frees_the_slot_and_what_is_in_flight(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    assert_true(tb_owner_claim(core));
    struct tb_owner *owner = core->owner;
    tb_add_relaxed(&owner->in_flight, 2);
    uint16_t a = tb_inflight_claim(core, 5000, 1, 2, 3), b = tb_inflight_claim(core, 5000, 1, 2, 3);
    assert_true(a && b && a != b);
    tb_owner_release(core);
    assert_null(core->owner);
    assert_int_equal(owner->pid, 0);
    assert_int_equal(owner->in_flight, 0);
    assert_int_equal(entries_of(core, 0), 0);
    tb_owner_release(core);
    assert_true(tb_owner_claim(core)); /* exit handlers may still serve */
    support_drop(core);
}

static void a_full_owner_table_is_shared(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    for (uint32_t i = 0; i < TB_OWNERS; i++)
        core->owners[i].pid = (uint32_t)getppid();
    assert_true(tb_owner_claim(core));
    assert_int_equal(support_counter(core, TB_COUNTER_OWNER_OVERFLOW), 1);
    assert_true(core->owner->flags & TB_OWNER_SHARED);
    struct tb_owner *owner = core->owner;
    tb_add_relaxed(&owner->in_flight, 5);
    tb_owner_release(core);
    assert_int_equal(owner->in_flight, 5); /* the others' too: nobody can tell */
    assert_true(owner->pid != 0);
    support_drop(core);
}

static void later_slots_are_used_when_the_first_page_is_full(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    for (uint32_t i = 0; i < 200; i++)
        core->owners[i].pid = (uint32_t)getppid();
    assert_true(tb_owner_claim(core));
    assert_int_equal(core->owner_slot, 200);
    support_drop(core);
}

static void an_entry_carries_its_request(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    for (uint32_t i = 0; i < 7; i++)
        core->owners[i].pid = (uint32_t)getppid();
    assert_int_equal(tb_inflight_claim(core, 5000, 0, 0, 0), 0); /* no owner yet */
    assert_true(tb_owner_claim(core));
    uint64_t start_ns = support_monotonic_ns();
    uint16_t claimed = tb_inflight_claim(core, start_ns, 3, 44, 2);
    const struct tb_inflight *entry = &core->inflight[claimed - 1];
    assert_int_equal(entry->start_ns, tb_inflight_word(start_ns, 7));
    assert_int_equal(TB_INFLIGHT_OWNER(entry->start_ns), 7);
    assert_true(start_ns - entry->start_ns < 256 || entry->start_ns - start_ns < 256);
    assert_int_equal(entry->route, 44);
    assert_int_equal(entry->owner, 7);
    assert_int_equal(entry->method, 2);
    assert_true(entry->thread != 0);
    assert_int_equal((claimed - 1) / TB_INFLIGHT_PER_SHARD, 7 % TB_SHARDS);
    tb_inflight_release(core, claimed);
    tb_inflight_release(core, 0);
    assert_int_equal(entry->start_ns, 0);
    assert_int_equal(tb_inflight_claim(core, 0, 3, 44, 2), 0);
    assert_true(tb_inflight_claim(core, 1, 3, 44, 2) != 0); /* never 0, which is free */
    assert_true(core->inflight[claimed - 1].start_ns != 0);
    support_drop(core);
}

/* As many processes as there are slots, one connection each: they do not look at each other's entries. */
static void owners_do_not_share_lines_of_the_in_flight_table(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    bool is_used[TB_SHARDS * TB_INFLIGHT_PER_SHARD / 2] = {false};
    for (uint32_t slot = 0; slot < TB_OWNERS; slot++) {
        assert_true(tb_owner_claim(core));
        assert_int_equal(core->owner_slot, slot);
        uint16_t claimed = tb_inflight_claim(core, 1000, 0, 0, 1);
        assert_int_not_equal(claimed, 0);
        tb_inflight_release(core, claimed); /* it is not that the entry is taken */
        assert_false(is_used[(claimed - 1u) / 2]);
        is_used[(claimed - 1u) / 2] = true;
        core->owner->pid = (uint32_t)getppid();
        core->owner = NULL;
    }
    support_drop(core);
}

static void a_full_in_flight_table_is_counted(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    assert_true(tb_owner_claim(core));
    unsigned claimed = 0, refused = 0;
    for (uint32_t i = 0; i < 3000; i++)
        *(tb_inflight_claim(core, 1000, i * 2654435761u >> 8, 0, 1) ? &claimed : &refused) += 1;
    assert_int_equal(entries_of(core, 0), claimed);
    assert_true(claimed > 900 && claimed <= TB_INFLIGHT_PER_SHARD);
    assert_int_equal(support_counter(core, TB_COUNTER_INFLIGHT_OVERFLOW), refused);
    tb_owner_release(core);
    assert_int_equal(entries_of(core, 0), 0);
    support_drop(core);
}

static void *claim_and_mark(void *arg)
{
    struct tb_core *core = arg;
    (void)tb_owner_claim(core);
    tb_add_relaxed(&tb_load_acquire(&core->owner)->in_flight, 1);
    return NULL;
}

static void threads_of_one_process_share_one_slot(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct tb_core *core = support_bound_core();
        pthread_t threads[4];
        for (int t = 0; t < 4; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, claim_and_mark, core), 0);
        for (int t = 0; t < 4; t++)
            pthread_join(threads[t], NULL);
        unsigned taken = 0;
        for (uint32_t i = 0; i < TB_OWNERS; i++)
            taken += core->owners[i].pid != 0;
        assert_int_equal(taken, 1);
        assert_int_equal(core->owners[core->owner_slot].in_flight, 4);
        support_drop(core);
    }
}

/* A worker in a pid namespace of its own: its pid means another process outside, so nobody declares it dead. */
static void live_in_other_namespace(void *arg)
{
    struct tb_core *core = arg;
    uint32_t slot;
    int told[2], hold[2];
    if (unshare(CLONE_NEWPID) != 0)
        _exit(SUPPORT_SKIPPED);
    MUST(pipe(told) == 0 && pipe(hold) == 0);
    pid_t pid = support_fork();
    if (pid == 0) {
        char c;
        close(hold[1]);
        tb_core_forked(core, 4000000); /* a pid that nobody has outside */
        MUST(tb_owner_claim(core));
        tb_add_relaxed(&core->owner->in_flight, 9);
        MUST(write(told[1], &core->owner_slot, 4) == 4);
        _exit(read(hold[0], &c, 1) != 0);
    }
    close(hold[0]);
    MUST(read(told[0], &slot, 4) == 4);
    MUST(core->owners[slot].flags & TB_OWNER_FOREIGN);
    tb_core_forked(core, (uint32_t)getpid());
    MUST(tb_owner_claim(core));
    MUST(core->owner_slot != slot && core->owners[slot].in_flight == 9 && core->owners[slot].pid == 4000000);
    close(hold[1]);
    waitpid(pid, NULL, 0);
}

static void another_pid_namespace_is_left_alone(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = shared_core(dir);
    int r = support_child(live_in_other_namespace, core);
    support_drop(core);
    support_remove_dir(dir);
    if (r == SUPPORT_SKIPPED)
        skip();
    assert_int_equal(r, 0);
}

static long no_procfs(long nr, long a, long b, long c, long d, long e, long f)
{
    return nr == SYS_newfstatat ? -ENOENT : support_syscall(nr, a, b, c, d, e, f);
}

static void without_procfs_the_dead_are_found_all_the_same(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = shared_core(dir);
    core->env.syscall = no_procfs; /* as in a chroot */
    uint32_t first, second;
    end(fork_worker(core, 3, &first));
    assert_int_equal(core->owners[first].flags, 0);
    pid_t pid = fork_worker(core, 0, &second);
    assert_int_equal(second, first);
    assert_int_equal(core->owners[first].in_flight, 0);
    end(pid);
    support_drop(core);
    support_remove_dir(dir);
}

static void counters_of_a_worker_are_its_shard_s(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    uint64_t *before = NULL;
    for (int i = 0; i < 6; i++) {
        tb_core_forked(core, (uint32_t)getpid());
        assert_true(tb_owner_claim(core));
        tb_count(core, TB_COUNTER_CONN_SEEN);
        assert_true(core->counters != before);
        assert_int_equal((uintptr_t)core->counters % 64, 0);
        before = core->counters;
    }
    assert_int_equal(support_counter(core, TB_COUNTER_CONN_SEEN), 6);
    assert_int_equal(tb_counter_total(before, 0, 0), 0);
    assert_int_equal(tb_counter_total(before, SIZE_MAX, TB_COUNTERS_MAX), 0);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_gets_its_own_slot_and_shard),
        cmocka_unit_test(a_killed_worker_is_cleaned_by_the_next_fork),
        cmocka_unit_test(leaving_frees_the_slot_and_what_is_in_flight),
        cmocka_unit_test(a_full_owner_table_is_shared),
        cmocka_unit_test(later_slots_are_used_when_the_first_page_is_full),
        cmocka_unit_test(an_entry_carries_its_request),
        cmocka_unit_test(owners_do_not_share_lines_of_the_in_flight_table),
        cmocka_unit_test(a_full_in_flight_table_is_counted),
        cmocka_unit_test(threads_of_one_process_share_one_slot),
        cmocka_unit_test(another_pid_namespace_is_left_alone),
        cmocka_unit_test(counters_of_a_worker_are_its_shard_s),
        cmocka_unit_test(without_procfs_the_dead_are_found_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
