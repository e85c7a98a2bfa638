# libtenon, the man page, completion, tenon.pc and the CMake package; `ninja install` puts all in place.
include(GNUInstallDirs)
if(EXISTS ${CMAKE_SOURCE_DIR}/driver/libtenon.c)
  add_library(libtenon SHARED driver/libtenon.c)
  set_target_properties(libtenon PROPERTIES OUTPUT_NAME tenon VERSION ${PROJECT_VERSION} SOVERSION 0 C_VISIBILITY_PRESET default)
  install(TARGETS libtenon LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(FILES driver/tenon.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endif()
install(FILES runtime/include/tenon_rt.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} OPTIONAL)
install(DIRECTORY runtime/include/dlpack DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} OPTIONAL)
if(TARGET tenon)
  install(TARGETS tenon RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/tenon.1 ${CMAKE_BINARY_DIR}/tenon.bash
    COMMAND tenon --print=man > ${CMAKE_BINARY_DIR}/tenon.1
    COMMAND tenon --print=bash-completion > ${CMAKE_BINARY_DIR}/tenon.bash
    DEPENDS tenon)
  add_custom_target(manual ALL DEPENDS ${CMAKE_BINARY_DIR}/tenon.1)
  install(FILES ${CMAKE_BINARY_DIR}/tenon.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/tenon.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME tenon)
endif()
configure_file(cmake/tenon.pc.in ${CMAKE_BINARY_DIR}/tenon.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tenon.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/TenonConfigVersion.cmake VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES cmake/TenonConfig.cmake ${CMAKE_BINARY_DIR}/TenonConfigVersion.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Tenon)
