# SPDX-License-Identifier: Apache-2.0
#
# Mends ROS 2 from PyPI; pass it as -DCMAKE_PROJECT_INCLUDE=<this file>. A ROS installation from apt needs none of it.
#
# The wheels' exported *rosidl_generator_py targets name the Python and NumPy include folders of the machine that built
# the wheels. CMake refuses an imported target with an include folder that does not exist, so such folders are dropped.
# Our own target of that kind would hand on the same defect, and a virtual environment inside the source tree makes
# CMake refuse it outright; nobody compiles against that target, so its folders go too.
# The targets appear while CMakeLists.txt runs and are checked after it ends: hence the deferred call in between.

function(clip2depth_drop_missing_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT folders)
      continue()
    endif()
    set(present "")
    foreach(folder IN LISTS folders)
      # A generator expression is not a path yet; it stays.
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
