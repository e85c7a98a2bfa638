/* prelude.S - the text of prelude.cuh, carried by the compiler. */
.section .rodata
.globl tenon_cuda_prelude
tenon_cuda_prelude: .incbin "codegen/cuda/prelude.cuh"
.byte 0
.section .note.GNU-stack,"",@progbits
