/*
 * POOL_CHECK(): a condition that only a bug can make false, in the pool or in its use (a waiter acquired twice, a pool
 * freed while it has connections). Kept in release builds: books that are wrong get worse.
 */
#ifndef WEIR_POOL_CHECK_H
#define WEIR_POOL_CHECK_H

/* Prints the broken condition with its place on stderr and aborts. */
_Noreturn void pool_check_failed(const char *condition, const char *file, int line);

#define POOL_CHECK(condition) ((condition) ? (void)0 : pool_check_failed(#condition, __FILE__, __LINE__))

#endif
