/* SPDX-License-Identifier: Apache-2.0 */
/* After each reading of hooks.def. No include guard: it is meant to be read often. */
#undef HOOK
#undef HOOK_IO
#undef HOOK_SOCKET
#undef HOOK_ALWAYS
#undef HOOK_VOID
#undef HOOK_NORETURN
#undef HOOK_MANUAL
