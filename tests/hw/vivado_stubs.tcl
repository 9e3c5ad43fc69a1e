# Stand-ins for the Vivado commands that the overlay scripts use. They know the names and arguments of each command, and
# the pins of the block design's cells (set up by the test in `ports`, by VLNV without version), and fail like Vivado for
# anything else. `validate_bd_design` demands that every AXI interface, clock, reset and interrupt pin of every cell is
# connected once and every slave has one address. At the end the log says what was done.

array set cells {}
array set driven {}
array set configs {}
set addresses {}
set automatic 0
set claimed {}
set done {}

proc fail {text} { error "vivado stub: $text" }

# Checks `arguments` against a list of options with a value, flags, and a range of positional arguments.
proc parse {command arguments options flags least most} {
    set found {}
    set rest {}
    for {set n 0} {$n < [llength $arguments]} {incr n} {
        set word [lindex $arguments $n]
        if {[string match -* $word] && ![string is double -strict $word]} {
            if {$word in $flags} { dict set found $word 1; continue }
            if {$word ni $options} { fail "$command: unknown option $word" }
            dict set found $word [lindex $arguments [incr n]]
        } else {
            lappend rest $word
        }
    }
    if {[llength $rest] < $least || [llength $rest] > $most} { fail "$command: wrong # of arguments: $arguments" }
    return [list $found $rest]
}

namespace eval ipx {}
proc note {text} { global done; lappend done $text }

# name: {options} {flags} least most {result}
foreach {name options flags least most result} {
    create_project {-part} {-force} 2 2 project
    close_project {} {} 0 0 {}
    add_files {} {} 1 1 {}
    update_compile_order {-fileset} {} 0 0 {}
    update_ip_catalog {} {} 0 0 {}
    current_fileset {} {} 0 0 fileset
    current_project {} {} 0 0 project
    generate_target {} {} 2 2 {}
    make_wrapper {-files} {-top} 0 0 wrapper.v
    get_files {} {} 1 1 headrace.bd
    get_runs {} {} 1 1 impl_1
    launch_runs {-to_step -jobs} {} 1 1 {}
    wait_on_run {} {} 1 1 {}
    open_run {} {} 1 1 {}
    report_utilization {-file} {} 0 0 {}
    report_timing_summary {-file} {} 0 0 {}
    save_bd_design {} {} 0 0 {}
    create_bd_design {} {} 1 1 {}
    ipx::package_project {-root_dir -vendor -library -taxonomy -set_current} {-import_files} 0 0 {}
    ipx::current_core {} {} 0 0 core
    ipx::infer_bus_interface {} {} 3 3 {}
    ipx::associate_bus_interfaces {-busif -clock} {} 1 1 {}
    ipx::create_xgui_files {} {} 1 1 {}
    ipx::update_checksums {} {} 1 1 {}
    ipx::save_core {} {} 1 1 {}
    ipx::add_bus_parameter {} {} 2 2 parameter
} {
    proc $name args [format {
        parse %s $args {%s} {%s} %s %s
        note "%s $args"
        return {%s}
    } $name $options $flags $least $most $name $result]
}

proc version {args} { parse version $args {} {-short} 0 0; return 2022.1 }
proc ipx::get_bus_interfaces {args} {
    global masters
    lassign [parse ipx::get_bus_interfaces $args {-of_objects} {} 1 1] found rest
    return [expr {[lindex $rest 0] eq "*axi*" ? [concat s_axi $masters] : $rest}]
}
proc get_ipdefs {args} {
    global ports
    lassign [parse get_ipdefs $args {} {-all} 1 1] found rest
    set name [string trimright [lindex $rest 0] :*]
    return [expr {[info exists ports($name)] ? [list $name:9.0 $name:10.0] : {}}]
}
proc get_property {args} {
    lassign [parse get_property $args {} {} 2 2] found rest
    lassign $rest key of
    switch $key {
        PROGRESS { return 100% }
        STATS.WNS { return $::slack }
        STATS.WHS { return 0.05 }
        name { return $of }
    }
    fail "get_property $rest"
}
proc set_property {args} {
    global configs
    lassign [parse set_property $args {-dict} {} 1 3] found rest
    if {[dict exists $found -dict]} {
        if {[llength [dict get $found -dict]] % 2} { fail "set_property: odd dictionary" }
        lappend configs([lindex $rest end]) {*}[dict get $found -dict]
    }
}

proc create_bd_cell {args} {
    global cells ports
    lassign [parse create_bd_cell $args {-type -vlnv} {} 1 1] found rest
    set vlnv [dict get $found -vlnv]
    if {![string match *:10.0 $vlnv]} { fail "$vlnv is not the newest version" }
    set cells([lindex $rest 0]) [string range $vlnv 0 end-5]
    return [lindex $rest 0]
}
proc get_bd_cells {args} {
    global cells
    lassign [parse get_bd_cells $args {} {} 1 1] found rest
    if {![info exists cells([lindex $rest 0])]} { fail "no cell $rest" }
    return $rest
}
proc pin {path kinds} {
    global cells ports
    lassign [split $path /] cell name
    if {![info exists cells($cell)]} { fail "no cell $cell" }
    if {![dict exists $ports($cells($cell)) $name]} { fail "$cell ($cells($cell)) has no pin $name" }
    if {[dict get $ports($cells($cell)) $name] ni $kinds} { fail "pin $path is of another kind" }
    return $path
}
proc get_bd_pins {args} { return [pin [lindex $args 0] {in out}] }
proc get_bd_intf_pins {args} { return [pin [lindex $args 0] {master slave}] }
proc connect {from to source sink} {
    global driven
    pin $from $source
    pin $to $sink
    if {[info exists driven($to)]} { fail "$to is connected twice" }
    # aresetn is active low, the accelerator's rst is active high.
    if {[string match */rst $to] != [string match */peripheral_reset $from] ||
        [string match *aresetn $to] != [string match *aresetn $from]} {
        fail "$from is no reset for $to: one is active high, the other low"
    }
    set driven($to) $from
    if {$source eq "master"} { set driven($from) $to }
}
proc connect_bd_net {args} { connect {*}[lindex [parse connect_bd_net $args {} {} 2 2] 1] out in }
proc connect_bd_intf_net {args} { connect {*}[lindex [parse connect_bd_intf_net $args {} {} 2 2] 1] master slave }
proc apply_bd_automation {args} {
    lassign [parse apply_bd_automation $args {-rule -config} {} 1 1] found rest
    if {[llength [dict get $found -config]] % 2} { fail "apply_bd_automation: odd config" }
}
proc get_bd_addr_spaces {args} { return [lindex $args 0] }
proc get_bd_addr_segs {args} { return [dict get [lindex [parse get_bd_addr_segs $args {-of_objects} {} 0 0] 0] -of_objects] }
proc assign_bd_address {args} {
    global addresses automatic claimed
    lassign [parse assign_bd_address $args {-target_address_space -offset -range} {} 0 1] found rest
    if {[llength $rest] == 0} { incr automatic; return }
    if {[dict exists $addresses $rest]} { fail "$rest has an address already" }
    set first [expr {[dict get $found -offset]}]
    set size [expr "[string map {K *1024} [dict get $found -range]]"]
    if {$first % $size} { fail "$rest: [dict get $found -offset] is no multiple of its range" }
    foreach {from to} $claimed {
        if {$first < $to && $first + $size > $from} { fail "$rest overlaps another range" }
    }
    lappend claimed $first [expr {$first + $size}]
    dict set addresses $rest [dict get $found -offset]
}
proc validate_bd_design {args} {
    global cells ports driven addresses automatic optional
    foreach cell [lsort [array names cells]] {
        dict for {name kind} $ports($cells($cell)) {
            if {$kind ne "out" && "$cells($cell)/$name" ni $optional && ![info exists driven($cell/$name)]} {
                fail "$cell/$name is not connected"
            }
            if {$name eq "irq" && [lsearch -exact [array get driven] $cell/$name] < 0} {
                fail "$cell/$name interrupts nothing"
            }
        }
    }
    if {[lsort [dict keys $addresses]] ne {axi_intc_0/s_axi headrace_0/s_axi} || $automatic != 1} {
        fail "addresses: $addresses, $automatic automatic"
    }
    note "validated [dict values $addresses]"
}
proc glob {args} { return [list /dev/null] }
proc file {command args} {
    if {$command in {copy mkdir}} { note "file $command $args"; return }
    return [uplevel 1 [list ::real_file $command {*}$args]]
}
