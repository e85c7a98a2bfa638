// progress.c - who is told how far a long step is (see base.h).
#include "base.h"

void (*progress_sink)(const char *what, int done, int total);
