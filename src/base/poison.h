/*
 * Marks memory that is ours but must not be touched, so that AddressSanitizer reports a use after an object went back
 * to its slab as it would report a use after free(). Without AddressSanitizer both do nothing.
 */
#ifndef WEIR_BASE_POISON_H
#define WEIR_BASE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISON_AVAILABLE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_AVAILABLE 1
#endif
#endif

#ifdef POISON_AVAILABLE
#include <sanitizer/asan_interface.h>

static inline void poison(const volatile void *p, size_t n)
{
	ASAN_POISON_MEMORY_REGION(p, n);
}

static inline void unpoison(const volatile void *p, size_t n)
{
	ASAN_UNPOISON_MEMORY_REGION(p, n);
}
#else
static inline void poison(const volatile void *p, size_t n)
{
}

static inline void unpoison(const volatile void *p, size_t n)
{
}
#endif

#endif
