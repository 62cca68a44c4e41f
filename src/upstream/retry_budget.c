/* See retry_budget.h. */
#include "upstream/retry_budget.h"

static void slot_clear(struct retry_budget *budget, uint32_t at)
{
	budget->retries -= budget->retries_in[at];
	budget->requests_in[at] = budget->retries_in[at] = 0;
}

__attribute__((noinline, cold)) void retry_budget_move(struct retry_budget *budget, uint64_t now_us)
{
	if (now_us < budget->until_us)
		return;
	/* Once around is enough, however long it was. */
	uint64_t slots = (now_us - budget->until_us) / RETRY_BUDGET_SLOT_US + 1;
	uint32_t steps = slots < RETRY_BUDGET_SLOTS ? (uint32_t)slots : RETRY_BUDGET_SLOTS;

	for (uint32_t i = 0; i < steps; i++) {
		budget->at = (budget->at + 1) % RETRY_BUDGET_SLOTS;
		slot_clear(budget, budget->at);
	}
	budget->until_us += slots * RETRY_BUDGET_SLOT_US;
}

/* In all slots. Added up by the few who ask, so that each request counts itself only once. */
static uint64_t requests(const struct retry_budget *budget)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < RETRY_BUDGET_SLOTS; i++)
		sum += budget->requests_in[i];
	return sum;
}

bool retry_budget_take(struct retry_budget *budget, uint64_t now_us, uint32_t percent, uint32_t min_per_s)
{
	retry_budget_move(budget, now_us);

	bool in_share = ((uint64_t)budget->retries + 1) * 100 <= requests(budget) * percent;

	if (!in_share && budget->retries_in[budget->at] >= min_per_s)
		return false;
	budget->retries++;
	budget->retries_in[budget->at]++;
	return true;
}
