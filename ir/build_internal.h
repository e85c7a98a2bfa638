// build_internal.h - what the parts of build share: build_check.c (the schedule made complete, what is illegal), build_region.c (what
// stages read and write, regions), build.c (storage, statements, bands, groups).
#pragma once
#include "kernel.h"

typedef struct Region {
  IExpr *lo, *ext;
} Region;
typedef struct Open { // an open band: tile [at, at+step) of axis; limit: guard at < limit (NULL: exact)
  Atom *axis;
  IExpr *at, *limit;
  int64_t step, serial;
  LoopMap map;
} Open;
typedef struct Memo { // a region, while the path it was computed under is open
  int64_t serial;
  Region r;
} Memo;
typedef struct Info { // what build knows of a stage
  Stage *st;
  StageSched *row;
  Atom *axis[MAX_AXES];
  int dim[MAX_AXES]; // which dimension of the temp it fills the axis indexes, alone; -1: none
  bool carried[MAX_AXES];
  bool checked;   // it holds a let that may report: its predicate must be exact
  bool reads_own; // it reads the buffer that it stores
  Ex **load;      // all its loads
  int nload, cload;
  Memo *memo; // [axis][depth]
} Info;
typedef struct Temp {
  int first, last, writer; // stages that touch it; first = -1: none
  Buf *home;               // current storage, and where in the temp it begins
  IExpr *lo[MAX_RANK];
} Temp;
typedef struct Build {
  Kernel *k;
  Schedule *s;
  Info *st;
  Temp *temp; // by buffer id
  Open path[MAX_BANDS];
  int64_t serial;
  Tree **tail;
  bool threads; // some band maps to threads: barriers are needed
} Build;

#define BAD(...) fail(EXIT_INVALID, "schedule.invalid", NOWHERE, __VA_ARGS__)

/* build_check.c */
void build_complete(Kernel *);           // stages without bands get plain loops
int stored_dim(const Stage *, int axis); // the dimension of its buffer that the axis indexes, alone; -1: none
bool updates(const Info *);              // running it twice is not running it once
void build_check(Build *);               // fails on a schedule that is malformed or would change what the stages compute

/* build_region.c */
void build_scan(Build *);
bool touches(const Info *, const Buf *temp);
bool has_lets(IExpr *);
int shared(const Build *, int s);        // leading bands in common with the stage before
int prefix(const Build *, int s);        // bands that a stage shares with either neighbour; below, its own bands cut its region
int common(const Build *, int p, int q); // bands open around both stages
Region need(Build *, Buf *t, int dim, const Atom *axis, int s, int d);
Region current(Build *, int s, int a, int d); // the region as the stage's own loops see it
bool follows_readers(const Info *, int a);
bool covered(Build *, int s, int a, int d, int from, int to, Region); // all that stages outside from..to-1 need of stage s on axis a
static inline IExpr *end_of(Region r) { return ix_add(r.lo, r.ext); }
bool within_tile(Build *, int s, int a, int c);
IExpr *lesser(IExpr *, IExpr *);
IExpr *greater(IExpr *, IExpr *);

/* build.c */
static inline bool is_parallel(int map) { return map == MAP_VEC || map == MAP_PAR || map >= MAP_BLOCK_X; }
const Store *store_of(const Build *, const Buf *temp);
int alloc_depth(const Build *, const Buf *temp); // bands outside its storage
