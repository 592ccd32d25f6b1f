# SPDX-License-Identifier: Apache-2.0
#
# Fixes ROS 2 from PyPI; pass it as -DCMAKE_PROJECT_INCLUDE=<this file>. A ROS installation from apt does not need it.
#
# The wheels' exported *rosidl_generator_py targets contain the Python and NumPy include folders of the machine that
# built the wheels. CMake rejects an imported target with a missing include folder, so such folders are removed. Our own
# target of that kind would export the same defect, and CMake rejects it if the virtual environment is inside the source
# tree. Nothing compiles against that target, so its include folders are removed too.
# The targets appear while CMakeLists.txt runs and are checked after it ends: hence the deferred call.

function(clip2depth_drop_missing_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT folders)
      continue()
    endif()
    set(present "")
    foreach(folder IN LISTS folders)
      # Generator expressions are kept, because they are not paths yet.
      if(folder MATCHES "\\$<" OR IS_DIRECTORY "${folder}")
        list(APPEND present "${folder}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${present}")
  endforeach()
  if(TARGET ${PROJECT_NAME}__rosidl_generator_py)
    set_target_properties(${PROJECT_NAME}__rosidl_generator_py PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "")
  endif()
endfunction()

cmake_language(DEFER CALL clip2depth_drop_missing_includes)
