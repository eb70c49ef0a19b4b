/* train.h - how many samples go through the model together in training.
 *
 * Larger passes read weights for more rows, and keep more activations.  What a pass costs beside
 * the head (which takes its rows in pieces of one size) is the same in every layer, so a group is
 * run through the first one alone, forward and backward.  Of sizes with which the backward pass
 * would have to recompute more than with 1 sample none is taken: recomputing costs far more than
 * they bring. */
#ifndef GW_SERVICE_TUNE_TRAIN_H
#define GW_SERVICE_TUNE_TRAIN_H

#include "service/train/plan.h"
#include "service/tune/impl.h"

/* Chooses a micro-batch for the samples of t->opts in their memory, for full weights; takes about
 * `seconds`.  t->result->train.micro_batch stays 0, and its `why` says why, where nothing fits or
 * the time is too short. */
enum gwen_status gw_tune_train(struct gw_tune *t, double seconds, struct gwen_err *err);

#endif
