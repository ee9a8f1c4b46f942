/* SPDX-License-Identifier: Apache-2.0 */
/* The end of what avx2_begin.h begins. */
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
