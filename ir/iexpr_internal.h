// iexpr_internal.h - what the files of the algebra share. Nobody else includes it.
#pragma once
#include "iexpr.h"

enum { TERMS_MAX = 4000 }; // of one expression

/* iexpr.c */
extern jmp_buf *ix_proof;   // set while something is only being proved: where an overflow goes
extern uint32_t ix_epoch;   // grows when a range changes: memos of an older epoch are void
extern IExpr **ix_all;      // every expression in order of creation
extern Atom **ix_atoms_all; // every atom in order of creation
extern int ix_nall, ix_natoms;
IExpr *axpy(IExpr *a, int64_t c, IExpr *b);                                          // a + c*b
IExpr *one_term(Term);                                                               // the term as an expression
int mono_cmp(const Term *, const Term *);                                            // degree, then ids: an order that products respect
int merge_terms(const Term *a, int na, const Term *b, int nb, int64_t c, Term *out); // a + c*b of sorted terms
const Term *find_mono(const IExpr *, Atom *const *fac, int nfac);
int64_t content(const IExpr *, bool with_constant); // gcd of the coefficients, 0 for 0
bool leads_negative(const IExpr *);                 // sign of the leading term, in an order equal in every run
IExpr *exact_div(IExpr *p, IExpr *q);               // the polynomial quotient, or NULL
IExpr *scale_down(IExpr *, int64_t k);              // coefficients divided, the constant floored
IExpr *float_atom(FTree *);
int64_t floor_div(int64_t a, int64_t b);
int64_t saturate(__int128);
IExpr *rebuild(IExpr *, IExpr *(*f)(Atom *, void *), void *u); // replaces top-level atoms by f's answer
IExpr *rebuild_atom(Atom *, IExpr *a, IExpr *b);               // the composite atom's operation on other operands

/* iexpr_range.c */
void cheap_range(IExpr *);              // sets lo, hi from the atoms' ranges
void atom_range(Atom *);                // sets lo, hi of a composite atom from its operands' cheap ranges
bool divisor(const Atom *, int64_t *c); // is it x / c with a constant c?

/* iexpr_walk.c */
uint32_t new_stamp(void);
