/*
 * See survey.h. Nothing is locked: memory goes back and forth with messages, and belongs to whoever was sent it last.
 *
 *     control's thread                                       a worker's thread
 *
 *     RESTING --- question, `lent` is the worker's now -->   snapshot_begin(lent), a slice in each turn of its loop
 *        ^  ASKED                                                |
 *        '------- answer: `lent` is `known`, and back -----------'   (unless no counters were wanted: reporter_learn)
 *
 *     ENDED  <--- farewell: `last` is `known` ------------   its loop has ended: `last` is taken
 *
 * A reporter has three snapshots. `known` is what the worker said last and is never anybody else's. `lent` is written by
 * the worker between question and answer. `last` is the worker's from the beginning until its farewell, because its end
 * may come while `lent` is control's.
 *
 * A question to a worker whose loop has just ended is never received. That is no harm: the farewell, which comes in its
 * place, makes the reporter ENDED, and an ENDED one is not asked again. Messages of one worker arrive in order, so an
 * answer never comes after the farewell.
 *
 * All messages stand in the reporters. An unreceived one is linked in the mailbox of a loop that nobody runs any more, and
 * io_free() does not look at it; so the order in which this memory and the loops are freed does not matter, once the
 * threads of all workers have ended. What matters is that this loop outlives those threads (they post to it), and that
 * theirs outlive this thread (it posts to them): control.h says in which order that is.
 */
#include "control/survey.h"

#include <stdlib.h>

enum reporter_state { REPORTER_RESTING, REPORTER_ASKED, REPORTER_ENDED };

/* A worker as the control thread sees it. */
struct reporter {
	struct survey *survey;
	struct io *io;   /* the worker's */
	struct worker *worker;
	struct io_message question, answer, farewell;
	struct io_task slice;  /* on the worker's loop */
	struct snapshot *known, *lent, *last;
	unsigned wants;  /* of the question; written before it is sent */
	uint64_t asked;  /* number of the survey in which it was asked last */
	uint64_t heard;  /* and answered last */
	enum reporter_state state;
};

/* --- on the worker's thread --------------------------------------------------------------------------------------- */

static void on_slice(struct io_task *task)
{
	struct reporter *r = container_of(task, struct reporter, slice);

	if (snapshot_go_on(&r->lent, r->worker))
		io_post(r->survey->io, &r->answer);
	else
		io_defer(r->io, task);
}

static void on_question(struct io_message *message)
{
	struct reporter *r = container_of(message, struct reporter, question);

	snapshot_begin(&r->lent, r->worker, r->wants);
	io_defer(r->io, &r->slice);
}

void survey_farewell(struct survey *survey, unsigned index)
{
	struct reporter *r = &survey->reporters[index];

	io_defer_cancel(r->io, &r->slice);
	snapshot_begin(&r->last, r->worker, SNAPSHOT_COUNTERS);
	while (!snapshot_go_on(&r->last, r->worker))
		;
	io_post(survey->io, &r->farewell);
}

/* --- on the control thread ---------------------------------------------------------------------------------------- */

static void reporter_ask(struct reporter *r)
{
	r->state = REPORTER_ASKED;
	r->asked = r->survey->number;
	r->wants = r->survey->wants;
	io_post(r->io, &r->question);
}

static void survey_end(struct survey *s)
{
	io_timer_cancel(s->io, &s->timer);
	for (struct list_node *node; (node = list_pop_front(&s->asking)) != NULL;) {
		struct survey_request *request = container_of(node, struct survey_request, node);

		request->on_surveyed(request);
	}
	if (!list_empty(&s->waiting))
		io_defer(s->io, &s->begin);
}

static void survey_check(struct survey *s)
{
	unsigned heard = 0;

	for (unsigned i = 0; i < s->count; i++)
		heard += survey_heard(s, i);
	if (heard == s->count && io_timer_armed(&s->timer))
		survey_end(s);
}

/* Counters that nobody wanted are of before in `lent`, and newer in `known`. */
static void reporter_learn(struct reporter *r)
{
	struct snapshot *said = r->lent;

	if (!(r->wants & SNAPSHOT_COUNTERS)) {
		struct generation *before = r->known->in_force;

		r->known->oldest = said->oldest;
		r->known->in_force = said->in_force;
		said->in_force = before;
		return;
	}
	r->lent = r->known;
	r->known = said;
}

static void on_answer(struct io_message *message)
{
	struct reporter *r = container_of(message, struct reporter, answer);
	struct survey *s = r->survey;

	reporter_learn(r);
	r->heard = r->asked;
	r->state = REPORTER_RESTING;
	if (r->heard == s->number)
		survey_check(s);
	else if (io_timer_armed(&s->timer))
		/* It answered an earlier survey, so late that this one has begun without it. */
		reporter_ask(r);
}

static void on_farewell(struct io_message *message)
{
	struct reporter *r = container_of(message, struct reporter, farewell);
	struct snapshot *before = r->known;

	r->known = r->last;
	r->last = before;
	r->state = REPORTER_ENDED;
	survey_check(r->survey);
}

static void on_begin(struct io_task *task)
{
	struct survey *s = container_of(task, struct survey, begin);

	s->number++;
	list_splice_back(&s->asking, &s->waiting);
	s->wants = SNAPSHOT_NOTHING;
	list_each_safe(&s->asking, node, next)
		s->wants |= container_of(node, struct survey_request, node)->wants;
	io_timer_set(s->io, &s->timer, deadline_after(io_now_us(s->io), SURVEY_US));
	for (unsigned i = 0; i < s->count; i++)
		if (s->reporters[i].state == REPORTER_RESTING)
			reporter_ask(&s->reporters[i]);
	survey_check(s);
}

static void on_timer(struct io_timer *timer)
{
	survey_end(container_of(timer, struct survey, timer));
}

void survey_ask(struct survey *s, struct survey_request *request)
{
	list_push_back(&s->waiting, &request->node);
	if (!io_timer_armed(&s->timer))
		io_defer(s->io, &s->begin);
}

void survey_cancel(struct survey_request *request)
{
	list_remove(&request->node);
}

bool survey_heard(const struct survey *s, unsigned index)
{
	const struct reporter *r = &s->reporters[index];

	return r->state == REPORTER_ENDED || r->heard == s->number;
}

static struct generation *newer(struct generation *a, struct generation *b)
{
	return a == NULL || (b != NULL && b->number > a->number) ? b : a;
}

/* Of those that counters are of. */
static struct generation *newest_counted(const struct survey *s)
{
	struct generation *newest = NULL;

	for (unsigned i = 0; i < s->count; i++)
		newest = newer(newest, s->reporters[i].known->generation);
	return newest;
}

const struct generation *survey_generation(const struct survey *s)
{
	struct generation *newest = NULL;

	for (unsigned i = 0; i < s->count; i++)
		newest = newer(newest, s->reporters[i].known->in_force);
	return newest;
}

void survey_sum(const struct survey *s, struct snapshot **sum)
{
	struct generation *newest = newest_counted(s);

	if (newest != NULL)
		snapshot_fit(sum, newest);
	snapshot_clear(*sum);
	for (unsigned i = 0; i < s->count; i++)
		snapshot_add(*sum, s->reporters[i].known);
}

const struct snapshot *survey_worker(const struct survey *s, unsigned index)
{
	return s->reporters[index].known;
}

void survey_oldest(const struct survey *s, struct oldest *oldest)
{
	oldest->at_us = 0;
	oldest_clear(oldest);
	for (unsigned i = 0; i < s->count; i++)
		if (survey_heard(s, i))
			oldest_merge(oldest, &s->reporters[i].known->oldest);
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

static bool reporter_init(struct reporter *r, struct survey *survey, const struct config *config)
{
	r->survey = survey;
	r->question.on_receive = on_question;
	r->answer.on_receive = on_answer;
	r->farewell.on_receive = on_farewell;
	r->slice.on_run = on_slice;
	r->known = snapshot_create(config);
	r->lent = snapshot_create(config);
	r->last = snapshot_create(config);
	return r->known != NULL && r->lent != NULL && r->last != NULL;
}

bool survey_init(struct survey *s, struct io *io, const struct config *config, unsigned count)
{
	*s = (struct survey){.io = io, .timer.on_fire = on_timer, .begin.on_run = on_begin};
	list_init(&s->asking);
	list_init(&s->waiting);
	s->reporters = calloc(count, sizeof(*s->reporters));
	if (s->reporters == NULL)
		return false;
	for (; s->count < count; s->count++)
		if (!reporter_init(&s->reporters[s->count], s, config)) {
			s->count++;
			return false;
		}
	return true;
}

void survey_attach(struct survey *s, unsigned index, struct io *io, struct worker *worker)
{
	s->reporters[index].io = io;
	s->reporters[index].worker = worker;
}

void survey_close(struct survey *s)
{
	io_timer_cancel(s->io, &s->timer);
	io_defer_cancel(s->io, &s->begin);
}

void survey_release(struct survey *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		snapshot_free(s->reporters[i].known);
		snapshot_free(s->reporters[i].lent);
		snapshot_free(s->reporters[i].last);
	}
	free(s->reporters);
}
