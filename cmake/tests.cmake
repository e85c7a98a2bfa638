# Tests: each tests/unit/*_test.c is one cmocka program. It is linked with the rooms whose headers it includes, so a room that does not
# build stops no other room's tests.
enable_testing()
find_library(CMOCKA cmocka)
if(NOT CMOCKA)
  message(STATUS "cmocka is not there: no unit tests")
  return()
endif()
# Links a program with the rooms that its source includes.
function(link_by_includes name source)
  file(STRINGS ${source} includes REGEX "^#include [<\"]")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  foreach(dir frontend passes codegen/artifact codegen/llvm codegen/cuda codegen runtime ir)
    string(REPLACE "/" "_" lib tenon_${dir})
    if(includes MATCHES "[<\"]${dir}/" AND TARGET ${lib})
      target_link_libraries(${name} PRIVATE ${lib})
    endif()
  endforeach()
  target_link_libraries(${name} PRIVATE m)
endfunction()

add_custom_target(unit)
file(GLOB tests CONFIGURE_DEPENDS tests/unit/*_test.c)
foreach(source ${tests})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  link_by_includes(${name} ${source})
  target_link_libraries(${name} PRIVATE ${CMOCKA})
  target_compile_definitions(${name} PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  add_dependencies(unit ${name})
endforeach()

# bench/measure.c: times an artifact beside its rivals
add_executable(measure EXCLUDE_FROM_ALL bench/measure.c)
target_link_libraries(measure PRIVATE ${CMAKE_DL_LIBS})
target_compile_options(measure PRIVATE -O2)

# Tools that only tests use: evaluators, runners, fuzz targets without a fuzzer.
add_custom_target(tools)
file(GLOB tools CONFIGURE_DEPENDS tests/tools/*.c)
foreach(source ${tools})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${name} PRIVATE tenon_frontend $<LINK_LIBRARY:WHOLE_ARCHIVE,tenon_passes> tenon_codegen)
  target_compile_definitions(${name} PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_dependencies(tools ${name})
endforeach()
target_sources(evalrun PRIVATE tests/host/evalhost.c) # the interpreter with the runtime's host operators
target_link_libraries(evalrun PRIVATE tenon_runtime)
target_compile_definitions(evalrun PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}") # where emulate.h finds emu.h

# Random stages under random schedules: tree = stages, and code = tree for every 25th; CUDA C on the CPU = tree.
if(TARGET schedule_fuzz)
  add_test(NAME schedule_fuzz COMMAND schedule_fuzz 0 400 25)
  add_test(NAME schedule_fuzz_cuda COMMAND schedule_fuzz --cuda 360 100)
  file(GLOB test_kernels CONFIGURE_DEPENDS tests/kernels/*.kir)
  add_test(NAME test_kernels COMMAND schedule_fuzz ${test_kernels})
endif()

# Fuzzers: tests/fuzz/*_fuzz.c, each with LLVMFuzzerTestOneInput; cmake -DTENON_FUZZ=ON with clang.
option(TENON_FUZZ "build tests/fuzz with libFuzzer (clang only)" OFF)
if(TENON_FUZZ)
  add_custom_target(fuzz)
  file(GLOB fuzzers CONFIGURE_DEPENDS tests/fuzz/*_fuzz.c)
  foreach(source ${fuzzers})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} EXCLUDE_FROM_ALL ${source})
    link_by_includes(${name} ${source})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzz ${name})
  endforeach()
endif()

# Malformed and malicious models through `tenon check`: exit codes, time, memory, output.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND AND TARGET tenon)
  add_test(NAME hostile COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/hostile/run.py $<TARGET_FILE:tenon> check)
endif()
