# Why: what `cmake --install` puts where. Included by the CMakeLists.txt above,
# for whoever installs. Nothing here depends on the machine but the tool, so it
# goes where files for all machines are.
include(CMakePackageConfigHelpers)
set(VVAR_CONFIGDIR "${CMAKE_INSTALL_DATADIR}/cmake/vvar")

foreach(folder vvar clocks fallback paravirt)
  install(DIRECTORY ${folder} DESTINATION "${VVAR_INCLUDEDIR}"
          FILES_MATCHING PATTERN "*.h")
endforeach()
install(TARGETS vvar_core EXPORT vvar_core)
install(EXPORT vvar_core NAMESPACE vvar:: FILE vvarCore.cmake
        DESTINATION "${VVAR_CONFIGDIR}")

# Where the headers are, seen from the .pc files: so that a folder that was
# installed may be moved.
set(VVAR_PKGCONFIGDIR "${CMAKE_INSTALL_DATADIR}/pkgconfig")
file(RELATIVE_PATH VVAR_INCLUDE_FROM_PC
     "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig"
     "${CMAKE_INSTALL_FULL_INCLUDEDIR}/vvar")
set(VVAR_PC_FILES vvar.pc)

if(TARGET vvar_hosted)
  install(DIRECTORY hosted DESTINATION "${VVAR_INCLUDEDIR}"
          FILES_MATCHING PATTERN "*.h")
  install(FILES vdso/loader.h DESTINATION "${VVAR_INCLUDEDIR}/vdso")
  install(TARGETS vvar_hosted EXPORT vvar_hosted)
  install(EXPORT vvar_hosted NAMESPACE vvar:: FILE vvarHosted.cmake
          DESTINATION "${VVAR_CONFIGDIR}")
  list(TRANSFORM VVAR_ABSEIL PREPEND "absl_" OUTPUT_VARIABLE VVAR_ABSEIL_PC)
  list(JOIN VVAR_ABSEIL_PC " " VVAR_ABSEIL_PC)
  list(APPEND VVAR_PC_FILES vvar-hosted.pc)
endif()

foreach(file ${VVAR_PC_FILES})
  configure_file(packaging/${file}.in ${file} @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${file}"
          DESTINATION "${VVAR_PKGCONFIGDIR}")
endforeach()

configure_package_config_file(packaging/vvarConfig.cmake.in vvarConfig.cmake
  INSTALL_DESTINATION "${VVAR_CONFIGDIR}")
# Before 1.0 a minor may break its users.
write_basic_package_version_file(vvarConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/vvarConfig.cmake"
              "${PROJECT_BINARY_DIR}/vvarConfigVersion.cmake"
        DESTINATION "${VVAR_CONFIGDIR}")

install(FILES LICENSE README.md CHANGELOG.md
        DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(DIRECTORY docs DESTINATION "${CMAKE_INSTALL_DOCDIR}"
        FILES_MATCHING PATTERN "*.md")

if(TARGET vvar_tool)
  install(TARGETS vvar_tool RUNTIME)
  install(FILES packaging/vvar.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
  install(FILES packaging/vvar.bash RENAME vvar
          DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
  # /usr/lib or /usr/local/lib, whatever a machine's own libraries are in.
  file(READ "packaging/vvar@.service" VVAR_UNIT)
  string(REPLACE "/usr/bin/" "${CMAKE_INSTALL_FULL_BINDIR}/" VVAR_UNIT
                 "${VVAR_UNIT}")
  file(WRITE "${PROJECT_BINARY_DIR}/vvar@.service" "${VVAR_UNIT}")
  install(FILES "${PROJECT_BINARY_DIR}/vvar@.service"
          DESTINATION lib/systemd/system)
endif()
