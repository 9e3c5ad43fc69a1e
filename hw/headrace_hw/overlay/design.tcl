# The block design: processing system, accelerator, interrupt controller, and what connects them.

# The newest version of an IP that this Vivado has.
proc newest {name} {
    set found [lsort -dictionary [get_ipdefs -all $name:*]]
    if {[llength $found] == 0} {
        error "this Vivado has no $name"
    }
    return [lindex $found end]
}

proc cell {name ip} {
    return [create_bd_cell -type ip -vlnv [newest $ip] $name]
}

# Names of pins and parameters of the two families of processing systems.
proc processing_system {board} {
    dict with board {}
    if {$family eq "zynq"} {
        set system [cell ps xilinx.com:ip:processing_system7]
        set config [list CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ $crystal_mhz CONFIG.PCW_EN_CLK0_PORT 1 \
            CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $clock_mhz CONFIG.PCW_USE_M_AXI_GP0 1 \
            CONFIG.PCW_USE_FABRIC_INTERRUPT 1 CONFIG.PCW_IRQ_F2P_INTR 1]
        foreach port $ports {
            lappend config CONFIG.PCW_USE_$port 1
        }
        set_property -dict $config $system
        apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
            -config {make_external "FIXED_IO, DDR" apply_board_preset "0"} $system
        return [dict create clock FCLK_CLK0 reset FCLK_RESET0_N interrupt IRQ_F2P master M_AXI_GP0 \
            master_clock M_AXI_GP0_ACLK space Data]
    }
    set system [cell ps xilinx.com:ip:zynq_ultra_ps_e]
    # Slave ports are numbered otherwise in parameters: HP0 is GP2.
    set config [list CONFIG.PSU__PSS_REF_CLK__FREQMHZ $crystal_mhz \
        CONFIG.PSU__FPGA_PL0_ENABLE 1 CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $clock_mhz \
        CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0 CONFIG.PSU__USE__IRQ0 1]
    foreach port $ports {
        regexp {HP(\d)} $port -> number
        set number [expr {$number + 2}]
        lappend config CONFIG.PSU__USE__S_AXI_GP$number 1 CONFIG.PSU__SAXIGP${number}__DATA_WIDTH 64
    }
    set_property -dict $config $system
    return [dict create clock pl_clk0 reset pl_resetn0 interrupt pl_ps_irq0 master M_AXI_HPM0_FPD \
        master_clock maxihpm0_fpd_aclk space Data]
}

proc slave_clock {family port} {
    return [expr {$family eq "zynq" ? "${port}_ACLK" : "saxi[string tolower [string range $port 6 end]]_aclk"}]
}

# An AXI interconnect from one master to slaves; every pin of it is connected here but the interfaces' far ends.
proc interconnect {name slaves} {
    set connect [cell $name xilinx.com:ip:smartconnect]
    set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI $slaves] $connect
    clocked $name/aclk
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $name/aresetn]
    return $connect
}

proc clocked {pin} {
    variable clock
    connect_bd_net [get_bd_pins ps/$clock] [get_bd_pins $pin]
}

proc link {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

proc block_design {board} {
    variable clock
    dict with board {}
    create_bd_design headrace
    set pins [processing_system $board]
    set clock [dict get $pins clock]
    cell headrace_0 headrace:user:headrace
    cell reset xilinx.com:ip:proc_sys_reset
    cell axi_intc_0 xilinx.com:ip:axi_intc

    clocked reset/slowest_sync_clk
    connect_bd_net [get_bd_pins ps/[dict get $pins reset]] [get_bd_pins reset/ext_reset_in]
    clocked headrace_0/clk
    connect_bd_net [get_bd_pins reset/peripheral_reset] [get_bd_pins headrace_0/rst]
    clocked axi_intc_0/s_axi_aclk
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins axi_intc_0/s_axi_aresetn]

    # Registers.
    clocked ps/[dict get $pins master_clock]
    interconnect registers 2
    link ps/[dict get $pins master] registers/S00_AXI
    link registers/M00_AXI headrace_0/s_axi
    link registers/M01_AXI axi_intc_0/s_axi

    # DRAM: a master of the accelerator to a port of its own.
    foreach master $masters port $ports {
        interconnect memory_$port 1
        clocked ps/[slave_clock $family $port]
        link headrace_0/$master memory_$port/S00_AXI
        link memory_$port/M00_AXI ps/$port
    }

    # Interrupt, through the controller that pynq's driver expects.
    set_property -dict [list CONFIG.C_IRQ_CONNECTION 1] [get_bd_cells axi_intc_0]
    connect_bd_net [get_bd_pins headrace_0/irq] [get_bd_pins axi_intc_0/intr]
    connect_bd_net [get_bd_pins axi_intc_0/irq] [get_bd_pins ps/[dict get $pins interrupt]]

    set space [get_bd_addr_spaces ps/[dict get $pins space]]
    foreach {slave offset range} [list headrace_0/s_axi $registers 4K axi_intc_0/s_axi $interrupts 64K] {
        assign_bd_address -target_address_space $space -offset $offset -range $range \
            [get_bd_addr_segs -of_objects [get_bd_intf_pins $slave]]
    }
    assign_bd_address
    validate_bd_design
    save_bd_design
}
