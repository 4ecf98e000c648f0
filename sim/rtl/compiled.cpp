// Clocks a compiled chip whose two ports are byte streams, or with CHIP_WIRES the two wires of a serial line, or with
// CHIP_SPI the pins of an SPI; Python calls it with thousands of clocks at a time.

#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vchip.h"
#include "verilated.h"
#if CHIP_FAULTS
#include "verilated_syms.h"
#endif
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

// Verilator ends the process on $stop, $fatal and failed assertions unless these are replaced.
[[noreturn]] static void stopped(const char* what, const char* file, int line, const char* message) {
    throw std::runtime_error(std::string(what) + " at " + file + ":" + std::to_string(line) + " " + message);
}
void vl_finish(const char* file, int line, const char*) { stopped("$finish", file, line, ""); }
void vl_stop(const char* file, int line, const char*) { stopped("$stop", file, line, ""); }
void vl_fatal(const char* file, int line, const char*, const char* message) {
    stopped("$fatal", file, line, message);
}

namespace {

#if CHIP_WIRES
// The other end of a serial line, in its own time: a bit is num / den clocks long.
class Wires {
public:
    void set_rate(uint64_t num_, uint64_t den_) {
        num = num_;
        den = den_;
        reset();
    }

    void reset() {
        send_left = 0;
        receive_left = 0;
    }

    bool idle() const { return send_left == 0 && receive_left == 0; }

    // Level of the wire into the chip in this clock; takes a byte when the wire is free.
    bool drive(const uint8_t* next, bool& taken) {
        taken = false;
        if (send_left == 0 && next) {
            taken = true;
            send_bits = static_cast<uint16_t>(0x200 | (*next << 1));
            send_left = 10;
            // a byte that follows at once begins where the one before ended
            if (!streaming) send_phase = 0;
        }
        streaming = false;
        if (send_left == 0) return true;
        const bool level = send_bits & 1;
        if ((send_phase += den) >= num) {
            send_phase -= num;
            send_bits >>= 1;
            streaming = --send_left == 0;
        }
        return level;
    }

    // Looks at the wire out of the chip; true with a byte when its stop bit was seen.
    bool listen(bool level, uint8_t& byte) {
        if (receive_left == 0) {
            if (!level && was_high) {
                receive_left = 10;
                receive_phase = num / 2;
            }
            was_high = level;
            return false;
        }
        if ((receive_phase += den) < num) return false;
        receive_phase -= num;
        if (receive_left == 10 && level) {  // no start bit after all
            receive_left = 0;
            was_high = true;
            return false;
        }
        receive_bits = static_cast<uint16_t>((receive_bits >> 1) | (level << 9));
        if (--receive_left) return false;
        was_high = level;
        byte = static_cast<uint8_t>(receive_bits >> 1);
        return level;
    }

private:
    uint64_t num = 16, den = 1;
    uint64_t send_phase = 0, receive_phase = 0;
    uint16_t send_bits = 0, receive_bits = 0;
    int send_left = 0, receive_left = 0;
    bool streaming = false, was_high = true;
};
#endif

#if CHIP_SPI
// The host of an SPI of mode 0, which selects the chip for as long as it has bytes to send; half a bit is some clocks
// long. Every byte sent brings one back.
class Spi {
public:
    bool sck = false, cs_n = true, mosi = false;

    void set_rate(uint64_t half_, uint64_t) {
        half = half_;
        reset();
    }

    void reset() {
        sck = mosi = sample = false;
        cs_n = true;
        stage = Stage::rest;
        left = apart;
    }

    bool idle() const { return stage == Stage::rest && left == 0; }

    // Sets the pins for this clock; takes a byte when one begins.
    void drive(const uint8_t* next, bool& taken) {
        taken = false;
        if (left != 0) {
            --left;
            return;
        }
        switch (stage) {
            case Stage::rest:
                if (!next) return;
                cs_n = false;
                stage = Stage::begin;
                left = apart - 1;
                return;
            case Stage::begin:
                begin(*next, taken);
                break;
            case Stage::low:
                sck = sample = true;
                stage = Stage::high;
                break;
            case Stage::high:
                sck = false;
                if (++bit < 8) {
                    mosi = sent >> (7 - bit) & 1;
                    stage = Stage::low;
                } else if (next) {
                    begin(*next, taken);
                } else {
                    stage = Stage::end;
                }
                break;
            case Stage::end:
                cs_n = true;
                stage = Stage::rest;
                left = apart - 1;
                return;
        }
        left = half - 1;
    }

    // Looks at the pin out of the chip, where the clock of the SPI rises; true with a byte at its last bit.
    bool listen(bool miso, uint8_t& byte) {
        if (!sample) return false;
        sample = false;
        came = static_cast<uint8_t>(came << 1 | miso);
        byte = came;
        return bit == 7;
    }

private:
    enum class Stage { rest, begin, low, high, end };
    static constexpr uint64_t apart = 8;  // clocks between an edge of cs_n and whatever is next

    void begin(uint8_t byte, bool& taken) {
        taken = true;
        sent = byte;
        bit = 0;
        mosi = sent >> 7;
        stage = Stage::low;
    }

    uint64_t half = 4, left = apart;
    Stage stage = Stage::rest;
    int bit = 0;
    uint8_t sent = 0, came = 0;
    bool sample = false;
};
#endif

#if CHIP_FAULTS
// A register, or a memory of many words.
struct FaultSite {
    std::string name;
    uint8_t* data;
    uint64_t words, bits, bytes;  // bytes of a word
};

struct Flip {
    size_t site;
    uint64_t word, bit, clock;
};
#endif

struct Chip {
    VerilatedContext context;
    std::unique_ptr<Vchip> top;
    std::vector<uint8_t> queue;
    size_t queue_start = 0;
    std::vector<uint8_t> output;
    uint64_t cycles = 0;
    bool moved = false;  // a byte crossed a port, or could not, in the last clock
    std::string error;
#if CHIP_WIRES
    Wires wires;
#elif CHIP_SPI
    Spi wires;
#endif
#if CHIP_FAULTS
    std::vector<FaultSite> sites;
    std::vector<Flip> flips;  // still to come
#endif
#if VM_TRACE
    VerilatedVcdC waves;
    bool tracing = false;
#endif

    explicit Chip(int64_t seed) {
        context.randReset(seed < 0 ? 0 : 2);
        if (seed >= 0) context.randSeed(static_cast<int>(seed));
#if VM_TRACE
        context.traceEverOn(true);
#endif
        top = std::make_unique<Vchip>(&context, "chip");
#if VM_TRACE
        top->trace(&waves, 99);
#endif
        top->clk = 0;
        rest();
#if CHIP_FAULTS
        for (const auto& [scope_name, scope] : *context.scopeNameMap()) {
            if (!scope->varsp()) continue;
            for (const auto& [name, var] : *scope->varsp()) {
                uint64_t words = 1;
                for (int dim = 1; dim <= var.udims(); ++dim) words *= static_cast<uint64_t>(var.elements(dim));
                sites.push_back({std::string(scope_name) + "." + name, static_cast<uint8_t*>(var.datap()), words,
                                  var.entBits(), var.entSize()});
            }
        }
#endif
    }

#if CHIP_FAULTS
    // What logic makes of a register is worked out again when the clock is low.
    void act() {
        for (size_t index = flips.size(); index-- > 0;) {
            const Flip flip = flips[index];
            if (flip.clock > cycles) continue;
            const FaultSite& site = sites[flip.site];
            site.data[flip.word * site.bytes + flip.bit / 8] ^= static_cast<uint8_t>(1 << flip.bit % 8);
            flips.erase(flips.begin() + static_cast<std::ptrdiff_t>(index));
        }
    }
#endif

    // Nothing is offered to the chip and nothing taken from it.
    void rest() {
#if CHIP_WIRES
        top->rx = 1;
        wires.reset();
#elif CHIP_SPI
        wires.reset();
        pins();
#else
        top->rx_valid = 0;
        top->rx_payload = 0;
        top->tx_ready = 0;
#endif
    }

#if CHIP_SPI
    void pins() {
        top->sck = wires.sck;
        top->cs_n = wires.cs_n;
        top->mosi = wires.mosi;
    }
#endif

    ~Chip() {
#if VM_TRACE
        if (tracing) waves.close();
#endif
        top->final();
    }

    void half(bool clk) {
        top->clk = clk;
        top->eval();
#if VM_TRACE
        if (tracing) waves.dump(context.time());
#endif
        context.timeInc(1);
    }

    void reset(uint64_t clocks) {
        queue.clear();
        queue_start = 0;
        output.clear();
        top->rst = 1;
        rest();
        for (uint64_t clock = 0; clock < clocks; ++clock) {
            half(false);
            half(true);
            ++cycles;
        }
        top->rst = 0;
#if CHIP_WIRES
        // a serial receiver takes no start bit before it saw the line high
        for (int clock = 0; clock < 8; ++clock, ++cycles) {
            half(false);
            half(true);
        }
#endif
    }

    bool empty() const { return queue_start == queue.size(); }

    void pop() {
        if (++queue_start == queue.size()) {
            queue.clear();
            queue_start = 0;
        }
    }

    // Inputs settle while the clock is low; what the ports agree on then is what the rising edge does.
    void tick() {
#if CHIP_FAULTS
        if (!flips.empty()) act();
#endif
#if CHIP_WIRES
        bool taken;
        uint8_t byte;
        top->rx = wires.drive(empty() ? nullptr : &queue[queue_start], taken);
        half(false);
        if (wires.listen(top->tx, byte)) output.push_back(byte);
        moved = taken || !wires.idle() || !top->tx;
        half(true);
        if (taken) pop();
#elif CHIP_SPI
        bool taken;
        uint8_t byte;
        wires.drive(empty() ? nullptr : &queue[queue_start], taken);
        pins();
        half(false);
        if (wires.listen(top->miso, byte)) output.push_back(byte);
        moved = taken || !empty() || !wires.idle();
        half(true);
        if (taken) pop();
#else
        const bool offered = !empty();
        top->rx_valid = offered;
        if (offered) top->rx_payload = queue[queue_start];
        top->tx_ready = 1;
        half(false);
        const bool taken = offered && top->rx_ready;
        const bool given = top->tx_valid;
        if (given) output.push_back(top->tx_payload);
        moved = offered || given || !top->rx_ready;
        half(true);
        if (taken) pop();
#endif
        ++cycles;
    }
};

template <typename Work>
int64_t guarded(Chip* chip, Work work) {
    try {
        return work();
    } catch (const std::exception& problem) {
        chip->error = problem.what();
        return -1;
    }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Chip* chip_new(int64_t seed) { return new Chip(seed); }

EXPORT void chip_delete(Chip* chip) { delete chip; }

EXPORT const char* chip_error(Chip* chip) { return chip->error.c_str(); }

EXPORT uint64_t chip_cycles(Chip* chip) { return chip->cycles; }

EXPORT int64_t chip_reset(Chip* chip, uint64_t clocks) {
    return guarded(chip, [&] {
        chip->reset(clocks);
        return int64_t{0};
    });
}

EXPORT void chip_write(Chip* chip, const uint8_t* data, size_t size) {
    // The part that was taken is dropped here, so that a queue fed for ever does not grow for ever.
    chip->queue.erase(chip->queue.begin(), chip->queue.begin() + static_cast<std::ptrdiff_t>(chip->queue_start));
    chip->queue_start = 0;
    chip->queue.insert(chip->queue.end(), data, data + size);
}

EXPORT size_t chip_queued(Chip* chip) { return chip->queue.size() - chip->queue_start; }

EXPORT size_t chip_available(Chip* chip) { return chip->output.size(); }

EXPORT void chip_read(Chip* chip, uint8_t* data) {
    std::memcpy(data, chip->output.data(), chip->output.size());
    chip->output.clear();
}

// Stops early after `quiet` clocks in a row (0: never) in which no byte moved and none was kept waiting; the run of
// quiet clocks is carried over from call to call by the caller.
EXPORT int64_t chip_run(Chip* chip, uint64_t clocks, uint64_t quiet, uint64_t* still) {
    return guarded(chip, [&] {
        for (uint64_t clock = 0; clock < clocks; ++clock) {
            chip->tick();
            *still = chip->moved ? 0 : *still + 1;
            if (quiet && *still >= quiet) return static_cast<int64_t>(clock + 1);
        }
        return static_cast<int64_t>(clocks);
    });
}

// Stops early when `missing` bytes equal to `flag` have come out; what is still missing is written back.
EXPORT int64_t chip_run_until(Chip* chip, uint8_t flag, uint64_t* missing, uint64_t clocks) {
    return guarded(chip, [&] {
        for (uint64_t clock = 0; clock < clocks; ++clock) {
            const size_t before = chip->output.size();
            chip->tick();
            if (chip->output.size() != before && chip->output.back() == flag && --*missing == 0)
                return static_cast<int64_t>(clock + 1);
        }
        return static_cast<int64_t>(clocks);
    });
}

#if CHIP_WIRES || CHIP_SPI
EXPORT void chip_set_rate(Chip* chip, uint64_t num, uint64_t den) { chip->wires.set_rate(num, den); }
#endif

#if CHIP_FAULTS
EXPORT size_t chip_sites(Chip* chip) { return chip->sites.size(); }

EXPORT const char* chip_site(Chip* chip, size_t index, uint64_t* words, uint64_t* bits) {
    const FaultSite& site = chip->sites.at(index);
    *words = site.words;
    *bits = site.bits;
    return site.name.c_str();
}

EXPORT void chip_flip(Chip* chip, size_t site, uint64_t word, uint64_t bit, uint64_t after) {
    chip->flips.push_back({site, word, bit, chip->cycles + after});
}
#endif

#if VM_TRACE
EXPORT int64_t chip_start_trace(Chip* chip, const char* path) {
    return guarded(chip, [&] {
        chip->waves.open(path);
        if (!chip->waves.isOpen()) throw std::runtime_error(std::string("cannot write ") + path);
        chip->tracing = true;
        return int64_t{0};
    });
}

EXPORT void chip_stop_trace(Chip* chip) {
    if (chip->tracing) chip->waves.close();
    chip->tracing = false;
}
#endif
