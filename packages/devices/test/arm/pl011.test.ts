import type { ByteStreamClient } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { Pl011 } from '../../src/arm/index.ts'
import { FakeMachine } from '../support/fake-machine.ts'

const BASE = 0x0900_0000
const DR = BASE
const RSR = BASE + 0x04
const FR = BASE + 0x18
const LCR_H = BASE + 0x2c
const CR = BASE + 0x30
const IFLS = BASE + 0x34
const IMSC = BASE + 0x38
const RIS = BASE + 0x3c
const MIS = BASE + 0x40
const ICR = BASE + 0x44

const RXFE = 0x10
const TXFF = 0x20
const RXFF = 0x40
const TXFE = 0x80
const BUSY = 0x08
const RX = 0x10
const TX = 0x20
const RT = 0x40
const BE = 0x200
const OE = 0x400
const ENABLED = 0x301
const FIFOS = 0x70
/** 32 bits at 115,200 baud from 24 MHz: the divisor is 13 and 1/64. */
const TIMEOUT_NS = Math.ceil((32 * 16 * (13 + 1 / 64) * 1e9) / 24e6)

interface Board {
  readonly machine: FakeMachine
  readonly uart: Pl011
  readonly sent: string[]
  readonly log: string[]
  client: ByteStreamClient
  room: boolean
}

function board({ enabled = true, fifos = true } = {}): Board {
  const made = { sent: [] as string[], log: [] as string[], room: true } as unknown as Board
  const uart = new Pl011({
    base: BASE,
    irq: 33,
    stream: {
      send: (bytes) => {
        made.sent.push(String.fromCharCode(...bytes))
        return made.room
      },
      connect: (client) => void (made.client = client),
      ready: () => made.log.push('ready'),
      setBreak: (on) => made.log.push(`break ${on}`),
      setModem: ({ dataTerminalReady, requestToSend }) =>
        made.log.push(`DTR ${dataTerminalReady} RTS ${requestToSend}`),
    },
  })
  const machine = new FakeMachine(uart)
  machine.store(BASE + 0x24, 13)
  machine.store(BASE + 0x28, 1)
  machine.store(LCR_H, fifos ? FIFOS : 0x60)
  if (enabled) machine.store(CR, ENABLED)
  return Object.assign(made, { machine, uart })
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))
const readAll = (machine: FakeMachine): string => {
  let text = ''
  while ((machine.load(FR) & RXFE) === 0) text += String.fromCharCode(machine.load(DR) & 0xff)
  return text
}

describe('transmitter (DDI 0183, "UARTDR", "UARTIFLS")', () => {
  test('characters reach the stream together, also before the UART is enabled', () => {
    const { machine, sent } = board({ enabled: false })
    for (const byte of bytes('hello')) machine.store(DR, byte)
    machine.advance(1e6)
    expect(sent).toEqual(['hello'])
  })

  test('its interrupt comes when a character has left, not when it is enabled', () => {
    const { machine } = board()
    machine.store(IMSC, TX)
    expect([machine.load(MIS), machine.line(33).level]).toEqual([0, false])
    machine.store(DR, 0x41)
    expect([machine.load(MIS), machine.line(33).level]).toEqual([TX, true])
    machine.store(ICR, TX)
    expect(machine.line(33).level).toBe(false)
  })

  test('a stream that is full fills the FIFO; the interrupt waits for its trigger level', () => {
    const made = board()
    const { machine, sent } = made
    made.room = false
    machine.store(DR, 0x2e)
    made.uart.flush()
    machine.store(IMSC, TX)
    // Half of 16 is the level: the interrupt goes when there are more.
    for (let i = 0; i < 8; i++) machine.store(DR, 0x61 + i)
    expect(machine.load(RIS)).toBe(TX)
    machine.store(DR, 0x69)
    expect(machine.load(RIS)).toBe(0)
    expect(machine.load(FR) & (TXFE | TXFF | BUSY)).toBe(BUSY)
    for (let i = 0; i < 7; i++) machine.store(DR, 0x6a + i)
    expect(machine.load(FR) & (TXFE | TXFF | BUSY)).toBe(BUSY | TXFF)
    // The seventeenth is lost.
    machine.store(DR, 0x7a)
    made.room = true
    made.client.drained()
    expect([machine.load(RIS), machine.load(FR) & (TXFE | BUSY)]).toEqual([TX, TXFE])
    made.uart.flush()
    expect(sent).toEqual(['.', 'abcdefghijklmnop'])
  })

  test.each([
    { given: '1/8', ifls: 0, level: 2 },
    { given: '1/4', ifls: 1, level: 4 },
    { given: '3/4', ifls: 3, level: 12 },
    { given: '7/8', ifls: 4, level: 14 },
  ])('trigger level $given is $level characters', ({ ifls, level }) => {
    const made = board()
    made.room = false
    made.machine.store(DR, 0x2e)
    made.uart.flush()
    made.machine.store(IFLS, ifls)
    for (let i = 0; i < level; i++) made.machine.store(DR, 0x61)
    expect(made.machine.load(RIS)).toBe(TX)
    made.machine.store(DR, 0x61)
    expect(made.machine.load(RIS)).toBe(0)
  })

  test('without FIFOs one character waits', () => {
    const made = board({ fifos: false })
    made.room = false
    made.machine.store(DR, 0x2e)
    made.uart.flush()
    made.machine.store(DR, 0x61)
    expect(made.machine.load(FR) & (TXFE | TXFF)).toBe(TXFF)
    expect(made.machine.load(RIS)).toBe(0)
  })

  test('CTS holds characters back where the guest has asked for it', () => {
    const { machine, client, uart, sent } = board()
    const lines = { dataSetReady: true, carrierDetect: true, ringIndicator: false }
    machine.store(CR, ENABLED | 0x8000)
    client.modemChanged!({ ...lines, clearToSend: false })
    machine.store(DR, 0x61)
    uart.flush()
    expect(sent).toEqual([])
    client.modemChanged!({ ...lines, clearToSend: true })
    uart.flush()
    expect(sent).toEqual(['a'])
  })

  test('short words lose their upper bits', () => {
    const { machine, uart, sent } = board()
    machine.store(LCR_H, 0x10)
    machine.store(DR, 0xff)
    uart.flush()
    expect(sent).toEqual(['\u001f'])
  })

  test('a UART that nobody has set up sends eight bits', () => {
    const { machine, uart, sent } = board()
    machine.store(CR, 0x300)
    machine.store(LCR_H, 0)
    machine.store(DR, 0xff)
    uart.flush()
    expect(sent).toEqual(['\u00ff'])
  })
})

describe('receiver (DDI 0183, "UARTRIS", "UARTIFLS")', () => {
  test('its interrupt comes at the trigger level, and goes below it', () => {
    const { machine, client } = board()
    machine.store(IMSC, RX)
    client.receive(bytes('1234567'))
    expect(machine.load(RIS)).toBe(0)
    client.receive(bytes('89'))
    expect([machine.load(RIS), machine.line(33).level]).toEqual([RX, true])
    machine.load(DR)
    expect(machine.load(RIS)).toBe(RX)
    machine.load(DR)
    expect([machine.load(RIS), machine.line(33).level]).toEqual([0, false])
  })

  test('below the trigger level it is told after 32 bits of silence', () => {
    const { machine, client } = board()
    client.receive(bytes('ab'))
    machine.advance(TIMEOUT_NS - 1)
    expect(machine.load(RIS)).toBe(0)
    client.receive(bytes('c'))
    machine.advance(TIMEOUT_NS - 1)
    expect(machine.load(RIS)).toBe(0)
    machine.advance(1)
    expect(machine.load(RIS)).toBe(RT)
    expect(readAll(machine)).toBe('abc')
    expect(machine.load(RIS)).toBe(0)
    machine.advance(1e9)
    expect(machine.load(RIS)).toBe(0)
  })

  test('a timeout that is cleared without a read comes again', () => {
    const { machine, client } = board()
    client.receive(bytes('a'))
    machine.advance(TIMEOUT_NS)
    machine.store(ICR, RT)
    expect(machine.load(RIS)).toBe(0)
    machine.advance(TIMEOUT_NS)
    expect(machine.load(RIS)).toBe(RT)
  })

  test('what does not fit waits outside, and the stream hears of room', () => {
    const { machine, client, log } = board()
    const text = Array.from({ length: 400 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('')
    const taken = client.receive(bytes(text))
    expect(taken).toBe(256)
    expect(machine.load(FR) & RXFF).toBe(RXFF)
    expect(readAll(machine)).toBe(text.slice(0, 256))
    expect(log).toEqual(['ready'])
    expect(client.receive(bytes(text.slice(256)))).toBe(144)
    expect(readAll(machine)).toBe(text.slice(256))
  })

  test('characters for a receiver that is off wait for it', () => {
    const { machine, client } = board({ enabled: false })
    client.receive(bytes('abc'))
    expect(machine.load(FR) & RXFE).toBe(RXFE)
    machine.store(CR, ENABLED & ~0x200)
    expect(machine.load(FR) & RXFE).toBe(RXFE)
    machine.store(CR, ENABLED)
    expect(readAll(machine)).toBe('abc')
  })

  test('a break is a zero character with its bit, and an interrupt', () => {
    const { machine, client } = board()
    client.breakReceived!()
    client.receive(bytes('a'))
    expect(machine.load(RIS)).toBe(BE)
    expect(machine.load(DR)).toBe(0x400)
    expect(machine.load(RSR)).toBe(4)
    expect(machine.load(DR)).toBe(0x61)
    expect(machine.load(RSR)).toBe(0)
    machine.store(ICR, BE)
    expect(machine.load(RIS)).toBe(0)
  })

  test('without FIFOs each character interrupts', () => {
    const { machine, client } = board({ fifos: false })
    client.receive(bytes('ab'))
    expect([machine.load(RIS), machine.load(FR) & RXFF]).toEqual([RX, RXFF])
    expect(machine.load(DR)).toBe(0x61)
    expect(machine.load(RIS)).toBe(RX)
    expect(machine.load(DR)).toBe(0x62)
    expect(machine.load(RIS)).toBe(0)
  })

  test('turning FIFOs on or off empties them', () => {
    const made = board()
    const { machine, client, sent } = made
    made.room = false
    machine.store(DR, 0x2e)
    made.uart.flush()
    for (let i = 0; i < 12; i++) machine.store(DR, 0x61)
    client.receive(bytes('abcdefghijklmnopqrst'))
    expect(machine.load(RIS)).toBe(RX)
    machine.store(LCR_H, FIFOS & ~0x10)
    // What waited on the line comes next.
    expect([machine.load(FR) & (TXFE | RXFE), machine.load(RIS), machine.load(DR)]).toEqual([TXFE, RX | TX, 0x71])
    made.room = true
    client.drained()
    made.uart.flush()
    expect(sent).toEqual(['.'])
  })

  test('a lower trigger level counts what is there', () => {
    const { machine, client } = board()
    client.receive(bytes('abcd'))
    machine.store(IFLS, 0x0a)
    expect(machine.load(RIS)).toBe(RX)
    machine.store(IFLS, 0x12)
    expect(machine.load(RIS)).toBe(0)
  })
})

describe('loopback (DDI 0183, "UARTCR")', () => {
  test('the transmitter feeds the receiver; one character too many is an overrun', () => {
    const { machine, uart, sent } = board()
    machine.store(CR, ENABLED | 0x80)
    for (let i = 0; i < 16; i++) machine.store(DR, 0x61 + i)
    expect(machine.load(RIS) & OE).toBe(0)
    machine.store(DR, 0x7a)
    expect(machine.load(RIS) & OE).toBe(OE)
    expect(machine.load(RSR)).toBe(8)
    expect(machine.load(DR)).toBe(0x61)
    // The next character that comes tells of the one that was lost.
    machine.store(DR, 0x79)
    for (let i = 1; i < 16; i++) expect(machine.load(DR)).toBe(0x61 + i)
    expect(machine.load(DR)).toBe(0x879)
    machine.store(RSR, 0)
    expect(machine.load(RSR)).toBe(0)
    uart.flush()
    expect(sent).toEqual([])
  })

  test.each([
    { output: 'RTS', cr: 0x800, flag: 0x001, interrupt: 0x002 },
    { output: 'DTR', cr: 0x400, flag: 0x002, interrupt: 0x008 },
    { output: 'Out1', cr: 0x1000, flag: 0x004, interrupt: 0x004 },
    { output: 'Out2', cr: 0x2000, flag: 0x100, interrupt: 0x001 },
  ])('$output is an input', ({ cr, flag, interrupt }) => {
    const { machine } = board()
    machine.store(CR, ENABLED | 0x80)
    machine.store(ICR, 0x7ff)
    machine.store(CR, ENABLED | 0x80 | cr)
    expect([machine.load(FR) & 0x107, machine.load(RIS)]).toEqual([flag, interrupt])
  })

  test('a break comes back', () => {
    const { machine, log } = board()
    machine.store(CR, ENABLED | 0x80)
    machine.store(LCR_H, FIFOS | 1)
    expect(machine.load(DR)).toBe(0x400)
    expect(log.filter((line) => line.startsWith('break'))).toEqual([])
  })
})

test('outputs and breaks reach the far end, and its lines the guest', () => {
  const { machine, client, log } = board()
  machine.store(CR, ENABLED | 0xc00)
  machine.store(LCR_H, FIFOS | 1)
  machine.store(LCR_H, FIFOS)
  machine.store(CR, ENABLED | 0xc80)
  expect(log).toEqual(['DTR true RTS true', 'break true', 'break false', 'DTR false RTS false'])
  machine.store(CR, ENABLED)
  machine.store(ICR, 0x7ff)
  client.modemChanged!({ clearToSend: false, dataSetReady: true, carrierDetect: false, ringIndicator: true })
  expect([machine.load(FR) & 0x107, machine.load(RIS)]).toEqual([0x102, 0x007])
})

test('accesses of bytes and halfwords reach the register that they lie in', () => {
  const { machine, client, sent, uart } = board()
  machine.store(DR, 0x41, 1)
  machine.store(DR + 1, 0x42, 1)
  machine.store(CR, 0x0301, 2)
  client.receive(bytes('z'))
  expect(machine.load(CR + 1, 1)).toBe(3)
  expect(machine.load(DR, 1)).toBe(0x7a)
  uart.flush()
  expect(sent).toEqual(['A'])
})

test('a saved state goes on in another', () => {
  const made = board()
  made.machine.store(IMSC, 0x7ff)
  made.client.receive(bytes('abcdefghijklmnopqrst'))
  made.machine.load(DR)
  made.room = false
  made.machine.store(DR, 0x2e)
  made.uart.flush()
  for (const byte of bytes('xyz')) made.machine.store(DR, byte)
  const other = board({ fifos: false, enabled: false })
  other.machine.time = made.machine.time
  other.uart.restore(JSON.parse(JSON.stringify(made.uart.save())))
  made.room = true
  for (const { machine, client, uart, sent } of [made, other]) {
    sent.length = 0
    expect(machine.line(33).level).toBe(true)
    machine.advance(TIMEOUT_NS)
    expect(machine.load(RIS)).toBe(RX | TX | RT)
    expect(readAll(machine)).toBe('bcdefghijklmnopqrst')
    client.drained()
    uart.flush()
    expect(sent).toEqual(['xyz'])
    expect(JSON.stringify(uart.save())).toBe(JSON.stringify(made.uart.save()))
  }
})

test('an overrun that nothing has told of yet is saved', () => {
  const { machine, uart } = board({ fifos: false })
  machine.store(CR, ENABLED | 0x80)
  machine.store(DR, 0x61)
  machine.store(DR, 0x62)
  const other = board()
  other.uart.restore(JSON.parse(JSON.stringify(uart.save())))
  for (const each of [machine, other.machine]) {
    expect(each.load(DR)).toBe(0x61)
    each.store(DR, 0x63)
    expect(each.load(DR)).toBe(0x863)
  }
})

test('a reset leaves what waits on the line', () => {
  const { machine, uart, client } = board()
  machine.store(IMSC, 0x7ff)
  client.receive(bytes('abcdefghijklmnopqrst'))
  uart.reset()
  expect([machine.load(CR), machine.load(IMSC), machine.load(RIS), machine.line(33).level]).toEqual([
    0x300,
    0,
    0,
    false,
  ])
  expect(machine.load(FR)).toBe(0x97)
  machine.store(CR, ENABLED)
  expect(readAll(machine)).toBe('qrst')
})

test.each([0, -1, NaN, Infinity])('a clock of %d Hz is refused', (clockHz) => {
  expect(() => new Pl011({ base: BASE, irq: 33, clockHz })).toThrow(`pl011: clockHz ${clockHz}: expected a positive`)
})
