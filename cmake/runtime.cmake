# The runtime's objects, as they go into artifacts: position independent, baseline CPU, no stack protector and no fortify (their symbols are
# not among the imports of runtime/imports.txt), never sanitized. runtime/main*.c is the executable's main, host*.c, regex.c and utf.c are the
# host ops, which only models with strings, sequences and the like need; host_openblas.c is apart, because it alone needs libopenblas, and
# host_image*.c are, because few models decode images; all else is the core.
# A symbol tn_x becomes tn_<hash of the contents>_x, so equal runtimes merge in a static link and different ones live side by side.
# Leaves rt_core.o, rt_host.o, rt_main.o, rt_openblas.o, rt_image.o, rt.hash and rt_hash.h (RT_HASH) in build/rt, which codegen/artifact takes in by .incbin.
file(GLOB rt_sources CONFIGURE_DEPENDS runtime/*.c runtime/*.S)
set(rt_dir ${CMAKE_BINARY_DIR}/rt)
file(MAKE_DIRECTORY ${rt_dir})
set(rt_flags -std=gnu17 -Wall -Wextra -Wshadow -Werror -O2 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -fno-stack-protector
    -U_FORTIFY_SOURCE -ffp-contract=off -fno-strict-aliasing -fno-asynchronous-unwind-tables -fno-ident
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -I${CMAKE_SOURCE_DIR} -I${CMAKE_SOURCE_DIR}/runtime/include -D_GNU_SOURCE)

function(rt_object source object)
  add_custom_command(
    OUTPUT ${rt_dir}/${object}
    COMMAND ${CCACHE} ${CMAKE_C_COMPILER} ${rt_flags} ${ARGN} -MMD -MF ${rt_dir}/${object}.d -c ${source} -o ${rt_dir}/${object}
    DEPENDS ${source} DEPFILE ${rt_dir}/${object}.d VERBATIM)
endfunction()

set(rt_core "")
set(rt_host "")
set(rt_main "")
set(rt_openblas "")
set(rt_image "")
foreach(source ${rt_sources})
  get_filename_component(stem ${source} NAME_WE)
  rt_object(${source} ${stem}.o)
  if(stem MATCHES "^main")
    list(APPEND rt_main ${rt_dir}/${stem}.o)
  elseif(stem STREQUAL "host_openblas")
    list(APPEND rt_openblas ${rt_dir}/${stem}.o)
  elseif(stem MATCHES "^host_image")
    list(APPEND rt_image ${rt_dir}/${stem}.o)
  elseif(stem MATCHES "^(host|regex|utf)")
    list(APPEND rt_host ${rt_dir}/${stem}.o)
  else()
    list(APPEND rt_core ${rt_dir}/${stem}.o)
  endif()
  if(stem STREQUAL "entry") # the same file holds _start, for executables only
    rt_object(${source} start.o -DTN_START)
    list(APPEND rt_main ${rt_dir}/start.o)
  endif()
endforeach()
if(rt_core AND rt_main)
  set(RUNTIME_BLOB ${rt_dir}/rt_core.o ${rt_dir}/rt_host.o ${rt_dir}/rt_main.o ${rt_dir}/rt_openblas.o ${rt_dir}/rt_image.o ${rt_dir}/rt_hash.h)
  add_custom_command(
    OUTPUT ${RUNTIME_BLOB}
    COMMAND sh ${CMAKE_SOURCE_DIR}/cmake/rt_blob.sh ${rt_dir} "${rt_core}" "${rt_host}" "${rt_main}" "${rt_openblas}" "${rt_image}"
    DEPENDS ${rt_core} ${rt_host} ${rt_main} ${rt_openblas} ${rt_image} ${CMAKE_SOURCE_DIR}/cmake/rt_blob.sh VERBATIM)
endif()
add_custom_target(runtime_blob DEPENDS ${RUNTIME_BLOB})

# The same sources as a plain library, for unit tests and sanitizers.
list(FILTER rt_sources EXCLUDE REGEX "/main[^/]*$")
if(rt_sources)
  add_library(tenon_runtime STATIC ${rt_sources})
  target_link_libraries(tenon_runtime PUBLIC pthread ${CMAKE_DL_LIBS})
endif()
