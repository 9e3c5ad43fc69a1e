# IP-XACT package of headrace.v in ip/: AXI and AXI4-Lite interfaces are inferred from the ports' names, clock, reset
# and interrupt named here. Needs `part`.

proc package_accelerator {folder part} {
    create_project package $folder/package -part $part -force
    add_files $folder/headrace.v
    set_property top headrace [current_fileset]
    update_compile_order -fileset sources_1
    ipx::package_project -root_dir $folder/ip -vendor headrace -library user -taxonomy /UserIP -import_files -set_current true
    set core [ipx::current_core]
    set_property -dict [list name headrace version 1.0 display_name headrace \
        description {Neural networks from entropy-coded weights} core_revision 1] $core

    foreach {port kind} {clk clock_rtl rst reset_rtl irq interrupt_rtl} {
        ipx::infer_bus_interface $port xilinx.com:signal:$kind:1.0 $core
    }
    foreach {port parameter value} {rst POLARITY ACTIVE_HIGH irq SENSITIVITY LEVEL_HIGH clk ASSOCIATED_RESET rst} {
        set interface [ipx::get_bus_interfaces $port -of_objects $core]
        set_property value $value [ipx::add_bus_parameter $parameter $interface]
    }
    foreach interface [ipx::get_bus_interfaces *axi* -of_objects $core] {
        ipx::associate_bus_interfaces -busif [get_property name $interface] -clock clk $core
    }
    ipx::create_xgui_files $core
    ipx::update_checksums $core
    ipx::save_core $core
    close_project
}
