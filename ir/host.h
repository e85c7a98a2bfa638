// host.h - the host program: what the caller's thread walks at run time. Plain code over symbols and buffers: allocate, launch,
// If, Loop, host ops. It is part of Kernel IR (same text, same interpreter, same emitters), not a third IR.
#pragma once
#include "kernel.h"

typedef struct HBuf HBuf;
typedef struct HStmt HStmt;
typedef struct Program Program;

// Where a program value's memory is
typedef enum HPlace {
  PLACE_INPUT,  // graph input `index`
  PLACE_OUTPUT, // graph output `index`; exact: the runtime provides memory before the program starts, from dim[] in entry symbols;
                // otherwise the program calls HS_OUTPUT once the dims are known
  PLACE_CONST,  // at `offset` in the weights
  PLACE_ARENA,  // at `offset` (IExpr of entry symbols) in the workspace; memory plan fills it
  PLACE_SLAB,   // grow-only memory of the context, slot `index`: HS_GROW gives it its size (data-dependent sizes)
  PLACE_ALIAS,  // the same memory as `alias`, from `shift` elements on
  PLACE_HANDLE, // a tenon_value in the frame, slot `index` (sequences, optionals, maps, strings): moved by host ops
} HPlace;
struct HBuf {
  Sym name;
  const Type *type; // tensors: dims in program symbols
  HPlace place;
  int index;
  int64_t coffset; // CONST
  IExpr *offset;   // ARENA, in bytes
  HBuf *alias;
  IExpr *shift;
  bool exact;
  int id;
  // liveness, filled and used by the memory plan: first and last statement number
  int first, last;
  Tensor *data;      // CONST: contents in logical order
  const Layout *lay; // CONST: physical order in the weights (packing happens when the weights are written); else NULL
};

typedef enum HKind {
  HS_LAUNCH, // kernel(buf.., sym = arg..): each top-level tree of the kernel is one parallel phase
  HS_SET,    // sym = value of integer element `index` of buf[0], checked against the symbol's range (site); clamped if site < 0
  HS_LET,    // sym = expr
  HS_GROW,   // slab of buf[0] gets room for expr bytes; contents up to `keep` bytes survive
  HS_OUTPUT, // buf[0] (PLACE_OUTPUT, not exact) gets memory for its dims
  HS_CALL,   // runtime function `callee` on values buf.. (operands, then results; NULL absent) with attributes: tn_op_<callee>
  HS_IF,     // buf[0][0] ? body : other
  HS_LOOP,   // sym counts from 0 while sym < expr (expr NULL: no bound) and while cond (buf[0][0], if any) is true: body
  HS_MOVE,   // handle buf[0] <- handle buf[1] (the old value is freed), or: pointers and dims of slabs exchanged
  HS_COPY,   // bytes of buf[1] to buf[0] (equal dims)
  HS_CHECK,  // expr >= 0, else E_DATA or E_SHAPE at site
} HKind;
struct HStmt {
  HKind kind;
  Kernel *kernel;
  int nbuf, nin; // nin, CALL: how many of buf are operands, the rest are results
  HBuf **buf;
  IExpr **arg;  // LAUNCH: a value for each kernel->sym (normally the symbol itself)
  IExpr **temp; // LAUNCH: byte offset in the workspace of each buffer that the kernel's tree allocates at its top level, in order
  int ntemp;
  HBuf *base; // LAUNCH: the slab that temp counts from, where only the run knows the sizes; NULL: the workspace
  Atom *sym;
  IExpr *expr, *index, *keep;
  int site;
  Sym callee;
  const void *attrs; // CALL: struct Attr[nattr] (graph.h), encoded by codegen
  int nattr;
  HStmt *body, *other, *next;
  int number; // in program order, for liveness
};

typedef struct HIo { // an input or output of the artifact
  Sym name;
  const Type *type;
  HBuf *buf;
  bool optional;
  int pair, pair_axis; // state; -1
} HIo;
struct Program {
  Sym name;
  HIo *in, *out;
  int nin, nout;
  // Symbols in the order of tn_frame.sym: first those bound by input dims, then named expressions (computed before the program starts,
  // in order), then those set by statements.
  Atom **sym;
  int nsym, nentry; // nentry: computable at entry
  struct Require {  // entry checks: expr >= 0, in the model's words
    IExpr *expr;
    Sym text;
  } *require;
  int nrequire, crequire;
  HBuf **buf;
  int nbuf, cbuf;
  Kernel **kernel; // distinct ones after dedup
  int nkernel, ckernel;
  Site *site;
  int nsite, csite;
  HStmt *body;
  IExpr *arena;   // bytes of workspace shared by all workers, in entry symbols
  IExpr *scratch; // bytes for each worker
  int nslab, nhandle;
  int64_t weights; // bytes
  // provenance for info and the ELF note
  Sym opsets, source_sha256, target, flags;
};
Program *program_new(Sym name);
bool host_calls(const HStmt *, const char *callee); // is it called (NULL: is anything)?
bool hbuf_is_handle(const HBuf *);                  // is it anything but a dense tensor (strings, sequences, ..)?
IExpr *hbuf_size(const HBuf *);                     // physical elements: pad and halo of the layout included
HBuf *program_buf(Program *, Sym name, const Type *, HPlace);
void program_print(const Program *, Text *text, Text *side); // symbols, buffers, kernels (stages, or tree if built), statements
Program *program_parse(const char *text, size_t n, const void *side, size_t nside, const char *file);
void program_verify(const Program *);
// Interprets the program: in/out are tensors (out: filled with new ones; an absent optional input is NULL), of strings only the dims;
// values behind handles go through eval_host. EXIT_DATA: the model refuses the data (fault says where, if a site does);
// EXIT_UNSUPPORTED: eval_host is wanted but not there.
Exit program_eval(Program *, Tensor *const *in, Tensor **out, EvalFault *fault);
// How the interpreter calls host operators, and the values that only they understand. The runtime is no part of the compiler: a tool
// binds it. NULL: there are none.
typedef struct EvalPlace { // of an operand or result; both NULL: absent, or a dense result whose dims only the operator knows:
  void *data;              // it sets their symbols and leaves the contents here until the next call
  void **handle;           // the slot of a value that is no dense tensor
} EvalPlace;
typedef struct EvalHost {
  bool (*call)(const HStmt *, EvalPlace *, EvalFault *); // a place for each of the statement's buf; false: refused, the fault says why
  void (*move)(void **to, void **from);                  // both slots hold the value then
  void **in, **out;                                      // slots by input and output
} EvalHost;
extern EvalHost *eval_host;
// How the interpreter launches a kernel whose parameters' data and symbols' val are set; NULL: by eval_tree or eval_stages.
extern bool (*eval_kernel)(Kernel *, EvalFault *fault);
