// SPDX-License-Identifier: MIT
// Copyright (c) the retrap authors
//
// The 16550 in uart16550.v as a PCI serial card, and the terminal at the other end of its line.
//   --output FILE         what the guest sends; else it goes to stdout
//   --input FILE          what is typed, once the guest has sent the text of --after
//   --after TEXT
//   --pty                 a terminal of the host is at the line, such as: screen /dev/pts/7
//   --bit CYCLES          cycles of a bit of the terminal (864: 115,200 baud)
#define RETRAP_DEVICE_IMPLEMENTATION
#include "Vuart16550.h"
#include "retrap-verilator.h"

#include <deque>
#include <fcntl.h>
#include <unistd.h>

/** A terminal at a serial line of 8 data bits without parity. */
class terminal : public retrap::part {
public:
    std::FILE *output = stdout;
    std::string input, after;
    uint64_t bit = 864;

    terminal(retrap::simulation &sim, retrap::pin from, retrap::pin to) : from_(from), to_(to) {
        sim.add(*this);
    }

    /** Types something. */
    void type(const char *text, size_t length) { typing_.insert(typing_.end(), text, text + length); }

    void sample() override {
        // Each bit is looked at in its middle; the first edge is a start bit's.
        if (taken_ == 0 && from_.get() == 0) taken_ = 1, wait_ = bit / 2;
        else if (taken_ != 0 && --wait_ == 0) {
            wait_ = bit;
            if (taken_ >= 2 && taken_ <= 9) byte_ = static_cast<uint8_t>(byte_ >> 1 | from_.get() << 7);
            if (taken_++ == 10) took();
        }
        if (left_ > 0) left_--;
    }

    void drive() override {
        if (left_ > 0) return;
        if (sent_ == 0 && !typing_.empty()) {
            shift_ = 0x600u | static_cast<unsigned>(static_cast<uint8_t>(typing_.front())) << 1;
            typing_.pop_front();
            sent_ = 11;
        }
        if (sent_ == 0) return;
        to_.set(shift_ & 1);
        shift_ >>= 1;
        sent_--;
        left_ = bit;
    }

    bool busy() const override { return taken_ != 0 || sent_ != 0 || left_ != 0 || !typing_.empty(); }
    uint64_t quiet() const override { return sent_ == 0 && typing_.empty() ? RETRAP_NEVER : left_; }
    void reset() override {
        taken_ = sent_ = shift_ = 0;
        wait_ = left_ = 0;
        byte_ = 0;
        typing_.clear();
        to_.set(1);
        seen_.clear();
        typed_ = false;
        if (after.empty()) type();
    }

    void state(retrap::archive &to) override {
        to.field(taken_).field(sent_).field(shift_).field(wait_).field(left_).field(byte_).field(typed_);
        to.list(seen_).list(typing_);
    }

private:
    void type() {
        typing_.assign(input.begin(), input.end());
        typed_ = true;
    }

    void took() {
        taken_ = 0;
        // Lines of the program are shown without their returns.
        if (output != stdout || byte_ != '\r') std::fputc(byte_, output);
        std::fflush(output);
        if (typed_) return;
        seen_ = (seen_ + static_cast<char>(byte_)).substr(seen_.size() < after.size() ? 0 : 1);
        if (seen_ == after) type();
    }

    retrap::pin from_, to_;
    unsigned taken_ = 0, sent_ = 0, shift_ = 0;
    uint64_t wait_ = 0, left_ = 0;
    uint8_t byte_ = 0;
    bool typed_ = false;
    std::string seen_;
    std::deque<char> typing_;
};

static void declare(retrap_server *server) {
    retrap_device device = {};
    device.device = 1;
    device.name = "uart16550";
    retrap_add_device(server, &device);
    retrap_function card = {};
    card.function = 1;
    card.device = 1;
    card.address = RETRAP_ANY_SLOT;
    card.vendor = 0x1234;
    card.id = 0x0016;
    card.class_code = 0x070002; // A serial controller, compatible with a 16550: stock drivers take it.
    card.pin = 1;
    retrap_add_function(server, &card);
    retrap_bar registers = {};
    registers.region = 1;
    registers.function = 1;
    registers.type = RETRAP_BAR_PORTS;
    registers.bytes = 8;
    registers.maximum = 1;
    retrap_add_bar(server, &registers);
}

/** A terminal of the host at the line. @return whether there is one */
template <class Bridge> static bool open_pty(Bridge &bridge, terminal &line) {
    const int pty = posix_openpt(O_RDWR | O_NOCTTY);
    if (pty < 0 || grantpt(pty) != 0 || unlockpt(pty) != 0) return false;
    std::printf("the line is at %s\n", ptsname(pty));
    std::fflush(stdout);
    // It stays open while nobody has it.
    open(ptsname(pty), O_RDWR | O_NOCTTY);
    line.output = fdopen(pty, "w");
    bridge.watch(pty, [pty, &line] {
        char typed[256];
        const ssize_t length = read(pty, typed, sizeof typed);
        if (length > 0) line.type(typed, static_cast<size_t>(length));
    });
    return line.output != nullptr;
}

int main(int argc, char **argv) {
    retrap::bridge<Vuart16550> bridge("uart16550", declare, argc, argv);
    Vuart16550 &top = bridge.top;
    retrap::wishbone registers(bridge, RETRAP_WISHBONE_8(top, wb_));
    terminal line(bridge, top.txd, top.rxd);
    for (int i = 1; i < argc; i++) {
        const std::string name = argv[i];
        if (name == "--pty" && !open_pty(bridge, line)) return std::perror("--pty"), 1;
        if (name == "--pty" || i + 1 == argc) continue;
        if (name == "--output") line.output = std::fopen(argv[i + 1], "w");
        if (name == "--after") line.after = argv[i + 1];
        if (name == "--bit") line.bit = std::strtoull(argv[i + 1], nullptr, 0);
        if (name != "--input") continue;
        std::FILE *from = std::fopen(argv[i + 1], "r");
        for (int c; from != nullptr && (c = std::fgetc(from)) != EOF;) line.input += static_cast<char>(c);
        if (from != nullptr) std::fclose(from);
    }
    if (line.output == nullptr) return std::perror("--output"), 1;
    top.cts = top.dsr = top.dcd = 1;
    bridge.clock(top.clk).reset(top.rst).idle(top.idle).quiet(top.quiet);
    bridge.region(1, registers).interrupt(top.irq, 1);
    return bridge.run();
}
