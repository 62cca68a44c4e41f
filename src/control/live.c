/*
 * See live.h. Whoever watches has the time of the newest sample that it was told of as the mark of its stream; a tick tells what has
 * come since.
 */
#include "control/live.h"

#include <stdlib.h>

#include "control/state.h"

#define WHY_SPAN_US (10 * US_PER_S)

struct live {
	struct control *control;
	uint64_t sample_us; /* the sample that `text` belongs to; 0: none */
	char *text;         /* the frame of that sample alone; NULL: nobody has wanted it yet */
};

/* NULL: there was no reload. */
static json_t *receipt_of(struct reloads *reloads)
{
	char *text = reloads_receipt(reloads);
	json_t *receipt = text != NULL ? json_loads(text, 0, NULL) : NULL;

	free(text);
	return receipt;
}

/* The text from malloc; NULL: out of memory. */
static char *frame_text(const struct live *live, unsigned past)
{
	struct control *control = live->control;
	struct live_scene scene = {
		.window = &control->window,
		.version = control->options.version,
		.start_us = control->start_us,
		.draining = atomic_load(&control->draining),
		.why = why_json(&control->window, window_back(&control->window, WHY_SPAN_US), VIEW("")),
		.reload = receipt_of(&control->reloads),
	};
	json_t *frame = live_frame(&scene, past);
	char *text = frame != NULL ? json_dumps(frame, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;

	json_decref(frame);
	json_decref(scene.why);
	json_decref(scene.reload);
	return text;
}

/* How many samples are newer than the mark; those of which nothing can be told, as there is none before them, left out. */
static unsigned count_since(const struct window *window, uint64_t mark_us)
{
	unsigned count = 0;

	while (count + 1 < window->count && window_sample(window, count)->at_us > mark_us)
		count++;
	return count;
}

static void say_frame(struct admin_conn *c, const char *text)
{
	if (text == NULL)
		return;
	admin_put(c, VIEW("event: live\ndata: "));
	admin_put(c, view_str(text));
	admin_put(c, VIEW("\n\n"));
}

/* A new sample is there: what was said of the one before is of no use any more. */
static void live_refresh(struct live *live, uint64_t sample_us)
{
	if (live->sample_us == sample_us)
		return;
	live->sample_us = sample_us;
	free(live->text);
	live->text = NULL;
}

static bool live_tick(struct admin_conn *c)
{
	struct live *live = c->control->live;
	const struct window *window = &c->control->window;
	uint64_t *mark = admin_stream_mark(c);
	unsigned count = count_since(window, *mark);

	if (count == 0)
		return true;
	*mark = window_sample(window, 0)->at_us;
	live_refresh(live, *mark);
	if (count == 1) {
		if (live->text == NULL)
			live->text = frame_text(live, 0);
		say_frame(c, live->text);
	} else {
		char *text = frame_text(live, count - 1);

		say_frame(c, text);
		free(text);
	}
	return true;
}

void answer_live(struct admin_conn *c)
{
	admin_stream(c, VIEW("Content-Type: text/event-stream\r\n"), live_tick);
}

struct live *live_create(struct control *control)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live != NULL)
		live->control = control;
	return live;
}

void live_free(struct live *live)
{
	if (live == NULL)
		return;
	free(live->text);
	free(live);
}
