/*
 * The system calls that every request makes, without libc between. Its wrappers are cancellation points, and in a program with
 * threads each pays thirty instructions for it; syscall() still moves all arguments by one place, and keeps an errno that nobody
 * asks for. Nothing here is ever cancelled.
 */
#ifndef WEIR_IO_KERNEL_H
#define WEIR_IO_KERNEL_H

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel says: >= 0, or a negative errno. */
#if defined(__x86_64__) && defined(__LP64__)
static inline long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = e;
	register long sixth __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
		: "=a"(result)
		: "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
		: "rcx", "r11", "memory");
	return result;
}
#else
static inline long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result = syscall(number, a, b, c, d, e, f);

	return result >= 0 ? result : -errno;
}
#endif

static inline long kernel_address(const void *p)
{
	return (long)(intptr_t)p;
}

#endif
