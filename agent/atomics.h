/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only place with memory orders: one name per operation and order. Types are the plain integers of
 * layout.h; every operation is lock-free, so it is safe between processes, threads and signal handlers.
 */
#ifndef TB_ATOMICS_H
#define TB_ATOMICS_H

#include <stdbool.h>
#include <stdint.h>

_Static_assert(__atomic_always_lock_free(8, 0), "shared between processes: must be lock-free");

#define tb_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define tb_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define tb_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define tb_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define tb_add_relaxed(p, v) ((void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define tb_fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define tb_fetch_add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define tb_fetch_or_relaxed(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define tb_fetch_or_acquire(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQUIRE)
#define tb_fetch_or_release(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELEASE)
#define tb_fetch_and_relaxed(p, v) __atomic_fetch_and((p), (v), __ATOMIC_RELAXED)
#define tb_fetch_and_release(p, v) __atomic_fetch_and((p), (v), __ATOMIC_RELEASE)
#define tb_swap_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define tb_swap_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
/* Loads before it are done before the loads and stores behind it. */
#define tb_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
/* Of two threads that each store, fence and then look for the other's store, one sees it. */
#define tb_fence_full() __atomic_thread_fence(__ATOMIC_SEQ_CST)
/* Compare and swap; @expected_ptr gets the value found when it fails. acq_rel on success, acquire on failure. */
#define tb_cas_acq_rel(p, expected_ptr, v)                                                                             \
    __atomic_compare_exchange_n((p), (expected_ptr), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define tb_cas_relaxed(p, expected_ptr, v)                                                                             \
    __atomic_compare_exchange_n((p), (expected_ptr), (v), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

#endif
