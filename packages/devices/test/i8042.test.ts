import { describe, expect, test } from 'vitest'
import { I8042 } from '../src/i8042.ts'
import { FakeMachine } from './support/fake-machine.ts'
import { Ps2Machine } from './support/ps2-machine.ts'

const OBF = 0x01
const board = (): { i8042: I8042; machine: FakeMachine } => {
  const i8042 = new I8042()
  return { i8042, machine: new FakeMachine(i8042) }
}

/** What the controller answers to a command and its data. */
const ask = (machine: FakeMachine, ...bytes: readonly number[]): number | null => {
  machine.out(0x64, bytes[0] as number)
  for (const byte of bytes.slice(1)) machine.out(0x60, byte)
  return (machine.in(0x64) & OBF) === 0 ? null : machine.in(0x60)
}

describe('controller commands', () => {
  test.each([
    { name: 'self-test', bytes: [0xaa], answer: 0x55 },
    { name: 'keyboard interface test', bytes: [0xab], answer: 0x00 },
    { name: 'mouse interface test', bytes: [0xa9], answer: 0x00 },
    { name: 'read command byte', bytes: [0x20], answer: 0x70 },
    { name: 'read output port', bytes: [0xd0], answer: 0xcf },
    { name: 'read input port', bytes: [0xc0], answer: 0xa0 },
    { name: 'loop back as the keyboard', bytes: [0xd2, 0x3c], answer: 0x3c },
    { name: 'loop back as the mouse', bytes: [0xd3, 0x5a], answer: 0x5a },
    { name: 'a byte for the mouse times out', bytes: [0xd4, 0xf2], answer: 0xfe },
    { name: 'an unknown command', bytes: [0xb8], answer: null },
  ])('$name: $answer', ({ bytes, answer }) => {
    const { machine } = board()
    expect(ask(machine, ...bytes)).toBe(answer)
    expect(machine.in(0x64) & OBF).toBe(0)
  })

  test.each([
    { command: 0xa8, from: 0x70, to: 0x50 },
    { command: 0xa7, from: 0x00, to: 0x20 },
    { command: 0xae, from: 0x70, to: 0x60 },
    { command: 0xad, from: 0x00, to: 0x10 },
  ])('command $command changes the command byte from $from to $to', ({ command, from, to }) => {
    const { machine } = board()
    ask(machine, 0x60, from)
    ask(machine, command)
    expect(ask(machine, 0x20)).toBe(to)
  })

  test('RAM behind the command byte is storage', () => {
    const { machine } = board()
    ask(machine, 0x65, 0x77)
    expect(ask(machine, 0x25)).toBe(0x77)
  })

  test('a byte for the keyboard times out, and says so', () => {
    const { machine } = board()
    machine.out(0x60, 0xf2)
    expect(machine.in(0x64)).toBe(0x51)
    expect(machine.in(0x60)).toBe(0xfe)
    expect(machine.in(0x64)).toBe(0x10)
  })
})

describe('interrupts', () => {
  test.each([
    { commandByte: 0x01, command: 0xd2, irq: 1, other: 12 },
    { commandByte: 0x02, command: 0xd3, irq: 12, other: 1 },
  ])('command byte $commandByte lets IRQ $irq through', ({ commandByte, command, irq, other }) => {
    const { machine } = board()
    ask(machine, 0x60, commandByte)
    machine.out(0x64, command)
    machine.out(0x60, 0x11)
    expect([machine.line(irq).level, machine.line(other).level]).toEqual([true, false])
    machine.in(0x60)
    expect(machine.line(irq).level).toBe(false)
  })

  test('without its bit there is none', () => {
    const { machine } = board()
    ask(machine, 0x60, 0x00)
    machine.out(0x64, 0xd2)
    machine.out(0x60, 0x11)
    expect(machine.line(1).edges).toBe(0)
  })
})

describe('reset line', () => {
  test.each([
    { name: 'pulse of bit 0', writes: [[0x64, 0xfe]], requests: ['reset'] },
    { name: 'pulse of nothing', writes: [[0x64, 0xff]], requests: [] },
    {
      name: 'output port with bit 0 low',
      writes: [
        [0x64, 0xd1],
        [0x60, 0x02],
      ],
      requests: ['reset'],
    },
    {
      name: 'output port with bit 0 high',
      writes: [
        [0x64, 0xd1],
        [0x60, 0x01],
      ],
      requests: [],
    },
  ])('$name: $requests', ({ writes, requests }) => {
    const { machine } = board()
    for (const [port, value] of writes) machine.out(port as number, value as number)
    expect(machine.requests).toEqual(requests)
  })
})

test('a state of version 1 is taken, one of other devices is not', () => {
  const { i8042, machine } = board()
  const { ram, status, pending, outputPort } = i8042.save()
  i8042.restore({ version: 1, ram, status: (status as number) | OBF, data: 0x42, pending, outputPort })
  expect(machine.in(0x60)).toBe(0x42)
  const plugged = new Ps2Machine()
  expect(() => i8042.restore(plugged.i8042.save())).toThrow('i8042: saved state with a keyboard: expected no keyboard')
  plugged.i8042.restore({ version: 1, ram, status, data: 0, pending, outputPort })
  expect(plugged.keyboard(0xee)).toEqual([0xee])
  expect(() => i8042.restore({ version: 3 })).toThrow('i8042: saved state of version 3: expected 2')
})

test('state goes on in another machine', () => {
  const { i8042, machine } = board()
  ask(machine, 0x60, 0x03)
  machine.out(0x64, 0xd3)
  machine.out(0x60, 0x42)
  const other = board()
  other.i8042.restore(JSON.parse(JSON.stringify(i8042.save())))
  expect(other.machine.line(12).level).toBe(true)
  expect(other.machine.in(0x60)).toBe(0x42)
  i8042.reset()
  expect([machine.in(0x64), machine.line(12).level]).toEqual([0x10, false])
})
