# The target `llvm`: LLVM 19's C API. Static archives start a process 10 ms sooner than the shared library, which matters more than
# link time for a compiler that is run once for each small model; sanitizer builds take the shared library.
find_program(LLVM_CONFIG NAMES llvm-config-19 REQUIRED)
execute_process(COMMAND ${LLVM_CONFIG} --includedir OUTPUT_VARIABLE llvm_include OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${LLVM_CONFIG} --libdir OUTPUT_VARIABLE llvm_lib OUTPUT_STRIP_TRAILING_WHITESPACE)
add_library(llvm INTERFACE)
target_include_directories(llvm SYSTEM INTERFACE ${llvm_include})
find_library(ZSTD_STATIC libzstd.a)
if(TENON_LLVM_SHARED OR NOT EXISTS ${llvm_lib}/libLLVMCore.a OR NOT ZSTD_STATIC)
  target_link_libraries(llvm INTERFACE ${llvm_lib}/libLLVM-19.so)
else()
  execute_process(COMMAND ${LLVM_CONFIG} --link-static --libs core analysis target passes ipo bitwriter irreader x86codegen x86asmparser x86desc x86info mcdisassembler
                  OUTPUT_VARIABLE llvm_libs OUTPUT_STRIP_TRAILING_WHITESPACE)
  separate_arguments(llvm_libs)
  target_link_directories(llvm INTERFACE ${llvm_lib})
  # libxml2 and libz3 are named by --system-libs but reached by nothing that we use.
  target_link_libraries(llvm INTERFACE ${llvm_libs} ${ZSTD_STATIC} z rt ${CMAKE_DL_LIBS} m stdc++ pthread)
  target_link_options(llvm INTERFACE -Wl,--gc-sections -no-pie) # no-pie: 300 000 relocations less at every start, 2 ms
endif()
find_program(LLD NAMES ld.lld)
if(LLD)
  target_link_options(llvm INTERFACE -fuse-ld=lld)
endif()
