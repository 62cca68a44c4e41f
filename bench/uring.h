/*
 * As much of io_uring as relay_uring.c needs, by its system calls: a ring, and buffers that the kernel takes from when something has
 * come. One thread. Linux 6.1.
 */
#ifndef WEIR_BENCH_URING_H
#define WEIR_BENCH_URING_H

#include <linux/io_uring.h>
#include <stdbool.h>

/*
 * Few and large ones: what comes in one piece is sent in one piece, and with small pieces the same memory is used again soon, as the
 * kernel takes buffers in turn. They stand so far apart that their beginnings share no lines of the caches.
 */
enum { URING_BUFFERS = 64, URING_BUFFER = 262144, URING_STRIDE = URING_BUFFER + 4096 + 64 };

struct uring {
	int fd;
	unsigned to_submit;
	unsigned *sq_tail, *sq_mask, *sq_head, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	struct io_uring_buf_ring *ring;
	char *buffers;
};

/* False: this kernel has none, or does not let us. */
bool uring_init(struct uring *uring);

/* An empty entry, which is submitted with the next wait, or before that when there are many. */
struct io_uring_sqe *uring_entry(struct uring *uring);

/* Submits, and waits for at least one outcome. */
void uring_wait(struct uring *uring);

/* The next outcome, copied; false: there is none. */
bool uring_next(struct uring *uring, struct io_uring_cqe *to);

char *uring_buffer(const struct uring *uring, unsigned number);

/* The kernel may fill it again. */
void uring_give_back(struct uring *uring, unsigned number);

#endif
