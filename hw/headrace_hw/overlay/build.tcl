# Builds the overlay of the folder that this file lies in, without a question:
#
#     vivado -mode batch -source build.tcl
#
# Leaves headrace.bit, headrace.hwh, utilization.txt, timing.txt and build.txt in overlay/; fails where timing is not met.

set folder [file normalize [file dirname [info script]]]
foreach part {settings package design} {
    source $folder/$part.tcl
}

set part [dict get $board part]
package_accelerator $folder $part

create_project project $folder/project -part $part -force
set_property ip_repo_paths $folder/ip [current_project]
update_ip_catalog
block_design $board
set design [get_files headrace.bd]
generate_target all $design
add_files [make_wrapper -files $design -top]
set_property top headrace_wrapper [current_fileset]
update_compile_order -fileset sources_1

launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    error "implementation failed: see $folder/project/project.runs"
}
open_run impl_1
file mkdir $folder/overlay
report_utilization -file $folder/overlay/utilization.txt
report_timing_summary -file $folder/overlay/timing.txt
set slack [get_property STATS.WNS [get_runs impl_1]]
set hold [get_property STATS.WHS [get_runs impl_1]]
if {$slack < 0 || $hold < 0} {
    error "timing is not met at [dict get $board clock_mhz] MHz: worst setup slack $slack ns, hold $hold ns"
}

# The description that pynq reads: its folder differs between versions of Vivado.
set described [glob -directory $folder/project {project.{gen,srcs}/sources_1/bd/headrace/hw_handoff/headrace.hwh}]
file copy -force [lindex $described 0] $folder/overlay/headrace.hwh
file copy -force $folder/project/project.runs/impl_1/headrace_wrapper.bit $folder/overlay/headrace.bit
set results [open $folder/overlay/build.txt w]
puts $results "vivado [version -short]\nsetup_slack_ns $slack\nhold_slack_ns $hold"
close $results
