# One static library a folder. A layer sees its own headers and those of the layers it names, through a folder of links
# that holds nothing else: including upwards or sideways does not compile.
function(coffer_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LAYERS;LIBRARIES" ${ARGN})
  set(view ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${view})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${name} ${view}/${name} SYMBOLIC)
  add_library(coffer_${name} STATIC ${ARG_SOURCES})
  target_include_directories(coffer_${name} PUBLIC ${view})
  foreach(layer ${ARG_LAYERS})
    target_link_libraries(coffer_${name} PUBLIC coffer_${layer})
  endforeach()
  target_link_libraries(coffer_${name} PRIVATE ${ARG_LIBRARIES})
endfunction()
