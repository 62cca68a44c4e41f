/*
 * What it costs to read, to copy and to write the heads of messages, in nanoseconds for one.
 *
 *   heads_bench [TIMES [STEP [HEAD]]]      default: 2000000 times every step with every head
 */
#include "http/h1.h"
#include "http/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FIELDS_MAX = 100 };

struct work {
	const char *name;
	struct view head;
	bool is_response;
	struct message m;
	struct field fields[FIELDS_MAX];
	struct host_memo memo;
	char memory[4096], written[4096];
};

static struct work works[] = {
	{.name = "small", .head = {"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 41}},
	{.name = "browser"},
	{.name = "response", .is_response = true},
};

static const char browser[] =
	"GET /articles/2026/november?page=2&sort=newest HTTP/1.1\r\nHost: www.example.com\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n"
	"Accept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.com/articles\r\nConnection: keep-alive\r\n"
	"Cookie: session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Mode: navigate\r\n"
	"Sec-Fetch-Site: same-origin\r\nCache-Control: no-cache\r\n\r\n";

static const char response[] =
	"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nServer: origin\r\nContent-Type: application/json\r\n"
	"Content-Length: 128\r\nCache-Control: no-store\r\n\r\n";

static void must(bool right)
{
	if (!right)
		abort();
}

static void read_head(struct work *w)
{
	static const struct h1_limits limits = {.head_bytes_max = 32768, .field_count_max = FIELDS_MAX, .target_bytes_max = 8192};
	struct h1_result result;

	w->m.fields = w->fields;
	w->m.field_max = FIELDS_MAX;
	if (w->is_response)
		result = h1_read_response(w->head, &limits, METHOD_GET, &w->m);
	else
		result = h1_read_request(w->head, &limits, &w->m);
	must(result.status == H1_DONE && result.consumed == w->head.n);
}

static void make_canonical(struct work *w)
{
	struct arena arena;
	struct target target;

	if (w->is_response)
		return;
	arena_init(&arena, w->memory, sizeof(w->memory), 0);
	must(target_read(&target, &w->m, &arena, &w->memo) == NULL);
}

static void copy(struct work *w)
{
	struct arena arena;
	struct message m;

	arena_init(&arena, w->memory, sizeof(w->memory), 0);
	must(message_copy(&m, &w->m, &arena, 0));
}

static void drop(struct work *w)
{
	for (uint32_t i = 0; i < w->m.field_count; i++)
		w->m.fields[i].dropped = 0;
	must(message_drop_hop_by_hop(&w->m));
}

static void write_fields(struct work *w)
{
	struct h1_writer writer = {.p = w->written, .end = w->written + sizeof(w->written)};

	h1_put_fields(&writer, &w->m);
	must(!h1_is_full(&writer));
}

static const struct step {
	const char *name;
	void (*run)(struct work *w);
} steps[] = {{"read", read_head}, {"canonical", make_canonical}, {"copy", copy}, {"drop", drop}, {"write", write_fields}};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(const struct step *step, struct work *w, uint64_t times)
{
	double start;

	read_head(w);
	start = seconds();
	for (uint64_t i = 0; i < times; i++)
		step->run(w);
	printf("%-10s %-10s %7.1f ns\n", step->name, w->name, (seconds() - start) * 1e9 / (double)times);
}

int main(int argc, char **argv)
{
	uint64_t times = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;

	works[1].head = view_of(browser, sizeof(browser) - 1);
	works[2].head = view_of(response, sizeof(response) - 1);
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
		for (size_t w = 0; w < sizeof(works) / sizeof(works[0]); w++)
			if ((argc < 3 || strcmp(argv[2], steps[s].name) == 0) && (argc < 4 || strcmp(argv[3], works[w].name) == 0))
				measure(&steps[s], &works[w], times);
	return 0;
}
