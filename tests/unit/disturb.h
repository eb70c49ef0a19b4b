/* disturb.h - makes threads of the test stop for a while at random places, as they do when other
 * processes take their cores. */
#ifndef GW_TEST_DISTURB_H
#define GW_TEST_DISTURB_H

/* From now until disturb_stop() one thread of this process after another is held up for up to a
 * millisecond by a signal (SIGUSR1) that sleeps. */
void disturb_start(void);
void disturb_stop(void);

#endif
