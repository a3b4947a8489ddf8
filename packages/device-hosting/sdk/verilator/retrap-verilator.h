/* SPDX-License-Identifier: MIT
 * Copyright (c) the retrap authors
 *
 * retrap-verilator.h: a design that Verilator has translated is a device of a retrap machine. C++11, over retrap-device.h.
 *
 *     #define RETRAP_DEVICE_IMPLEMENTATION
 *     #include "Vmydesign.h"
 *     #include "retrap-verilator.h"
 *
 *     static void declare(retrap_server *s) { ... retrap_add_device, retrap_add_function, retrap_add_bar ... }
 *     int main(int argc, char **argv) {
 *         retrap::bridge<Vmydesign> bridge("mydesign", declare, argc, argv);
 *         retrap::axi_lite registers(bridge, RETRAP_AXI_LITE(bridge.top, s_axi_));
 *         bridge.clock(bridge.top.clk).reset(bridge.top.rst).idle(bridge.top.idle);
 *         bridge.region(1, registers).interrupt(bridge.top.irq, 1);
 *         return bridge.run();
 *     }
 *
 * Time. Cycle k is the rising edge at k * period of the guest's clock, 10 ns by default.
 * - At each call the bridge first runs the cycles up to the guest's `now`, and none while the design is idle.
 * - The guest's clock stands still during an access. The cycles that the access takes are the next ones, ahead of `now`;
 *   they are not run again.
 * - Nothing is run ahead otherwise. Before it answers, the bridge arms a timer for the next cycle that may change an output:
 *   that is as many cycles ahead as the design's `quiet` output says, else a quantum of 100. So an interrupt of a design with
 *   `quiet` comes at its own cycle; that of another comes at most a quantum late.
 * All of this depends on the machine's calls alone: two runs on deterministic time agree bit for bit.
 *
 * A snapshot has the design's state where it is verilated with --savable.
 */
#ifndef RETRAP_VERILATOR_H
#define RETRAP_VERILATOR_H

#include "retrap-device.h"

#include <verilated.h>
#include <verilated_save.h>
#include <poll.h>
#if VM_TRACE
#include <verilated_vcd_c.h>
#endif

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace retrap {

/** A port of the design, of up to 64 bits. One that the design lacks reads as a default. */
class pin {
public:
    pin() : at_(nullptr), bytes_(0) {}
    pin(uint8_t &at) : at_(&at), bytes_(1) {}
    pin(uint16_t &at) : at_(&at), bytes_(2) {}
    pin(uint32_t &at) : at_(&at), bytes_(4) {}
    pin(uint64_t &at) : at_(&at), bytes_(8) {}

    explicit operator bool() const { return at_ != nullptr; }
    /** The bytes that hold it: 1, 2, 4 or 8. */
    unsigned bytes() const { return bytes_; }
    uint64_t get(uint64_t absent = 0) const {
        switch (bytes_) {
        case 1: return *static_cast<const uint8_t *>(at_);
        case 2: return *static_cast<const uint16_t *>(at_);
        case 4: return *static_cast<const uint32_t *>(at_);
        case 8: return *static_cast<const uint64_t *>(at_);
        default: return absent;
        }
    }
    void set(uint64_t value) {
        switch (bytes_) {
        case 1: *static_cast<uint8_t *>(at_) = static_cast<uint8_t>(value); break;
        case 2: *static_cast<uint16_t *>(at_) = static_cast<uint16_t>(value); break;
        case 4: *static_cast<uint32_t *>(at_) = static_cast<uint32_t>(value); break;
        case 8: *static_cast<uint64_t *>(at_) = value; break;
        default: break;
        }
    }

private:
    void *at_;
    unsigned bytes_;
};

/** State on its way to or from a snapshot: the same fields in the same order both ways. */
class archive {
public:
    archive() : is_reading_(false) {}
    archive(const void *from, size_t length)
        : is_reading_(true), bytes_(static_cast<const uint8_t *>(from), static_cast<const uint8_t *>(from) + length) {}

    bool is_reading() const { return is_reading_; }
    /** Whether all fields were there, and nothing else. */
    bool is_whole() const { return !is_short_ && (!is_reading_ || at_ == bytes_.size()); }
    const std::vector<uint8_t> &bytes() const { return bytes_; }

    /** A number, or another plain value. */
    template <class Value> archive &field(Value &value) { return raw(&value, sizeof value); }
    /** A string, a vector or a deque of plain values. */
    template <class List> archive &list(List &values) {
        uint64_t count = values.size();
        field(count);
        if (is_reading_) {
            if (count > bytes_.size()) count = 0, is_short_ = true;
            values.resize(static_cast<size_t>(count));
        }
        for (size_t i = 0; i < values.size(); i++) {
            typename List::value_type value = values[i];
            field(value);
            values[i] = value;
        }
        return *this;
    }
    archive &raw(void *value, size_t length) {
        uint8_t *bytes = static_cast<uint8_t *>(value);
        if (!is_reading_) bytes_.insert(bytes_.end(), bytes, bytes + length);
        else if (length > bytes_.size() - at_) is_short_ = true;
        else std::memcpy(bytes, bytes_.data() + at_, length), at_ += length;
        return *this;
    }

private:
    bool is_reading_, is_short_ = false;
    size_t at_ = 0;
    std::vector<uint8_t> bytes_;
};

/** Verilator's own state, for a snapshot. */
class model_writer : public VerilatedSerialize {
public:
    std::vector<uint8_t> bytes;
    void flush() override {
        bytes.insert(bytes.end(), m_bufp, m_cp);
        m_cp = m_bufp;
    }
};
class model_reader : public VerilatedDeserialize {
public:
    explicit model_reader(const std::vector<uint8_t> &bytes) : bytes_(bytes) { m_cp = m_endp = m_bufp; }

protected:
    void fill() override {
        const size_t rest = m_cp < m_endp ? static_cast<size_t>(m_endp - m_cp) : 0;
        std::memmove(m_bufp, m_cp, rest);
        const size_t more = std::min(bytes_.size() - at_, bufferSize() - rest);
        if (more > 0) std::memcpy(m_bufp + rest, bytes_.data() + at_, more);
        at_ += more;
        m_cp = m_bufp;
        m_endp = m_bufp + rest + more;
    }

private:
    const std::vector<uint8_t> &bytes_;
    size_t at_ = 0;
};

/** Whether a design was verilated with --savable. */
template <class Design>
auto has_state(int) -> decltype(std::declval<VerilatedSerialize &>() << std::declval<Design &>(), std::true_type());
template <class Design> std::false_type has_state(...);

/** Something at the design's ports that takes part in each cycle. A base for adapters of your own. */
class part {
public:
    virtual ~part() {}
    /** Before the rising edge: the design's outputs are as a register at the edge sees them. */
    virtual void sample() {}
    /** After the edge: sets the design's inputs, for the next one. */
    virtual void drive() {}
    /** Whether it needs further cycles: the design is not idle then. */
    virtual bool busy() const { return false; }
    /** Cycles before this part changes an input by itself. */
    virtual uint64_t quiet() const { return RETRAP_NEVER; }
    /** The machine is reset. */
    virtual void reset() {}
    /** Its fields, for a snapshot, between two calls of the machine. */
    virtual void state(archive &) {}
};

/** The simulation, as adapters see it. */
class simulation {
public:
    virtual ~simulation() {}
    virtual retrap_server *server() = 0;
    virtual void add(part &each) = 0;
    /** Runs a cycle. */
    virtual void cycle() = 0;
    /** Lets inputs that have changed between edges take effect. */
    virtual void settle() = 0;
    /** The number of the device that the design is. */
    uint64_t device = 1;
    /** Cycles that an access may take, and that are run at a time where nothing comes from them. */
    uint64_t longest = 100000;
};

/** A bus on which the machine's accesses of a region go to the design. */
class bus : public part {
public:
    /** Registers of one byte each lie 2^shift bytes apart on the bus; 0: the bus has the region's addresses. */
    unsigned shift = 0;
    /** Added to the offset in the region. */
    uint64_t base = 0;

    uint64_t read(uint64_t offset, uint64_t size) {
        uint64_t value = 0;
        for (uint64_t done = 0; done < size;) {
            const slice at = cut(offset + done, size - done);
            uint64_t data = ~uint64_t{0};
            transfer(false, at.address, data, at.lanes);
            value |= ((data >> 8 * at.lane) & mask(at.bytes)) << 8 * done;
            done += at.bytes;
        }
        return value;
    }

    void write(uint64_t offset, uint64_t size, uint64_t value) {
        for (uint64_t done = 0; done < size;) {
            const slice at = cut(offset + done, size - done);
            uint64_t data = ((value >> 8 * done) & mask(at.bytes)) << 8 * at.lane;
            transfer(true, at.address, data, at.lanes);
            done += at.bytes;
        }
    }

protected:
    /** One transfer at a multiple of the bus's width. A read that the design refuses leaves `data` as ones. */
    virtual void transfer(bool is_write, uint64_t address, uint64_t &data, uint64_t lanes) = 0;
    /** Bytes of the data lines. */
    virtual unsigned width() const = 0;

private:
    struct slice {
        uint64_t address, lanes, bytes;
        unsigned lane;
    };

    static uint64_t mask(uint64_t bytes) { return bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * bytes) - 1; }

    slice cut(uint64_t offset, uint64_t left) const {
        const uint64_t address = (base + offset) << shift;
        slice at;
        at.lane = static_cast<unsigned>(address % width());
        at.address = address - at.lane;
        at.bytes = shift > 0 ? 1 : width() - at.lane;
        if (at.bytes > left) at.bytes = left;
        at.lanes = ((uint64_t{1} << at.bytes) - 1) << at.lane;
        return at;
    }
};

struct axi_lite_pins {
    pin awvalid, awready, awaddr, wvalid, wready, wdata, wstrb, bvalid, bready, bresp;
    pin arvalid, arready, araddr, rvalid, rready, rdata, rresp;
};

/** The pins of an AXI4-Lite slave port of a design, by their prefix. */
#define RETRAP_AXI_LITE(top, p)                                                                                        \
    ::retrap::axi_lite_pins {                                                                                          \
        (top).p##awvalid, (top).p##awready, (top).p##awaddr, (top).p##wvalid, (top).p##wready, (top).p##wdata,         \
            (top).p##wstrb, (top).p##bvalid, (top).p##bready, (top).p##bresp, (top).p##arvalid, (top).p##arready,      \
            (top).p##araddr, (top).p##rvalid, (top).p##rready, (top).p##rdata, (top).p##rresp                          \
    }

/** Accesses become transactions on an AXI4-Lite slave port, with data of 32 or 64 bits (ARM IHI 0022, part B). */
class axi_lite : public bus {
public:
    axi_lite(simulation &sim, const axi_lite_pins &pins) : sim_(sim), pins_(pins) { sim.add(*this); }

    void sample() override {
        if (!active_) return;
        if (pins_.awvalid.get() && pins_.awready.get()) address_taken_ = true;
        if (pins_.wvalid.get() && pins_.wready.get()) data_taken_ = true;
        if (pins_.arvalid.get() && pins_.arready.get()) address_taken_ = true;
        pin &valid = is_write_ ? pins_.bvalid : pins_.rvalid;
        if (!valid.get()) return;
        done_ = true;
        response_ = (is_write_ ? pins_.bresp : pins_.rresp).get() & 3;
        data_ = pins_.rdata.get();
    }

    void drive() override {
        if (!active_) return;
        if (address_taken_) {
            pins_.awvalid.set(0);
            pins_.arvalid.set(0);
        }
        if (data_taken_) pins_.wvalid.set(0);
        if (done_) {
            pins_.bready.set(0);
            pins_.rready.set(0);
            active_ = false;
        }
    }

    void reset() override {
        for (pin *each : {&pins_.awvalid, &pins_.wvalid, &pins_.bready, &pins_.arvalid, &pins_.rready}) each->set(0);
        active_ = false;
    }

protected:
    unsigned width() const override { return pins_.rdata.bytes(); }

    void transfer(bool is_write, uint64_t address, uint64_t &data, uint64_t lanes) override {
        is_write_ = is_write;
        active_ = true;
        address_taken_ = data_taken_ = done_ = false;
        (is_write ? pins_.awaddr : pins_.araddr).set(address);
        (is_write ? pins_.awvalid : pins_.arvalid).set(1);
        (is_write ? pins_.bready : pins_.rready).set(1);
        if (is_write) {
            pins_.wdata.set(data);
            pins_.wstrb.set(lanes);
            pins_.wvalid.set(1);
        }
        sim_.settle();
        for (uint64_t cycles = 0; active_; cycles++) {
            if (cycles == sim_.longest) {
                retrap_fault(sim_.server(), sim_.device,
                             "the design has not answered an AXI4-Lite %s of address 0x%llx within %llu cycles",
                             is_write ? "write" : "read", (unsigned long long)address, (unsigned long long)cycles);
                return reset();
            }
            sim_.cycle();
        }
        if (!is_write && response_ == 0) data = data_;
    }

private:
    simulation &sim_;
    axi_lite_pins pins_;
    bool active_ = false, is_write_ = false, address_taken_ = false, data_taken_ = false, done_ = false;
    uint64_t response_ = 0, data_ = 0;
};

struct wishbone_pins {
    pin cyc, stb, we, adr, dat_i, dat_o, sel, ack, err;
};

/** The pins of a Wishbone slave by their prefix: `sel` for lanes of data, and no `err`. */
#define RETRAP_WISHBONE(top, p)                                                                                        \
    ::retrap::wishbone_pins {                                                                                          \
        (top).p##cyc, (top).p##stb, (top).p##we, (top).p##adr, (top).p##dat_i, (top).p##dat_o, (top).p##sel,           \
            (top).p##ack, ::retrap::pin()                                                                              \
    }
/** The same for a slave with data of 8 bits, which has no `sel`. */
#define RETRAP_WISHBONE_8(top, p)                                                                                      \
    ::retrap::wishbone_pins {                                                                                          \
        (top).p##cyc, (top).p##stb, (top).p##we, (top).p##adr, (top).p##dat_i, (top).p##dat_o, ::retrap::pin(),        \
            (top).p##ack, ::retrap::pin()                                                                              \
    }

/** Accesses become classic cycles on a Wishbone slave, with data of 8 to 64 bits and addresses of bytes (Wishbone B4). */
class wishbone : public bus {
public:
    wishbone(simulation &sim, const wishbone_pins &pins) : sim_(sim), pins_(pins) { sim.add(*this); }

    void sample() override {
        if (!active_) return;
        refused_ = pins_.err.get() != 0;
        done_ = refused_ || pins_.ack.get() != 0;
        data_ = pins_.dat_o.get();
    }

    void drive() override {
        if (active_ && done_) reset();
    }

    void reset() override {
        pins_.cyc.set(0);
        pins_.stb.set(0);
        active_ = false;
    }

protected:
    unsigned width() const override { return pins_.dat_o.bytes(); }

    void transfer(bool is_write, uint64_t address, uint64_t &data, uint64_t lanes) override {
        active_ = true;
        done_ = refused_ = false;
        pins_.adr.set(address);
        pins_.dat_i.set(data);
        pins_.sel.set(lanes);
        pins_.we.set(is_write);
        pins_.cyc.set(1);
        pins_.stb.set(1);
        sim_.settle();
        for (uint64_t cycles = 0; active_; cycles++) {
            if (cycles == sim_.longest) {
                retrap_fault(sim_.server(), sim_.device,
                             "the design has not acknowledged a Wishbone %s of address 0x%llx within %llu cycles",
                             is_write ? "write" : "read", (unsigned long long)address, (unsigned long long)cycles);
                return reset();
            }
            sim_.cycle();
        }
        if (!is_write && !refused_) data = data_;
    }

private:
    simulation &sim_;
    wishbone_pins pins_;
    bool active_ = false, done_ = false, refused_ = false;
    uint64_t data_ = 0;
};

struct axi_master_pins {
    pin awvalid, awready, awaddr, awlen, wvalid, wready, wdata, wstrb, wlast, bvalid, bready, bresp;
    pin arvalid, arready, araddr, arlen, rvalid, rready, rdata, rresp, rlast;
};

/** The pins of an AXI4 master port of a design, by their prefix. */
#define RETRAP_AXI_MASTER(top, p)                                                                                      \
    ::retrap::axi_master_pins {                                                                                        \
        (top).p##awvalid, (top).p##awready, (top).p##awaddr, (top).p##awlen, (top).p##wvalid, (top).p##wready,         \
            (top).p##wdata, (top).p##wstrb, (top).p##wlast, (top).p##bvalid, (top).p##bready, (top).p##bresp,          \
            (top).p##arvalid, (top).p##arready, (top).p##araddr, (top).p##arlen, (top).p##rvalid, (top).p##rready,     \
            (top).p##rdata, (top).p##rresp, (top).p##rlast                                                             \
    }
/** The same for AXI4-Lite, whose bursts have one beat. */
#define RETRAP_AXI_LITE_MASTER(top, p)                                                                                 \
    ::retrap::axi_master_pins {                                                                                        \
        (top).p##awvalid, (top).p##awready, (top).p##awaddr, ::retrap::pin(), (top).p##wvalid, (top).p##wready,        \
            (top).p##wdata, (top).p##wstrb, ::retrap::pin(), (top).p##bvalid, (top).p##bready, (top).p##bresp,         \
            (top).p##arvalid, (top).p##arready, (top).p##araddr, ::retrap::pin(), (top).p##rvalid, (top).p##rready,    \
            (top).p##rdata, (top).p##rresp, ::retrap::pin()                                                            \
    }

/**
 * Guest memory behind an AXI4 or AXI4-Lite master port of the design: incrementing bursts of whole beats of 32 or 64 bits,
 * one read and one write at a time, answered in order. A burst that the device may not do has the response SLVERR.
 */
class axi_memory : public part {
public:
    /** Cycles between the address of a read and its first data, and between the last data of a write and its response. */
    uint64_t latency = 0;

    axi_memory(simulation &sim, const axi_master_pins &pins) : sim_(sim), pins_(pins) { sim.add(*this); }

    void sample() override {
        if (reading_ && wait_read_ > 0) wait_read_--;
        else if (reading_) {
            if (pins_.rready.get() && ++beat_ == beats_) reading_ = false;
        } else if (pins_.arready.get() && pins_.arvalid.get()) read_burst();
        if (responding_ && wait_write_ > 0) wait_write_--;
        else if (responding_) {
            if (pins_.bready.get()) writing_ = responding_ = false;
        } else if (writing_) {
            if (pins_.wvalid.get()) write_beat();
        } else if (pins_.awready.get() && pins_.awvalid.get()) {
            writing_ = true;
            write_at_ = pins_.awaddr.get();
            written_.clear();
            strobes_.clear();
        }
    }

    void drive() override {
        const bool has_data = reading_ && wait_read_ == 0;
        pins_.arready.set(!reading_);
        pins_.rvalid.set(has_data);
        if (has_data) {
            uint64_t data = 0;
            std::memcpy(&data, &bytes_[beat_ * width()], width());
            pins_.rdata.set(data);
            pins_.rresp.set(read_response_);
            pins_.rlast.set(beat_ + 1 == beats_);
        }
        pins_.awready.set(!writing_);
        pins_.wready.set(writing_ && !responding_);
        pins_.bvalid.set(responding_ && wait_write_ == 0);
        pins_.bresp.set(write_response_);
    }

    bool busy() const override { return reading_ || writing_; }
    void reset() override {
        reading_ = writing_ = responding_ = false;
        wait_read_ = wait_write_ = beat_ = beats_ = write_at_ = 0;
        read_response_ = write_response_ = OKAY;
        bytes_.clear(), written_.clear(), strobes_.clear();
        drive();
    }
    void state(archive &to) override {
        to.field(reading_).field(writing_).field(responding_).field(wait_read_).field(wait_write_);
        to.field(beat_).field(beats_).field(write_at_).field(read_response_).field(write_response_);
        to.list(bytes_).list(written_).list(strobes_);
    }

private:
    enum { OKAY = 0, SLVERR = 2 };

    unsigned width() const { return pins_.rdata.bytes(); }

    void read_burst() {
        reading_ = true;
        wait_read_ = latency;
        beat_ = 0;
        beats_ = pins_.arlen.get() + 1;
        bytes_.assign(beats_ * width(), 0xff);
        const uint64_t address = pins_.araddr.get() / width() * width();
        read_response_ = retrap_dma_read(sim_.server(), sim_.device, address, &bytes_[0], bytes_.size()) ? OKAY : SLVERR;
    }

    void write_beat() {
        const uint64_t data = pins_.wdata.get(), strobes = pins_.wstrb.get();
        for (unsigned lane = 0; lane < width(); lane++) {
            written_.push_back(static_cast<uint8_t>(data >> 8 * lane));
            strobes_.push_back((strobes >> lane & 1) != 0);
        }
        if (!pins_.wlast.get(1)) return;
        responding_ = true;
        wait_write_ = latency;
        write_response_ = OKAY;
        const uint64_t address = write_at_ / width() * width();
        // Bytes without a strobe are not written.
        for (size_t from = 0, to; from < written_.size(); from = to) {
            for (to = from; to < written_.size() && strobes_[to] == strobes_[from];) to++;
            if (strobes_[from] &&
                !retrap_dma_write(sim_.server(), sim_.device, address + from, &written_[from], to - from))
                write_response_ = SLVERR;
        }
    }

    simulation &sim_;
    axi_master_pins pins_;
    bool reading_ = false, writing_ = false, responding_ = false;
    uint64_t wait_read_ = 0, wait_write_ = 0, beat_ = 0, beats_ = 0, write_at_ = 0;
    uint64_t read_response_ = OKAY, write_response_ = OKAY;
    std::vector<uint8_t> bytes_, written_;
    std::vector<bool> strobes_;
};

/** A design as the device of a machine. `Design` is the class that Verilator has made. */
template <class Design> class bridge : public simulation {
public:
    Design top;

    /**
     * Takes the arguments that it knows out of argv, and an address as of retrap_run():
     *   --vcd FILE        traces the design, in nanoseconds of the guest's clock (verilate with --trace)
     *   --period NS       nanoseconds of a cycle (10)
     *   --quantum CYCLES  cycles of a design without `quiet` from timer to timer (100)
     *   --stats           tells at the end how much was run, and the processor's time that this process took, on stderr
     */
    bridge(const char *name, void (*declare)(retrap_server *), int &argc, char **argv) {
        std::memset(&model_, 0, sizeof model_);
        model_.name = name;
        model_.user = this;
        declare_ = declare;
        model_.declare = [](retrap_server *s) {
            self(s).declare_(s);
            self(s).has_begun_ = false;
        };
        model_.read = [](retrap_server *s, const retrap_access *a) { return self(s).read(*a); };
        model_.write = [](retrap_server *s, const retrap_access *a) { self(s).write(*a); };
        model_.timer = [](retrap_server *s, uint64_t, uint64_t) { self(s).timer(); };
        model_.reset = [](retrap_server *s, uint64_t) {
            self(s).power_on();
            self(s).end();
        };
        model_.save = [](retrap_server *s, uint64_t, retrap_state *state) { return self(s).save(*state); };
        model_.restore = [](retrap_server *s, uint64_t, const retrap_state *state) { return self(s).restore(*state); };
        model_.resume = [](retrap_server *s, uint64_t) { self(s).resume(); };
        take_arguments(argc, argv);
    }

    ~bridge() override {
        top.final();
        close_trace();
    }

    // ---- What the design's ports are. ----

    bridge &clock(pin at) { return clock_ = at, *this; }
    /** A synchronous or asynchronous reset, which is active for `cycles` when the machine is powered on or reset. */
    bridge &reset(pin at, uint64_t active = 1, uint64_t cycles = 4) {
        reset_ = at;
        reset_active_ = active;
        reset_cycles_ = cycles;
        return *this;
    }
    /** An output: 1 while a cycle would change nothing, as long as no input changes. */
    bridge &idle(pin at) {
        return idle_when([at] { return at.get() != 0; });
    }
    bridge &idle_when(std::function<bool()> is_idle) { return is_idle_ = is_idle, *this; }
    /** An output: so many cycles change neither an interrupt nor begin a DMA, as long as no input changes. */
    bridge &quiet(pin at) { return quiet_ = at, *this; }
    bridge &region(uint64_t region, bus &to) { return regions_.push_back({region, &to}), *this; }
    /** An output that is the cause of a PCI function's interrupt. */
    bridge &interrupt(pin at, uint64_t function, uint64_t vector = 0) {
        return outputs_.push_back({at, function, vector, true, false}), *this;
    }
    /** An output that drives an interrupt line. */
    bridge &line(pin at, uint64_t line) { return outputs_.push_back({at, line, 0, false, false}), *this; }

    /** Calls `on_input` when a descriptor of the host has input. Two runs do not agree on when; a recording has it. */
    bridge &watch(int descriptor, std::function<void()> on_input) {
        return watches_.push_back({descriptor, on_input}), *this;
    }

    // ---- Running. ----

    /** @return the status for main to return */
    int run() {
        if (std::getenv("RETRAP_DEVICE_FD") != nullptr) std::signal(SIGTERM, SIG_IGN); // The socket's end comes with it.
        server_.reset(new retrap_server());
        power_on();
        if (!retrap_open(server_.get(), &model_, address_)) {
            std::fprintf(stderr, "%s\n", retrap_error(server_.get()));
            return 1;
        }
        is_live_ = true;
        int status = 1;
        while (status > 0) {
            status = watches_.empty() ? retrap_poll(server_.get(), -1) : wait();
            if (status <= 0 || has_begun_) continue;
            // A design may do something before the guest's first access.
            has_begun_ = true;
            end();
            status = retrap_step(server_.get());
        }
        retrap_close(server_.get());
        close_trace();
        tell_stats();
        return status < 0 ? 1 : 0;
    }

    retrap_server *server() override { return server_.get(); }
    void add(part &each) override { parts_.push_back(&each); }
    /** The cycle that comes next. */
    uint64_t next() const { return next_; }

    void settle() override { top.eval(); }

    void cycle() override {
        for (part *each : parts_) each->sample();
        clock_.set(1);
        top.eval();
        trace(next_ * period_);
        for (part *each : parts_) each->drive();
        clock_.set(0);
        top.eval();
        if (period_ > 1) trace(next_ * period_ + period_ / 2);
        next_++;
        cycles_++;
        for (output &each : outputs_) drive(each);
    }

private:
    struct mapped {
        uint64_t region;
        bus *to;
    };
    struct output {
        pin at;
        uint64_t number, vector;
        bool is_message, level;
    };

    struct watched {
        int descriptor;
        std::function<void()> on_input;
    };

    static bridge &self(retrap_server *server) { return *static_cast<bridge *>(retrap_user(server)); }

    bus *bus_of(uint64_t region) {
        for (const mapped &each : regions_)
            if (each.region == region) return each.to;
        retrap_fault(server(), device, "no bus is given for region %llu: call bridge.region", (unsigned long long)region);
        return nullptr;
    }

    /** Waits for the machine and for the host. @return as retrap_step() */
    int wait() {
        std::vector<pollfd> polled(1, pollfd{retrap_fd(server()), POLLIN, 0});
        for (const watched &each : watches_) polled.push_back(pollfd{each.descriptor, POLLIN, 0});
        poll(polled.data(), static_cast<nfds_t>(polled.size()), -1);
        for (size_t i = 0; i < watches_.size(); i++) {
            if ((polled[i + 1].revents & POLLIN) == 0) continue;
            const bool was_idle = is_idle();
            watches_[i].on_input();
            // The time until now stays idle; a deadline of the past comes at once.
            was_woken_ = was_woken_ || (was_idle && !is_idle());
            end();
        }
        return retrap_step(server());
    }

    uint64_t read(const retrap_access &access) {
        begin();
        bus *to = bus_of(access.region);
        const uint64_t value = to == nullptr ? ~uint64_t{0} : to->read(access.offset, access.size);
        accesses_++;
        end();
        return value;
    }

    void write(const retrap_access &access) {
        begin();
        bus *to = bus_of(access.region);
        if (to != nullptr) to->write(access.offset, access.size, access.value);
        accesses_++;
        end();
    }

    void timer() {
        armed_ = RETRAP_NEVER;
        begin();
        timers_++;
        end();
    }

    /** The machine is powered on, or reset: what was before is over, and its cycles are not run. */
    void power_on() {
        const uint64_t now = is_live_ ? retrap_now(server()) : 0;
        last_ = now;
        next_ = now / period_ + 1;
        begin_model(savable());
        armed_ = RETRAP_NEVER;
        for (output &each : outputs_) each.level = false;
        for (part *each : parts_) each->reset();
        reset_.set(reset_active_);
        clock_.set(0);
        top.eval();
        for (uint64_t i = 0; i < reset_cycles_; i++) cycle();
        reset_.set(!reset_active_);
        top.eval();
    }

    bool is_idle() const {
        if (!is_idle_ || !is_idle_()) return false;
        for (const part *each : parts_)
            if (each->busy()) return false;
        return true;
    }

    /** Runs the cycles up to the guest's clock. */
    void begin() {
        last_ = retrap_now(server());
        const uint64_t end = last_ / period_ + 1;
        if (was_woken_) next_ = std::max(next_, end);
        was_woken_ = false;
        for (output &each : outputs_) drive(each);
        while (next_ < end) {
            if (is_idle()) {
                next_ = end;
                break;
            }
            cycle();
        }
    }

    /** Promises that nothing comes before a deadline. A timer that comes too early does no harm: it is left. */
    void end() {
        if (!is_idle()) {
            uint64_t ahead = quiet_ ? quiet_.get() : quantum_ - 1;
            for (const part *each : parts_) ahead = std::min(ahead, each->quiet());
            // Cycles are run a piece at a time, so that no call takes long.
            const uint64_t deadline = (next_ + std::min(ahead, longest)) * period_;
            if (deadline < armed_) retrap_arm_timer(server(), device, TIMER, armed_ = deadline);
        }
    }

    using savable = decltype(has_state<Design>(0));
    template <class Of> static void save_model(model_writer &to, Of &design, std::true_type) { to << design; }
    template <class Of> static void restore_model(model_reader &from, Of &design, std::true_type) { from >> design; }
    template <class Of> static void save_model(model_writer &, Of &, std::false_type) {}
    template <class Of> static void restore_model(model_reader &, Of &, std::false_type) {}

    /** A design with state is as it was made at each power-on; of another one the reset's pin has to do. */
    void begin_model(std::true_type) {
        if (made_.empty()) {
            model_writer writer;
            writer << top;
            writer.flush();
            made_ = writer.bytes;
        } else {
            model_reader reader(made_);
            reader >> top;
        }
    }
    void begin_model(std::false_type) {}

    /** The bridge's fields, and those of its parts. The next cycle of an idle design depends on the clock alone. */
    void state(archive &to, std::vector<uint8_t> &model) {
        uint64_t next = is_idle() ? 0 : next_;
        to.field(next).field(period_);
        if (to.is_reading()) next_ = next;
        for (output &each : outputs_) to.field(each.level);
        for (part *each : parts_) each->state(to);
        to.list(model);
    }
    const char *save(retrap_state &to) {
        if (!savable::value) return "the design was verilated without --savable: it cannot be saved";
        model_writer writer;
        save_model(writer, top, savable());
        writer.flush();
        saved_ = archive();
        uint64_t version = VERSION;
        saved_.field(version);
        state(saved_, writer.bytes);
        to.bytes = saved_.bytes().data();
        to.length = saved_.bytes().size();
        return nullptr;
    }
    const char *restore(const retrap_state &from) {
        archive saved(from.bytes, from.length);
        std::vector<uint8_t> model;
        uint64_t version = 0, period = period_;
        saved.field(version);
        if (version != VERSION) return "the state is none of this version of the bridge";
        state(saved, model);
        if (!saved.is_whole()) return "the state is one of another design";
        if (period_ != period) return period_ = period, "the state is one of a design with another --period";
        model_reader reader(model);
        restore_model(reader, top, savable());
        top.eval();
        // The machine has kept causes of messages, and not the levels of lines.
        for (output &each : outputs_) each.level = each.level && each.is_message;
        armed_ = RETRAP_NEVER;
        return nullptr;
    }
    enum { VERSION = 1 };
    archive saved_;
    std::vector<uint8_t> made_;

    /** After a snapshot, or in a machine that was restored from one, whose clock goes on from there. */
    void resume() {
        // The machine that was saved and the restored one go on alike.
        if (is_idle()) next_ = 0;
        begin();
        end();
    }

    void drive(output &each) {
        const bool level = each.at.get() != 0;
        if (!is_live_ || level == each.level) return;
        each.level = level;
        if (each.is_message) retrap_interrupt(server(), each.number, each.vector, level);
        else retrap_set_line(server(), each.number, level);
    }

    // ---- Arguments, trace, figures. ----

    void take_arguments(int &argc, char **argv) {
        int kept = 1;
        for (int i = 1; i < argc; i++) {
            const std::string name = argv[i];
            if (name == "--vcd") vcd_ = value(argc, argv, i);
            else if (name == "--period") period_ = number(argc, argv, i);
            else if (name == "--quantum") quantum_ = number(argc, argv, i);
            else if (name == "--stats") stats_ = true;
            else if (name.compare(0, 5, "unix:") == 0 || name.compare(0, 4, "tcp:") == 0 || name == "stdio")
                address_ = argv[i];
            else argv[kept++] = argv[i];
        }
        argc = kept;
        argv[kept] = nullptr;
        if (vcd_ != nullptr) open_trace();
    }

    static const char *value(int argc, char **argv, int &i) {
        if (i + 1 < argc) return argv[++i];
        std::fprintf(stderr, "%s needs a value\n", argv[i]);
        std::exit(2);
    }

    static uint64_t number(int argc, char **argv, int &i) {
        const char *name = argv[i], *text = value(argc, argv, i);
        char *end;
        const unsigned long long parsed = std::strtoull(text, &end, 0);
        if (*text != 0 && *end == 0 && parsed > 0) return parsed;
        std::fprintf(stderr, "%s %s is no number above 0\n", name, text);
        std::exit(2);
    }

#if VM_TRACE
    void open_trace() {
        Verilated::traceEverOn(true);
        trace_.reset(new VerilatedVcdC());
        trace_->set_time_unit("1ns");
        trace_->set_time_resolution("1ns");
        top.trace(trace_.get(), 99);
        trace_->open(vcd_);
        if (trace_->isOpen()) return;
        std::fprintf(stderr, "--vcd %s cannot be written\n", vcd_);
        std::exit(2);
    }
    /** Cycles of a machine that was reset may have been ahead of its clock: time does not go back here. */
    void trace(uint64_t now) {
        if (trace_ && now > traced_) trace_->dump(traced_ = now);
    }
    void close_trace() {
        if (trace_) trace_->close();
        trace_.reset();
    }
    std::unique_ptr<VerilatedVcdC> trace_;
#else
    void open_trace() {
        std::fprintf(stderr, "--vcd needs a design that was verilated with --trace\n");
        std::exit(2);
    }
    void trace(uint64_t) {}
    void close_trace() {}
#endif

    void tell_stats() const {
        if (!stats_) return;
        const double ms = 1000.0 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
        std::fprintf(stderr, "%llu cycles, %llu accesses and %llu timers in %.0f ms of the processor\n", (unsigned long long)cycles_,
                     (unsigned long long)accesses_, (unsigned long long)timers_, ms);
    }

    enum { TIMER = 1 };

    retrap_model model_;
    std::unique_ptr<retrap_server> server_;
    std::vector<part *> parts_;
    std::vector<mapped> regions_;
    std::vector<output> outputs_;
    std::vector<watched> watches_;
    std::function<bool()> is_idle_;
    pin clock_, reset_, quiet_;
    uint64_t reset_active_ = 1, reset_cycles_ = 4, period_ = 10, quantum_ = 100;
    uint64_t next_ = 0, last_ = 0, traced_ = 0, armed_ = RETRAP_NEVER, cycles_ = 0, accesses_ = 0, timers_ = 0;
    bool is_live_ = false, has_begun_ = true, was_woken_ = false, stats_ = false;
    void (*declare_)(retrap_server *) = nullptr;
    const char *vcd_ = nullptr, *address_ = nullptr;
};

} // namespace retrap

#endif
