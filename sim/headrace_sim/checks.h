// What the AXI ports of the accelerator must keep to, checked in every cycle; the first breach is kept as text.
//
// Source: ARM IHI 0022, "AMBA AXI and ACE Protocol Specification". On top of it the accelerator promises: whole aligned
// beats, at most `longest` of them in a burst, at most kOutstanding bursts of a port without their end, no data before
// its address is offered, and nothing under way once STATUS says that it is not busy. There are no IDs: answers come in order.
#pragma once

#include <cstdint>
#include <string>

namespace checks {

constexpr uint64_t kOutstanding = 8;
constexpr uint32_t kPage = 4096;
constexpr uint32_t kWholeBeat = 0xFF;

// What a channel showed and its other end did not take yet.
struct Held {
    bool waiting = false;
    uint64_t low = 0, high = 0;
};

// An address channel's fields besides the address.
struct Shape {
    uint32_t length, size, kind, cache, protection;
    uint64_t packed(uint32_t address) const {
        return address | uint64_t(length) << 32 | uint64_t(size) << 40 | uint64_t(kind) << 43 | uint64_t(cache) << 45 |
               uint64_t(protection) << 49;
    }
};

class Checker {
  public:
    explicit Checker(uint32_t longest) : longest_(longest) {}

    std::string violation;
    uint64_t cycle = 0;

    void breach(const std::string& text) {
        if (violation.empty()) violation = "cycle " + std::to_string(cycle) + ": " + text;
    }

    void held(const char* channel, Held& held, bool valid, bool ready, uint64_t low, uint64_t high = 0) {
        if (held.waiting && !valid) breach(std::string(channel) + " valid was taken back");
        else if (held.waiting && (low != held.low || high != held.high))
            breach(std::string(channel) + " changed while it waited");
        held = {valid && !ready, low, high};
    }

    // A burst that has been taken; `open` is then under way.
    void burst(const char* channel, uint32_t address, const Shape& shape, uint64_t open) {
        std::string name = channel;
        if (address % 8 || shape.size != 3 || shape.kind != 1)
            breach(name + " is no aligned INCR burst of 64-bit beats");
        if (shape.length >= longest_)
            breach(name + " asks for " + std::to_string(shape.length + 1) + " beats, more than " + std::to_string(longest_));
        if (address / kPage != (address + 8 * shape.length) / kPage) breach(name + " crosses a 4 KiB boundary");
        if (open > kOutstanding) breach(name + " has more than " + std::to_string(kOutstanding) + " bursts under way");
    }

    // A beat on W, while addresses for `places` more have been taken or are offered.
    void data(uint32_t strobes, uint64_t places) {
        if (places == 0) breach("W has a beat that no address was given for");
        if (strobes != kWholeBeat) breach("W has a beat that is not whole");
    }

    void last(bool shown, bool expected) {
        if (shown != expected) breach("WLAST is not on the last beat of its burst");
    }

    // An answer on the register bus, to one of `asked` requests.
    void answer(const char* channel, bool valid, uint64_t asked) {
        if (valid && asked == 0) breach(std::string("the register bus: ") + channel + " came unasked");
    }

    // STATUS says that the accelerator is not busy.
    void settled(uint64_t under_way) {
        if (under_way) breach("STATUS is not busy with " + std::to_string(under_way) + " transfers under way");
    }

  private:
    const uint32_t longest_;
};

}  // namespace checks
