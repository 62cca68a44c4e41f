/* See uring.h. */
#include "uring.h"

#include "sockets.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 1024, OUTCOMES = 4 * ENTRIES };

static void *map(int fd, size_t bytes, off_t what)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_POPULATE, fd, what);

	if (at == MAP_FAILED)
		die("io_uring: memory");
	return at;
}

/* The numbers of entries never change, so the indirection of the queue is filled in once. */
static void map_queues(struct uring *uring, const struct io_uring_params *params)
{
	size_t sq = params->sq_off.array + params->sq_entries * sizeof(unsigned);
	size_t cq = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	char *queues = map(uring->fd, sq > cq ? sq : cq, IORING_OFF_SQ_RING);
	unsigned *array = (unsigned *)(void *)(queues + params->sq_off.array);

	uring->sq_head = (unsigned *)(void *)(queues + params->sq_off.head);
	uring->sq_tail = (unsigned *)(void *)(queues + params->sq_off.tail);
	uring->sq_mask = (unsigned *)(void *)(queues + params->sq_off.ring_mask);
	uring->cq_head = (unsigned *)(void *)(queues + params->cq_off.head);
	uring->cq_tail = (unsigned *)(void *)(queues + params->cq_off.tail);
	uring->cq_mask = (unsigned *)(void *)(queues + params->cq_off.ring_mask);
	uring->cqes = (struct io_uring_cqe *)(void *)(queues + params->cq_off.cqes);
	uring->sqes = map(uring->fd, params->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	for (unsigned i = 0; i < params->sq_entries; i++)
		array[i] = i;
}

static bool register_buffers(struct uring *uring)
{
	struct io_uring_buf_reg reg = {.ring_entries = URING_BUFFERS};

	uring->ring = map(-1, URING_BUFFERS * sizeof(struct io_uring_buf), 0);
	uring->buffers = map(-1, (size_t)URING_BUFFERS * URING_STRIDE, 0);
	reg.ring_addr = (uint64_t)(uintptr_t)uring->ring;
	if (syscall(SYS_io_uring_register, uring->fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
		return false;
	for (unsigned i = 0; i < URING_BUFFERS; i++)
		uring_give_back(uring, i);
	return true;
}

bool uring_init(struct uring *uring)
{
	struct io_uring_params params = {.cq_entries = OUTCOMES,
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};

	*uring = (struct uring){.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params)};
	if (uring->fd < 0)
		return false;
	map_queues(uring, &params);
	return register_buffers(uring);
}

static void enter(struct uring *uring, unsigned wait_for)
{
	long n = syscall(SYS_io_uring_enter, uring->fd, uring->to_submit, wait_for, IORING_ENTER_GETEVENTS, NULL, 0);

	if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY)
		die("io_uring_enter");
	if (n > 0)
		uring->to_submit -= (unsigned)n;
}

struct io_uring_sqe *uring_entry(struct uring *uring)
{
	unsigned tail = *uring->sq_tail;
	struct io_uring_sqe *sqe = &uring->sqes[tail & *uring->sq_mask];

	while (tail - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE) > *uring->sq_mask)
		enter(uring, 0);
	memset(sqe, 0, sizeof(*sqe));
	__atomic_store_n(uring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	uring->to_submit++;
	return sqe;
}

void uring_wait(struct uring *uring)
{
	enter(uring, 1);
}

bool uring_next(struct uring *uring, struct io_uring_cqe *to)
{
	unsigned head = *uring->cq_head;

	if (head == __atomic_load_n(uring->cq_tail, __ATOMIC_ACQUIRE))
		return false;
	memcpy(to, &uring->cqes[head & *uring->cq_mask], sizeof(*to));
	__atomic_store_n(uring->cq_head, head + 1, __ATOMIC_RELEASE);
	return true;
}

char *uring_buffer(const struct uring *uring, unsigned number)
{
	return uring->buffers + (size_t)number * URING_STRIDE;
}

void uring_give_back(struct uring *uring, unsigned number)
{
	uint16_t tail = uring->ring->tail;
	struct io_uring_buf *buf = &uring->ring->bufs[tail & (URING_BUFFERS - 1)];

	buf->addr = (uint64_t)(uintptr_t)uring_buffer(uring, number);
	buf->len = URING_BUFFER;
	buf->bid = (uint16_t)number;
	__atomic_store_n(&uring->ring->tail, (uint16_t)(tail + 1), __ATOMIC_RELEASE);
}
