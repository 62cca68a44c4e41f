/*
 * A fuzz target is one function over bytes, with the signature that libFuzzer calls. It aborts (CHECK) when something
 * that must hold does not. Every target is built twice: with libFuzzer by clang, and with replay_main.c by any
 * compiler, which runs it over the committed corpus.
 */
#ifndef WEIR_FUZZ_FUZZ_H
#define WEIR_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Always 0. `data` is exactly `n` bytes of heap memory, so that a sanitizer sees a read behind them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
