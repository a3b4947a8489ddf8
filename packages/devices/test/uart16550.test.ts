import fc from 'fast-check'
import type { ByteStreamClient } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { Uart16550 } from '../src/uart16550.ts'
import { FakeMachine } from './support/fake-machine.ts'

const BASE = 0x3f8
const [DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 2, 3, 4, 5, 6, 7].map((r) => BASE + r) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
]

function port(options: ConstructorParameters<typeof Uart16550>[0] = {}): {
  uart: Uart16550
  machine: FakeMachine
  sent: () => string
} {
  let text = ''
  const uart = new Uart16550({ stream: { send: (bytes) => void (text += String.fromCharCode(...bytes)) }, ...options })
  const machine = new FakeMachine(uart)
  return { uart, machine, sent: () => (uart.flush(), text) }
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))

describe('registers', () => {
  test.each([
    { register: 'IER keeps four bits', at: IER, write: 0xff, reads: 0x0f },
    { register: 'LCR keeps all', at: LCR, write: 0x1b, reads: 0x1b },
    { register: 'MCR keeps five bits', at: MCR, write: 0xef, reads: 0x0f },
    { register: 'SCR keeps all', at: SCR, write: 0xa5, reads: 0xa5 },
  ])('$register', ({ at, write, reads }) => {
    const { machine } = port()
    machine.out(at, write)
    expect(machine.in(at)).toBe(reads)
  })

  test('DLAB puts the divisor in place of the data and interrupt enable registers', () => {
    const { machine } = port()
    machine.out(LCR, 0x80)
    machine.out(DATA, 0x34)
    machine.out(IER, 0x12)
    machine.out(LCR, 0x03)
    expect([machine.in(DATA), machine.in(IER)]).toEqual([0, 0])
    machine.out(LCR, 0x83)
    expect([machine.in(DATA), machine.in(IER)]).toEqual([0x34, 0x12])
  })

  test('IIR shows 16550A FIFOs once they are on', () => {
    const { machine } = port()
    expect(machine.in(IIR)).toBe(0x01)
    machine.out(FCR, 0x21)
    expect(machine.in(IIR)).toBe(0xc1)
  })

  test('an idle port shows an empty transmitter and a connected modem', () => {
    const { machine } = port()
    expect([machine.in(LSR), machine.in(MSR)]).toEqual([0x60, 0xb0])
  })
})

describe('transmitter', () => {
  test('sends in order and hands over in batches', () => {
    const batches: string[] = []
    const { machine } = port({ stream: { send: (b) => void batches.push(String.fromCharCode(...b)) } })
    machine.out(LCR, 0x03)
    for (const byte of bytes('hello')) machine.out(DATA, byte)
    expect(batches).toEqual([])
    machine.advance(1_000_000)
    expect(batches).toEqual(['hello'])
  })

  test('a batch ends when it would have, whenever the host has taken its bytes, and in a machine that goes on from it', () => {
    const make = () => {
      const batches: string[] = []
      return { batches, ...port({ stream: { send: (b) => void batches.push(String.fromCharCode(...b)) } }) }
    }
    const one = make()
    one.machine.out(LCR, 0x03)
    one.machine.out(DATA, 0x41)
    one.machine.advance(600_000)
    one.uart.quiesce()
    const state: unknown = structuredClone(one.uart.save())
    const two = make()
    two.machine.time = one.machine.time
    two.uart.restore(state)
    for (const { machine, batches, uart } of [one, two]) {
      batches.length = 0
      machine.out(DATA, 0x42)
      expect(machine.timers.nextDeadlineNs).toBe(1_000_000)
      machine.advance(399_999)
      expect(batches).toEqual([])
      machine.advance(1)
      expect(batches).toEqual(['B'])
      // The next one is full with as many as if nobody had looked.
      for (let i = 0; i < 1023; i++) {
        machine.out(DATA, 0x43)
        uart.flush()
      }
      expect(machine.timers.nextDeadlineNs).toBe(2_000_000)
      machine.out(DATA, 0x43)
      expect(machine.timers.nextDeadlineNs).toBe(Infinity)
      machine.out(DATA, 0x44)
      uart.reset()
      expect(machine.timers.nextDeadlineNs).toBe(Infinity)
      uart.restore({ ...(state as object), batch: undefined })
      expect(machine.timers.nextDeadlineNs).toBe(Infinity)
    }
  })

  test.each([
    { lcr: 0x00, sent: '\u001f' },
    { lcr: 0x01, sent: '\u003f' },
    { lcr: 0x02, sent: '\u007f' },
    { lcr: 0x03, sent: '\u00ff' },
  ])('word length of LCR $lcr limits what 0xFF sends', ({ lcr, sent: expected }) => {
    const { machine, sent } = port()
    machine.out(LCR, lcr)
    machine.out(DATA, 0xff)
    expect(sent()).toBe(expected)
  })

  test('the THRE interrupt ends with a read of IIR and comes again with each byte and each enable', () => {
    const { machine } = port()
    machine.out(MCR, 0x08)
    machine.out(IER, 0x02)
    expect(machine.line(4).level).toBe(true)
    expect(machine.in(IIR)).toBe(0x02)
    expect(machine.line(4).level).toBe(false)
    expect(machine.in(IIR)).toBe(0x01)
    machine.out(DATA, 0x41)
    expect(machine.line(4).level).toBe(true)
    expect(machine.in(IIR)).toBe(0x02)
    machine.out(IER, 0x02)
    expect(machine.line(4).level).toBe(false)
    machine.out(IER, 0x00)
    machine.out(IER, 0x02)
    expect(machine.in(IIR)).toBe(0x02)
  })

  test.each([
    { strict: false, without: true },
    { strict: true, without: false },
  ])('with strict $strict, the interrupt arrives without OUT2: $without', ({ strict, without }) => {
    const { machine } = port({ strict })
    machine.out(IER, 0x02)
    expect(machine.line(4).level).toBe(without)
    machine.out(MCR, 0x08)
    expect(machine.line(4).level).toBe(true)
    machine.out(MCR, 0x18)
    expect(machine.line(4).level).toBe(without)
  })

  test('a paused transmitter fills its FIFO and goes on where it was', () => {
    const { uart, machine, sent } = port()
    machine.out(LCR, 0x03)
    machine.out(FCR, 0x01)
    uart.pauseTransmit()
    for (const byte of bytes('0123456789abcdefXYZ')) machine.out(DATA, byte)
    expect(machine.in(LSR) & 0x60).toBe(0)
    uart.resumeTransmit()
    expect(machine.in(LSR) & 0x60).toBe(0x60)
    expect(sent()).toBe('0123456789abcdef')
  })

  test('break is told to the host', () => {
    const breaks: boolean[] = []
    const { machine } = port({ stream: { send: () => {}, setBreak: (active) => void breaks.push(active) } })
    machine.out(LCR, 0x43)
    machine.out(LCR, 0x03)
    expect(breaks).toEqual([true, false])
  })
})

describe('receiver', () => {
  test.each([
    { fcr: 0x01, level: 1 },
    { fcr: 0x41, level: 4 },
    { fcr: 0x81, level: 8 },
    { fcr: 0xc1, level: 14 },
  ])('FCR $fcr interrupts at $level characters, or after four character times', ({ fcr, level }) => {
    const { uart, machine } = port()
    machine.out(MCR, 0x08)
    machine.out(IER, 0x01)
    machine.out(LCR, 0x83)
    machine.out(DATA, 1)
    machine.out(IER, 0)
    machine.out(LCR, 0x03)
    machine.out(FCR, fcr)
    for (let i = 1; i < level; i++) uart.receive(bytes('x'))
    if (level > 1) {
      expect(machine.line(4).level).toBe(false)
      machine.advance(347_000)
      expect(machine.line(4).level).toBe(false)
      machine.advance(1_000)
      expect(machine.in(IIR)).toBe(0xcc)
      expect(machine.in(DATA)).toBe(0x78)
      expect(machine.in(IIR)).toBe(0xc1)
      uart.receive(bytes('x'))
    }
    uart.receive(bytes('x'))
    expect(machine.in(IIR)).toBe(0xc4)
  })

  test('what does not fit the FIFO waits outside, and nothing is lost', () => {
    const { uart, machine } = port()
    machine.out(FCR, 0x01)
    expect(uart.receive(bytes('abcdefghijklmnopqrstuvwxyz'))).toBe(10)
    let text = ''
    while ((machine.in(LSR) & 1) !== 0) text += String.fromCharCode(machine.in(DATA))
    expect(text).toBe('abcdefghijklmnopqrstuvwxyz')
    expect(machine.in(LSR) & 0x02).toBe(0)
  })

  test('without FIFOs one character at a time is there', () => {
    const { uart, machine } = port()
    machine.out(MCR, 0x08)
    machine.out(IER, 0x01)
    expect(uart.receive(bytes('ab'))).toBe(1)
    expect(machine.in(IIR)).toBe(0x04)
    expect([machine.in(DATA), machine.in(DATA), machine.in(LSR) & 1]).toEqual([0x61, 0x62, 0])
    expect(machine.in(IIR)).toBe(0x01)
  })

  test('a break shows in LSR when its character is next, and bit 7 while it is in the FIFO', () => {
    const { uart, machine } = port()
    machine.out(MCR, 0x08)
    machine.out(IER, 0x05)
    machine.out(FCR, 0x01)
    uart.receive(bytes('a'))
    uart.sendBreak()
    expect(machine.in(LSR)).toBe(0xe1)
    expect(machine.in(DATA)).toBe(0x61)
    expect(machine.in(IIR)).toBe(0xc6)
    expect(machine.in(LSR)).toBe(0xf9)
    expect(machine.in(LSR)).toBe(0xe1)
    expect(machine.in(DATA)).toBe(0)
    expect(machine.in(LSR)).toBe(0x60)
  })

  test('an emptied FIFO has no character time-out under way', () => {
    const { uart, machine } = port()
    machine.out(FCR, 0x81)
    uart.receive(bytes('a'))
    expect(uart.save().timeoutAt).not.toBe(null)
    machine.out(FCR, 0x83)
    expect(uart.save().timeoutAt).toBe(null)
    expect(machine.timers.nextDeadlineNs).toBe(Infinity)
  })

  test('turning FIFOs on or off, and FCR bit 1, empty the receiver', () => {
    const { uart, machine } = port()
    uart.receive(bytes('a'))
    machine.out(FCR, 0x01)
    expect(machine.in(LSR) & 1).toBe(0)
    uart.receive(bytes('ab'))
    machine.out(FCR, 0x03)
    expect(machine.in(LSR) & 1).toBe(0)
    uart.receive(bytes('ab'))
    machine.out(FCR, 0x00)
    expect(machine.in(LSR) & 1).toBe(0)
  })
})

describe('interrupt priority (PC16550D, "Interrupt Identification Register")', () => {
  test('line status, then data, then transmitter, then modem', () => {
    const { uart, machine } = port()
    machine.out(IER, 0x0f)
    uart.setModemLines({ clearToSend: false, dataSetReady: true, ringIndicator: false, carrierDetect: true })
    uart.sendBreak()
    expect(machine.in(IIR)).toBe(0x06)
    machine.in(LSR)
    expect(machine.in(IIR)).toBe(0x04)
    machine.in(DATA)
    expect(machine.in(IIR)).toBe(0x02)
    expect(machine.in(IIR)).toBe(0x00)
    expect(machine.in(MSR)).toBe(0xa1)
    expect(machine.in(IIR)).toBe(0x01)
    expect(machine.in(MSR)).toBe(0xa0)
  })

  test('the ring indicator interrupts when it ends', () => {
    const { uart, machine } = port()
    const lines = { clearToSend: true, dataSetReady: true, carrierDetect: true }
    uart.setModemLines({ ...lines, ringIndicator: true })
    expect(machine.in(MSR)).toBe(0xf0)
    uart.setModemLines({ ...lines, ringIndicator: false })
    expect(machine.in(MSR)).toBe(0xb4)
  })
})

describe('loopback', () => {
  test.each([
    { mcr: 0x11, msr: 0x20 },
    { mcr: 0x12, msr: 0x10 },
    { mcr: 0x14, msr: 0x40 },
    { mcr: 0x18, msr: 0x80 },
    { mcr: 0x1a, msr: 0x90 },
  ])('MCR $mcr comes back as MSR $msr', ({ mcr, msr }) => {
    const { machine } = port()
    machine.out(MCR, mcr)
    expect(machine.in(MSR) & 0xf0).toBe(msr)
  })

  test('what is sent is received, and goes nowhere else', () => {
    const { machine, sent } = port()
    machine.out(LCR, 0x03)
    machine.out(IER, 0x01)
    machine.out(MCR, 0x18)
    machine.out(DATA, 0x5a)
    expect(machine.in(IIR)).toBe(0x04)
    expect(machine.in(DATA)).toBe(0x5a)
    expect(sent()).toBe('')
  })

  test.each([
    { given: 'the single register keeps the newest', fcr: 0x00, count: 2, first: 1 },
    { given: 'the FIFO keeps the oldest', fcr: 0x01, count: 17, first: 0 },
  ])('an overrun sets OE; $given', ({ fcr, count, first }) => {
    const { machine } = port()
    machine.out(LCR, 0x03)
    machine.out(FCR, fcr)
    machine.out(MCR, 0x10)
    for (let i = 0; i < count; i++) machine.out(DATA, i)
    expect(machine.in(LSR) & 0x03).toBe(0x03)
    expect(machine.in(LSR) & 0x03).toBe(0x01)
    expect(machine.in(DATA)).toBe(first)
  })

  test('the host is held off until loopback ends', () => {
    const { uart, machine } = port()
    machine.out(MCR, 0x10)
    uart.receive(bytes('a'))
    expect(machine.in(LSR) & 1).toBe(0)
    machine.out(MCR, 0x00)
    expect(machine.in(DATA)).toBe(0x61)
  })
})

describe('as a channel', () => {
  test('every byte that the host sends arrives once and in order, whatever the guest does in between', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 40, size: 'max' }),
            fc.constantFrom('read' as const, 'iir' as const, 'fifo' as const, 'lsr' as const),
          ),
          { maxLength: 60, size: 'max' },
        ),
        (steps) => {
          const { uart, machine } = port()
          machine.out(FCR, 0x01)
          machine.out(IER, 0x0f)
          const expected: number[] = []
          const got: number[] = []
          for (const step of steps) {
            if (typeof step !== 'string') {
              expected.push(...step)
              uart.receive(step)
            } else if (step === 'iir') machine.in(IIR)
            else if (step === 'lsr') machine.in(LSR)
            else if (step === 'fifo') machine.out(FCR, 0x81)
            else if ((machine.in(LSR) & 1) !== 0) got.push(machine.in(DATA))
          }
          while ((machine.in(LSR) & 1) !== 0) got.push(machine.in(DATA))
          expect(got).toEqual(expected)
        },
      ),
    )
  })

  test('a saved port goes on in another machine', () => {
    const { uart, machine } = port()
    machine.out(LCR, 0x03)
    machine.out(FCR, 0xc1)
    machine.out(IER, 0x0f)
    machine.out(MCR, 0x0b)
    uart.receive(bytes('some characters that are more than sixteen'))
    const saved: unknown = JSON.parse(JSON.stringify(uart.save()))
    const other = port()
    other.machine.time = machine.time
    other.uart.restore(saved)
    expect(other.uart.save()).toEqual(uart.save())
    expect(other.machine.line(4).level).toBe(true)
    let text = ''
    while ((other.machine.in(LSR) & 1) !== 0) text += String.fromCharCode(other.machine.in(DATA))
    expect(text).toBe('some characters that are more than sixteen')
  })

  test.each([{ iobase: -1 }, { iobase: 0xfff9 }, { iobase: 1.5 }])('iobase $iobase is refused', ({ iobase }) => {
    expect(() => new Uart16550({ iobase })).toThrow(/expected an integer from 0 to 0xfff8/)
  })
})

describe('a byte stream at the other end', () => {
  function streamed() {
    const sent: string[] = []
    const seen: unknown[] = []
    let client: ByteStreamClient | undefined
    let full = false
    let readies = 0
    const uart = new Uart16550({
      stream: {
        send: (bytes) => (sent.push(String.fromCharCode(...bytes)), !full),
        connect: (given) => (client = given),
        ready: () => readies++,
        setModem: (outputs) => seen.push(outputs),
      },
    })
    const machine = new FakeMachine(uart)
    machine.out(LCR, 3)
    return {
      uart,
      machine,
      sent,
      seen,
      client: client as ByteStreamClient,
      fill: () => (full = true),
      readies: () => readies,
    }
  }

  test('that is full holds the transmitter until it has drained; nothing is lost', () => {
    const { uart, machine, sent, client, fill } = streamed()
    fill()
    machine.out(0x3f8, 0x41)
    uart.flush()
    expect(sent).toEqual(['A'])
    machine.out(0x3f8, 0x42)
    // The transmitter is not empty any more.
    expect(machine.in(0x3fd) & 0x20).toBe(0)
    uart.flush()
    expect(sent).toEqual(['A'])
    client.drained()
    uart.flush()
    expect([sent, machine.in(0x3fd) & 0x20]).toEqual([['A', 'B'], 0x20])
  })

  test('is told when there is room for what was not taken', () => {
    const { machine, client, readies } = streamed()
    const bytes = Uint8Array.from({ length: 400 }, (_, i) => i)
    const taken = client.receive(bytes)
    expect(taken).toBeLessThan(400)
    expect(readies()).toBe(0)
    const got: number[] = []
    for (let i = 0; i < taken; i++) got.push(machine.in(0x3f8))
    expect(got).toEqual([...bytes.subarray(0, taken)])
    expect(readies()).toBe(1)
    expect(client.receive(bytes.subarray(taken))).toBe(400 - taken)
  })

  test('sees the modem outputs, and drives the inputs', () => {
    const { machine, seen, client } = streamed()
    machine.out(0x3fc, 0x03)
    machine.out(0x3fc, 0x01)
    machine.out(0x3fc, 0x11)
    expect(seen).toEqual([
      { dataTerminalReady: true, requestToSend: true },
      { dataTerminalReady: true, requestToSend: false },
      { dataTerminalReady: false, requestToSend: false },
    ])
    machine.out(0x3fc, 0x00)
    machine.in(0x3fe)
    client.modemChanged?.({ clearToSend: false, dataSetReady: true, ringIndicator: false, carrierDetect: true })
    expect(machine.in(0x3fe)).toBe(0xa1)
    client.breakReceived?.()
    expect(machine.in(0x3fd) & 0x10).toBe(0x10)
  })
})
