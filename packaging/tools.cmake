# Why: the program `vvar` for those who have no Bazel. The same sources, flags and
# image as tools/BUILD and vdso/image.bzl have, which tests/packaging holds this
# against. Included by the CMakeLists.txt above.
if(NOT TARGET vvar_hosted)
  message(FATAL_ERROR "VVAR_BUILD_TOOLS: needs Abseil (Debian: libabsl-dev)")
endif()
find_package(nlohmann_json REQUIRED)

# A program to be used, unless another kind is asked for.
if(VVAR_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(VVAR_TOOL_SOURCES clock_facts.cc diagnosis.cc discipline_rules.cc dump.cc
    now.cc reference.cc remedies.cc serve.cc supervisor.cc system.cc time_facts.cc
    vvar.cc watch.cc watch_view.cc)
set(VVAR_TOOL_SOURCES_X86_64 attach.cc exec.cc image_tracer.cc launch.cc
    x86_machine.cc)
set(VVAR_TOOL_SOURCES_ELSEWHERE elsewhere.cc other_machine.cc)

# An image of vdso/TARGET.cc in the program's data, from SYMBOL on. Its bytes are
# to be those that Bazel makes: the same compiler, linker and flags.
function(vvar_embed_image target symbol)
  execute_process(COMMAND "${VVAR_IMAGE_COMPILER}" -print-file-name=include
    OUTPUT_VARIABLE builtin_include OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(image "${PROJECT_BINARY_DIR}/${target}_image")
  add_custom_command(OUTPUT "${image}.o"
    COMMAND "${VVAR_IMAGE_COMPILER}" ${VVAR_IMAGE_FLAGS}
      ${VVAR_IMAGE_FLAGS_${target}} -nostdinc -isystem "${builtin_include}"
      -iquote "${PROJECT_SOURCE_DIR}" -MD -MF "${image}.d"
      -c "${PROJECT_SOURCE_DIR}/vdso/${target}.cc" -o "${image}.o"
    DEPENDS "${PROJECT_SOURCE_DIR}/vdso/${target}.cc" DEPFILE "${image}.d"
    VERBATIM)
  add_custom_command(OUTPUT "${image}"
    COMMAND "${VVAR_IMAGE_LINKER}" -T "${PROJECT_SOURCE_DIR}/vdso/image.ld"
      ${VVAR_IMAGE_LINK_FLAGS} ${VVAR_IMAGE_LINK_FLAGS_${target}}
      "--version-script=${PROJECT_SOURCE_DIR}/vdso/${target}.map"
      "${image}.o" -o "${image}"
    DEPENDS "${image}.o" "${PROJECT_SOURCE_DIR}/vdso/image.ld"
            "${PROJECT_SOURCE_DIR}/vdso/${target}.map"
    VERBATIM)
  file(CONFIGURE OUTPUT "${image}.S" CONTENT "\
  .section .note.GNU-stack, \"\", %progbits
  .section .rodata.${symbol}, \"a\", %progbits
  .balign 4096
  .globl ${symbol}, ${symbol}_end
${symbol}: .incbin \"${image}\"
${symbol}_end:
  .balign 4096
")
  set_property(SOURCE "${image}.S" APPEND PROPERTY OBJECT_DEPENDS "${image}")
  target_sources(vvar_tool PRIVATE "${image}.S")
endfunction()

set(VVAR_IMAGE_FLAGS -std=c++20 -O2 -ffreestanding -nostdinc++ -fno-exceptions
    -fno-rtti -fno-stack-protector -fno-threadsafe-statics -fPIC
    -fvisibility=hidden -fno-jump-tables -fasynchronous-unwind-tables)
set(VVAR_IMAGE_FLAGS_x86_64 -mno-red-zone -mgeneral-regs-only
    -fcf-protection=branch)
set(VVAR_IMAGE_FLAGS_i386 -m32 -mgeneral-regs-only -fcf-protection=none)
set(VVAR_IMAGE_LINK_FLAGS -nostdlib --gc-sections --fatal-warnings -shared
    -Bsymbolic --hash-style=both -zmax-page-size=4096 -znoexecstack
    --no-undefined --eh-frame-hdr --build-id=sha1)
set(VVAR_IMAGE_LINK_FLAGS_x86_64 -soname linux-vdso.so.1)
set(VVAR_IMAGE_LINK_FLAGS_i386 -soname linux-gate.so.1 -m elf_i386)

add_executable(vvar_tool)
# A string of C, as tools/BUILD makes it.
file(CONFIGURE OUTPUT include/tools/version.inc CONTENT "\"${PROJECT_VERSION}\"\n")
target_include_directories(vvar_tool PRIVATE "${PROJECT_BINARY_DIR}/include")
set_property(TARGET vvar_tool PROPERTY OUTPUT_NAME vvar)
target_link_libraries(vvar_tool PRIVATE vvar_hosted absl::flags
  absl::flags_parse absl::str_format nlohmann_json::nlohmann_json)

if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  list(APPEND VVAR_TOOL_SOURCES ${VVAR_TOOL_SOURCES_X86_64})
  find_program(VVAR_IMAGE_COMPILER NAMES x86_64-linux-gnu-g++ g++)
  find_program(VVAR_IMAGE_LINKER NAMES ld.bfd)
  if(NOT VVAR_IMAGE_COMPILER)
    set(VVAR_IMAGE_NEEDS x86_64-linux-gnu-g++)
  elseif(NOT VVAR_IMAGE_LINKER)
    set(VVAR_IMAGE_NEEDS ld.bfd)
  else()
    enable_language(ASM)
    vvar_embed_image(x86_64 vvar_embedded_image)
    vvar_embed_image(i386 vvar_embedded_image_i386)
  endif()
  if(VVAR_IMAGE_NEEDS)
    message(WARNING "vvar is built without its image, so `vvar exec` and `vvar "
                    "attach` refuse: no ${VVAR_IMAGE_NEEDS}")
    target_compile_definitions(vvar_tool PRIVATE
      "VVAR_IMAGE_NEEDS=\"${VVAR_IMAGE_NEEDS}\"")
  endif()
else()
  list(APPEND VVAR_TOOL_SOURCES ${VVAR_TOOL_SOURCES_ELSEWHERE})
endif()
list(TRANSFORM VVAR_TOOL_SOURCES PREPEND "${PROJECT_SOURCE_DIR}/tools/")
target_sources(vvar_tool PRIVATE ${VVAR_TOOL_SOURCES})
