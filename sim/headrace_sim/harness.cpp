// One accelerator in Verilator and the memory it is connected to, as a C interface for ctypes (simulator.py).
//
// Memory: AXI4, 64 bits, in order. The first beat of a read burst comes `latency` cycles after its address at the
// earliest, then one per cycle and read port; the answer to a write burst comes `latency` cycles after its last beat.
// `stall` / 65536 is the probability that a channel pauses in a cycle, `bandwidth` / 256 the beats per cycle that all
// reads and writes share (0: no limit). Accesses outside of the memory get DECERR. The first breach of the protocol
// (checks.h) is kept as text and ends `run`.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "Vdut.h"
#include "checks.h"
#include "verilated.h"
#ifdef HEADRACE_TRACE
#include "verilated_vcd_c.h"
#endif
#ifdef HEADRACE_COVERAGE
#include "verilated_cov.h"
#endif

namespace {

using checks::Held;
using checks::Shape;

constexpr size_t kQueue = 16;        // bursts that the memory keeps
constexpr uint32_t kLiteLimit = 1000;  // cycles that a register access may take
enum Response : uint8_t { OKAY = 0, SLVERR = 2, DECERR = 3 };
enum FaultKind : uint32_t { READ_ERROR = 1, WRITE_ERROR = 2, READ_SILENCE = 3, WRITE_SILENCE = 4 };

struct Options {
    uint64_t* memory;  // the caller's; outlives the bench
    uint64_t memory_bytes, seed;
    uint32_t base, latency, stall, bandwidth;
    uint32_t longest;  // beats of a burst
    uint32_t status;   // offset of the register whose bit 0 is `busy`
};

struct Statistics {
    uint64_t cycles;
    uint64_t read_bursts, read_beats;
    uint64_t read_waits;    // cycles with a read under way and no beat there
    uint64_t read_blocked;  // cycles with a beat that the device did not take
    uint64_t write_bursts, write_beats;
    uint64_t write_blocked;  // cycles with a beat that the memory did not take
};

struct Fault {
    uint32_t kind, first, end;  // byte addresses first <= a < end
};

struct Burst {
    uint32_t address, beats, done;
    uint64_t ready;  // first cycle in which a beat, or the answer, may be there
    uint8_t response;
};

struct Beat {
    uint64_t data;
    uint8_t strobes;
    bool last;
};

// A read port: the device's pins, and the bursts that the memory keeps.
struct ReadPort {
    CData &arvalid, &arready, &arlen, &arsize, &arburst, &arcache, &arprot;
    IData& araddr;
    CData &rvalid, &rready, &rresp, &rlast;
    QData& rdata;
    std::deque<Burst> bursts{};
    Held ar{};
    bool shown = false;
};
#define HEADRACE_READ_PORT(d, name)                                                                                   \
    ReadPort {                                                                                                        \
        d->name##_arvalid, d->name##_arready, d->name##_arlen, d->name##_arsize, d->name##_arburst,                    \
            d->name##_arcache, d->name##_arprot, d->name##_araddr, d->name##_rvalid, d->name##_rready,                 \
            d->name##_rresp, d->name##_rlast, d->name##_rdata                                                          \
    }

class Bench {
  public:
    explicit Bench(const Options& options)
        : checker(options.longest), options_(options), context_(new VerilatedContext),
          random_(options.seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u) {
#ifdef HEADRACE_TRACE
        context_->traceEverOn(true);
#endif
        dut_.reset(new Vdut(context_.get()));
        ports_.push_back(HEADRACE_READ_PORT(dut_, m_axi));
#if HEADRACE_READ_PORTS > 1
        ports_.push_back(HEADRACE_READ_PORT(dut_, m_axi1));
#endif
        reset();
    }

    void reset() {
        for (ReadPort& port : ports_) {
            port.bursts.clear();
            port.ar = Held();
            port.shown = false;
        }
        writes_.clear();
        beats_.clear();
        answers_.clear();
        aw_ = w_ = lite_r_held_ = lite_b_held_ = Held();
        lite_reads_ = lite_writes_ = lite_beats_ = 0;
        answer_shown_ = false;
        dut_->s_axi_awvalid = dut_->s_axi_wvalid = dut_->s_axi_arvalid = 0;
        dut_->s_axi_bready = dut_->s_axi_rready = 0;
        dut_->rst = 1;
        for (int n = 0; n < 4; n++) cycle();
        dut_->rst = 0;
    }

    void cycle() {
        drive();
        checker.cycle = statistics.cycles;
        dut_->clk = 0;
        dut_->eval();
        dump(0);
        if (!dut_->rst) sample();
        dut_->clk = 1;
        dut_->eval();
        dump(5);
        statistics.cycles++;
    }

    // Cycles until the interrupt, at most `limit`.
    uint64_t run(uint64_t limit) {
        uint64_t start = statistics.cycles;
        while (!dut_->irq && statistics.cycles - start < limit && checker.violation.empty()) cycle();
        return statistics.cycles - start;
    }

    bool interrupt() const { return dut_->irq; }

    bool read(uint32_t offset, uint32_t* value) {
        dut_->s_axi_araddr = offset;
        dut_->s_axi_arprot = 0;
        dut_->s_axi_arvalid = 1;
        bool good = false;
        for (uint32_t n = 0; n < kLiteLimit && !good; n++) {
            dut_->s_axi_rready = !stalls();
            cycle();
            if (lite_ar_) dut_->s_axi_arvalid = 0;
            if (lite_r_) good = true;
        }
        dut_->s_axi_arvalid = dut_->s_axi_rready = 0;
        *value = lite_data_;
        if (good && offset == options_.status && !(lite_data_ & 1)) checker.settled(under_way());
        return good && lite_response_ == OKAY;
    }

    bool write(uint32_t offset, uint32_t value) {
        dut_->s_axi_awaddr = offset;
        dut_->s_axi_awprot = 0;
        dut_->s_axi_wdata = value;
        dut_->s_axi_wstrb = 15;
        dut_->s_axi_awvalid = dut_->s_axi_wvalid = 1;
        bool good = false;
        for (uint32_t n = 0; n < kLiteLimit && !good; n++) {
            dut_->s_axi_bready = !stalls();
            cycle();
            if (lite_aw_) dut_->s_axi_awvalid = 0;
            if (lite_w_) dut_->s_axi_wvalid = 0;
            if (lite_b_) good = true;
        }
        dut_->s_axi_awvalid = dut_->s_axi_wvalid = dut_->s_axi_bready = 0;
        return good && lite_response_ == OKAY;
    }

    bool trace(const char* path) {
#ifdef HEADRACE_TRACE
        if (trace_) trace_->close();
        trace_.reset();
        if (path == nullptr) return true;
        trace_.reset(new VerilatedVcdC);
        dut_->trace(trace_.get(), 99);
        trace_->open(path);
        return trace_->isOpen();
#else
        return path == nullptr;
#endif
    }

    // Counts since creation, for verilator_coverage.
    bool coverage(const char* path) const {
#ifdef HEADRACE_COVERAGE
        context_->coveragep()->write(path);
        return true;
#else
        (void)path;
        return false;
#endif
    }

    ~Bench() {
        trace(nullptr);
        dut_->final();
    }

    std::vector<Fault> faults;
    Statistics statistics{};
    checks::Checker checker;

  private:
    // Inputs of this cycle; they depend on no output of it.
    void drive() {
        Vdut& dut = *dut_;
        if (options_.bandwidth) budget_ = std::min<int64_t>(budget_ + options_.bandwidth, 16 * 256);
        dut.m_axi_awready = writes_.size() < kQueue && !stalls();
        dut.m_axi_wready = beats_.size() < 256 && !stalls() && (!options_.bandwidth || budget_ >= 256);
        // Ports take turns at being first, since they share the bandwidth.
        for (size_t n = 0; n < ports_.size(); n++) {
            ReadPort& port = ports_[(n + statistics.cycles) % ports_.size()];
            port.arready = port.bursts.size() < kQueue && !stalls();
            if (!port.shown) show_read(port);
            port.rvalid = port.shown;
        }
        if (!answer_shown_) show_answer();
        dut.m_axi_bvalid = answer_shown_;
    }

    void show_read(ReadPort& port) {
        if (port.bursts.empty() || port.bursts.front().ready > statistics.cycles || stalls() || !spend()) return;
        const Burst& burst = port.bursts.front();
        if (faulty(READ_SILENCE, burst.address)) return;
        uint32_t address = burst.address + 8 * burst.done;
        bool inside = holds(address);
        port.shown = true;
        port.rdata = inside ? options_.memory[(address - options_.base) / 8] : 0xDEADBEEFDEADBEEFu;
        port.rresp = !inside ? DECERR : faulty(READ_ERROR, address) ? SLVERR : OKAY;
        port.rlast = burst.done + 1 == burst.beats;
    }

    void show_answer() {
        if (answers_.empty() || answers_.front().ready > statistics.cycles || stalls()) return;
        if (faulty(WRITE_SILENCE, answers_.front().address)) return;
        answer_shown_ = true;
        dut_->m_axi_bresp = answers_.front().response;
    }

    // What the coming clock edge transfers.
    void sample() {
        Vdut& dut = *dut_;
        Statistics& count = statistics;
        for (ReadPort& port : ports_) sample(port);
        const Shape burst{dut.m_axi_awlen, dut.m_axi_awsize, dut.m_axi_awburst, dut.m_axi_awcache, dut.m_axi_awprot};
        checker.held("AW", aw_, dut.m_axi_awvalid, dut.m_axi_awready, burst.packed(dut.m_axi_awaddr));
        checker.held("W", w_, dut.m_axi_wvalid, dut.m_axi_wready, dut.m_axi_wdata, dut.m_axi_wstrb << 1 | dut.m_axi_wlast);
        if (dut.m_axi_wvalid) {
            uint64_t places = dut.m_axi_awvalid ? dut.m_axi_awlen + 1u : 0;
            for (const Burst& open : writes_) places += open.beats - open.done;
            checker.data(dut.m_axi_wstrb, places - std::min<uint64_t>(places, beats_.size()));
        }
        count.write_blocked += dut.m_axi_wvalid && !dut.m_axi_wready;
        if (answer_shown_ && dut.m_axi_bready) {
            answer_shown_ = false;
            answers_.pop_front();
        }
        if (dut.m_axi_awvalid && dut.m_axi_awready) {
            count.write_bursts++;
            checker.burst("AW", dut.m_axi_awaddr, burst, writes_.size() + answers_.size() + 1);
            writes_.push_back({dut.m_axi_awaddr, dut.m_axi_awlen + 1u, 0, 0, OKAY});
        }
        if (dut.m_axi_wvalid && dut.m_axi_wready) {
            count.write_beats++;
            if (options_.bandwidth) budget_ -= 256;
            beats_.push_back({dut.m_axi_wdata, dut.m_axi_wstrb, dut.m_axi_wlast != 0});
        }
        while (!writes_.empty() && !beats_.empty()) store();
        sample_lite();
    }

    void sample_lite() {
        Vdut& dut = *dut_;
        checker.held("the register bus: R", lite_r_held_, dut.s_axi_rvalid, dut.s_axi_rready, dut.s_axi_rdata, dut.s_axi_rresp);
        checker.held("the register bus: B", lite_b_held_, dut.s_axi_bvalid, dut.s_axi_bready, dut.s_axi_bresp);
        checker.answer("R", dut.s_axi_rvalid, lite_reads_);
        checker.answer("B", dut.s_axi_bvalid, std::min(lite_writes_, lite_beats_));
        lite_ar_ = dut.s_axi_arvalid && dut.s_axi_arready;
        lite_aw_ = dut.s_axi_awvalid && dut.s_axi_awready;
        lite_w_ = dut.s_axi_wvalid && dut.s_axi_wready;
        lite_r_ = dut.s_axi_rvalid && dut.s_axi_rready;
        lite_b_ = dut.s_axi_bvalid && dut.s_axi_bready;
        lite_reads_ += lite_ar_ - lite_r_;
        lite_writes_ += lite_aw_ - lite_b_;
        lite_beats_ += lite_w_ - lite_b_;
        if (lite_r_) lite_data_ = dut.s_axi_rdata;
        if (lite_r_ || lite_b_) lite_response_ = lite_r_ ? dut.s_axi_rresp : dut.s_axi_bresp;
    }

    void sample(ReadPort& port) {
        Statistics& count = statistics;
        const Shape burst{port.arlen, port.arsize, port.arburst, port.arcache, port.arprot};
        checker.held("AR", port.ar, port.arvalid, port.arready, burst.packed(port.araddr));
        count.read_waits += !port.bursts.empty() && !port.shown;
        count.read_blocked += port.shown && !port.rready;
        if (port.shown && port.rready) {
            count.read_beats++;
            port.shown = false;
            if (++port.bursts.front().done == port.bursts.front().beats) port.bursts.pop_front();
        }
        if (port.arvalid && port.arready) {
            count.read_bursts++;
            checker.burst("AR", port.araddr, burst, port.bursts.size() + 1);
            port.bursts.push_back({port.araddr, port.arlen + 1u, 0, count.cycles + options_.latency, OKAY});
        }
    }

    void store() {
        Burst& burst = writes_.front();
        const Beat beat = beats_.front();
        beats_.pop_front();
        uint32_t address = burst.address + 8 * burst.done++;
        checker.last(beat.last, burst.done == burst.beats);
        if (!holds(address)) {
            burst.response = DECERR;
        } else if (faulty(WRITE_ERROR, address)) {
            burst.response = std::max<uint8_t>(burst.response, SLVERR);
        } else {
            char* word = reinterpret_cast<char*>(&options_.memory[(address - options_.base) / 8]);
            for (int n = 0; n < 8; n++)
                if (beat.strobes >> n & 1) word[n] = static_cast<char>(beat.data >> 8 * n);
        }
        if (burst.done < burst.beats) return;
        burst.ready = statistics.cycles + options_.latency;
        answers_.push_back(burst);
        writes_.pop_front();
    }

    bool holds(uint32_t address) const {
        return address >= options_.base && address - options_.base + 8ull <= options_.memory_bytes;
    }

    bool faulty(uint32_t kind, uint32_t address) const {
        for (const Fault& fault : faults)
            if (fault.kind == kind && address >= fault.first && address < fault.end) return true;
        return false;
    }

    bool spend() {
        if (!options_.bandwidth) return true;
        if (budget_ < 256) return false;
        budget_ -= 256;
        return true;
    }

    bool stalls() {
        if (!options_.stall) return false;
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        return (random_ >> 24 & 0xFFFF) < options_.stall;
    }

    // Bursts that were offered or taken and have not come to their end.
    uint64_t under_way() const {
        uint64_t count = writes_.size() + answers_.size() + dut_->m_axi_awvalid + dut_->m_axi_wvalid;
        for (const ReadPort& port : ports_) count += port.bursts.size() + port.arvalid;
        return count;
    }

    void dump(uint32_t phase) {
#ifdef HEADRACE_TRACE
        if (trace_) trace_->dump(10 * statistics.cycles + phase);
#else
        (void)phase;
#endif
    }

    const Options options_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vdut> dut_;
#ifdef HEADRACE_TRACE
    std::unique_ptr<VerilatedVcdC> trace_;
#endif
    std::vector<ReadPort> ports_;
    std::deque<Burst> writes_, answers_;
    std::deque<Beat> beats_;
    Held aw_, w_, lite_r_held_, lite_b_held_;
    uint64_t lite_reads_ = 0, lite_writes_ = 0, lite_beats_ = 0;  // requests on the register bus without an answer
    bool answer_shown_ = false;
    bool lite_ar_ = false, lite_aw_ = false, lite_w_ = false, lite_r_ = false, lite_b_ = false;
    uint32_t lite_data_ = 0, lite_response_ = 0;
    int64_t budget_ = 0;  // in 1 / 256 beats
    uint64_t random_;
};

}  // namespace

#pragma GCC visibility push(default)
extern "C" {
Bench* hr_create(const Options* options) { return new Bench(*options); }
void hr_destroy(Bench* bench) { delete bench; }
void hr_reset(Bench* bench) { bench->reset(); }
int hr_read(Bench* bench, uint32_t offset, uint32_t* value) { return bench->read(offset, value); }
int hr_write(Bench* bench, uint32_t offset, uint32_t value) { return bench->write(offset, value); }
uint64_t hr_run(Bench* bench, uint64_t limit) { return bench->run(limit); }
int hr_interrupt(Bench* bench) { return bench->interrupt(); }
void hr_statistics(Bench* bench, Statistics* out) { *out = bench->statistics; }
void hr_fault(Bench* bench, uint32_t kind, uint32_t first, uint32_t end) {
    bench->faults.push_back({kind, first, end});
}
void hr_clear_faults(Bench* bench) { bench->faults.clear(); }
const char* hr_violation(Bench* bench) { return bench->checker.violation.c_str(); }
int hr_trace(Bench* bench, const char* path) { return bench->trace(path); }
int hr_coverage(Bench* bench, const char* path) { return bench->coverage(path); }
}
