// value.c - constants, vectors and small instructions on top of LLVM's builder.
#include "emit.h"
#include <string.h>

Emit em;

V k32(int64_t v) { return LLVMConstInt(em.i32, (uint64_t)v, 1); }
V k64(int64_t v) { return LLVMConstInt(em.i64, (uint64_t)v, 1); }

bool is_vec(V x) { return LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind; }
static bool is_vec_type(T t) { return LLVMGetTypeKind(t) == LLVMVectorTypeKind; }
static unsigned lanes(V x) { return LLVMGetVectorSize(LLVMTypeOf(x)); }

static V const_splat(V c, unsigned n) {
  V v[4 * MAX_LANES];
  if (n > 4 * MAX_LANES) bug("a vector of %u lanes", n);
  for (unsigned i = 0; i < n; i++) v[i] = c;
  return LLVMConstVector(v, n);
}
V const_int(T t, int64_t value) {
  if (!is_vec_type(t)) return LLVMConstInt(t, (uint64_t)value, 1);
  return const_splat(LLVMConstInt(LLVMGetElementType(t), (uint64_t)value, 1), LLVMGetVectorSize(t));
}
V const_of(T t, double value) {
  T e = is_vec_type(t) ? LLVMGetElementType(t) : t;
  if (LLVMGetTypeKind(e) == LLVMIntegerTypeKind) return const_int(t, (int64_t)value);
  V c = LLVMConstReal(e, value);
  return is_vec_type(t) ? const_splat(c, LLVMGetVectorSize(t)) : c;
}

T vec_of(T t) { return em.lane ? LLVMVectorType(t, (unsigned)em.W) : t; }
T like(T t, V shape) { return is_vec(shape) ? LLVMVectorType(t, lanes(shape)) : t; }
V splat_to(V x, unsigned n) {
  if (is_vec(x)) return x;
  if (LLVMIsConstant(x) && (LLVMIsAConstantInt(x) || LLVMIsAConstantFP(x))) return const_splat(x, n);
  T t = LLVMVectorType(LLVMTypeOf(x), n);
  V u = LLVMBuildInsertElement(em.b, LLVMGetPoison(t), x, k32(0), "");
  return LLVMBuildShuffleVector(em.b, u, LLVMGetPoison(t), LLVMConstNull(LLVMVectorType(em.i32, n)), "");
}
V splat(V x) { return em.lane ? splat_to(x, (unsigned)em.W) : x; }
void match(V *a, V *b) {
  if (is_vec(*a)) *b = splat_to(*b, lanes(*a));
  else if (is_vec(*b)) *a = splat_to(*a, lanes(*b));
}
V lane_of(V x, int l) { return is_vec(x) ? LLVMBuildExtractElement(em.b, x, k32(l), "") : x; }
V put_lane(V vec, V x, int l) { return LLVMBuildInsertElement(em.b, vec, x, k32(l), ""); }

V intrin(const char *name, int ntypes, const T *types, int n, const V *arg) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  if (!id) bug("LLVM has no intrinsic %s", name);
  V f = LLVMGetIntrinsicDeclaration(em.mod, id, (T *)types, (size_t)ntypes);
  return LLVMBuildCall2(em.b, LLVMGlobalGetValueType(f), f, (V *)arg, (unsigned)n, "");
}
V intrin1(const char *name, V x) { return intrin(name, 1, (T[]){LLVMTypeOf(x)}, 1, &x); }
V intrin2(const char *name, V x, V y) {
  match(&x, &y);
  return intrin(name, 1, (T[]){LLVMTypeOf(x)}, 2, (V[]){x, y});
}

V select_of(V c, V a, V b) {
  match(&a, &b);
  if (is_vec(c)) a = splat_to(a, lanes(c)), b = splat_to(b, lanes(c));
  return LLVMBuildSelect(em.b, c, a, b, "");
}
V icmp(LLVMIntPredicate p, V a, V b) {
  match(&a, &b);
  return LLVMBuildICmp(em.b, p, a, b, "");
}
V fcmp(LLVMRealPredicate p, V a, V b) {
  match(&a, &b);
  return LLVMBuildFCmp(em.b, p, a, b, "");
}

V load_at(T t, V p, unsigned align) {
  V x = LLVMBuildLoad2(em.b, t, p, "");
  LLVMSetAlignment(x, align);
  return x;
}
V store_at(V x, V p, unsigned align) {
  V s = LLVMBuildStore(em.b, x, p);
  LLVMSetAlignment(s, align);
  return s;
}
V gep(T elem, V p, V index) { return LLVMBuildGEP2(em.b, elem, p, &index, 1, ""); }
V gepk(T elem, V p, int64_t index) { return index ? gep(elem, p, k64(index)) : p; }

Block new_block(const char *name) { return LLVMAppendBasicBlockInContext(em.cx, em.fn, name); }

// A stack slot of the function, made in its entry block: one place whatever loop asks for it.
V entry_alloca(T elem, int64_t n, unsigned align) {
  LLVMBuilderRef b = LLVMCreateBuilderInContext(em.cx);
  Block entry = LLVMGetEntryBasicBlock(em.fn);
  V first = LLVMGetFirstInstruction(entry);
  if (first) LLVMPositionBuilderBefore(b, first);
  else LLVMPositionBuilderAtEnd(b, entry);
  V a = LLVMBuildAlloca(b, LLVMArrayType2(elem, (uint64_t)n), "");
  LLVMSetAlignment(a, align);
  LLVMDisposeBuilder(b);
  return a;
}

V call_fn(V fn, int n, const V *arg) { return LLVMBuildCall2(em.b, LLVMGlobalGetValueType(fn), fn, (V *)arg, (unsigned)n, ""); }

// Runtime functions carry a hash of the runtime's contents and are linked into the same image: hidden, so no PLT.
V runtime_fn(const char *name, T ret, int n, const T *arg) {
  const char *hash = em.opt->rt_hash ? em.opt->rt_hash : "";
  char *full = *hash ? fmt("tn_%s_%s", hash, name) : fmt("tn_%s", name);
  V f = LLVMGetNamedFunction(em.mod, full);
  if (f) return f;
  f = LLVMAddFunction(em.mod, full, LLVMFunctionType(ret, (T *)arg, (unsigned)n, 0));
  LLVMSetVisibility(f, LLVMHiddenVisibility);
  return f;
}

void set_attr(V fn, const char *key, const char *val) {
  LLVMAttributeRef a = LLVMCreateStringAttribute(em.cx, key, (unsigned)strlen(key), val, (unsigned)strlen(val));
  LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}
void set_enum_attr(V fn, const char *key, uint64_t val) {
  unsigned id = LLVMGetEnumAttributeKindForName(key, strlen(key));
  if (!id) bug("LLVM has no attribute %s", key);
  LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(em.cx, id, val));
}

V const_global(V init, unsigned align) {
  V g = LLVMAddGlobal(em.mod, LLVMTypeOf(init), "");
  LLVMSetInitializer(g, init);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMPrivateLinkage);
  LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
  LLVMSetAlignment(g, align);
  return g;
}
V const_string(const char *s) { return const_global(LLVMConstStringInContext2(em.cx, s, strlen(s), 0), 1); }
