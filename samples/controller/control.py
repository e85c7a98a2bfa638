"""The policy from Python with nothing but ctypes: tenon controller.onnx -o libcontroller.so; python3 control.py ./libcontroller.so"""
import ctypes as C
import sys

lib = C.CDLL(sys.argv[1])
lib.controller_api.restype = C.POINTER(C.c_void_p)
api = lib.controller_api(1)  # a table; as 64-bit words: 6 open, 8 context, 11 run (tenon_rt.h)
call = lambda k, *a: C.CFUNCTYPE(C.c_int, *[C.c_void_p] * len(a))(api[k])(*a)
value = lambda data, shape: (C.c_uint64 * 13)(1, C.addressof(data), 1, 2 | 2 << 32 | 32 << 40 | 1 << 48, C.addressof(shape), 0, 0, C.sizeof(data))
model, ctx, state, force = C.c_void_p(), C.c_void_p(), (C.c_float * 4)(0.5, 0, 0.15, 0), (C.c_float * 1)()
one_state, one_force = (C.c_int64 * 2)(1, 4), (C.c_int64 * 2)()
assert not call(6, None, C.addressof(model), None) and not call(8, model, C.addressof(ctx), None)
assert not call(11, ctx, value(state, one_state), value(force, one_force), None), "the model refused"
print(f"force {10 * force[0]:.3f} N")
