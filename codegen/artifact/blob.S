/* blob.S - what the compiler carries: the runtime, its host ops, those by OpenBLAS, those that decode images, the executable's main, the table of allowed imports. */
.section .rodata
.globl tenon_rt_core, tenon_rt_core_end, tenon_rt_host, tenon_rt_host_end, tenon_rt_main, tenon_rt_main_end, tenon_rt_imports
.globl tenon_rt_openblas, tenon_rt_openblas_end, tenon_rt_image, tenon_rt_image_end
.balign 16
tenon_rt_core: .incbin "rt_core.o"
tenon_rt_core_end:
.balign 16
tenon_rt_host: .incbin "rt_host.o"
tenon_rt_host_end:
.balign 16
tenon_rt_main: .incbin "rt_main.o"
tenon_rt_main_end:
.balign 16
tenon_rt_openblas: .incbin "rt_openblas.o"
tenon_rt_openblas_end:
.balign 16
tenon_rt_image: .incbin "rt_image.o"
tenon_rt_image_end:
tenon_rt_imports: .incbin "imports.txt"
.byte 0
.section .note.GNU-stack,"",@progbits
