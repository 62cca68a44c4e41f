/*
 * The requests and answers of the model (sim_model.h) as fields of HTTP/2.
 */
#ifndef WEIR_SIM_MODEL_H2_H
#define WEIR_SIM_MODEL_H2_H

#include "sim_frames.h"
#include "sim_model.h"

/* The head as a client sends it; of KIND_MALFORMED one that must be refused. */
void request_fields(const struct sim_request *request, struct block_writer *block);

/* Trailers; of KIND_BAD_CONTENT some that must not be. */
void request_trailers(const struct sim_request *request, struct block_writer *block);

/* An informational head: the one before `left` others. */
void hint_fields(const struct sim_answer *answer, unsigned number, struct block_writer *block);

/* The final head of one of the request's answers as a server sends it, with the defect that was drawn for it. */
void answer_fields(const struct sim_request *request, const struct sim_answer *answer, struct block_writer *block);
void answer_trailers(const struct sim_request *request, struct block_writer *block);

#endif
