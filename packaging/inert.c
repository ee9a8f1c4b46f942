/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object that 32-bit programs get where a whole machine is preloaded (`tickbird install --system`): it does
 * nothing and needs nothing. Its only use is that the loader finds an object of the program's own kind behind the one
 * line of /etc/ld.so.preload, and so has nothing to complain about. 32-bit programs are not observed.
 */
extern const char tickbird_inert[];
__attribute__((visibility("default"))) const char tickbird_inert[] = TB_VERSION;
