import type { RangeHandler } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { Edu, I6300Esb, PvPanic } from '../src/index.ts'
import { FakeMachine } from './support/fake-machine.ts'

const bar = (machine: FakeMachine, device: number): RangeHandler =>
  machine.functions.get(device << 3)!.options.bars![0]!.handler!

describe("QEMU's edu (docs/specs/edu.rst)", () => {
  function made() {
    const device = new Edu()
    const machine = new FakeMachine(device)
    const registers = bar(machine, 29)
    machine.functions.get(29 << 3)!.config[4] = 4
    return {
      device,
      machine,
      get: (at: number) => registers.read(at, 4),
      set: (at: number, value: number) => registers.write(at, 4, value),
    }
  }
  const line = (machine: FakeMachine): boolean => machine.line(129).level

  test('identifies itself, inverts, and computes factorials in 32 bits', () => {
    const { machine, get, set } = made()
    expect([get(0), get(4), get(8)]).toEqual([0x0100_00ed, 0, 1])
    void set(4, 0x1234_5678)
    expect(get(4)).toBe(0xedcb_a987)
    for (const [n, product] of [
      [0, 1],
      [5, 120],
      [13, 1_932_053_504],
      [0xffff_ffff, 0],
    ] as const) {
      void set(8, n)
      expect([get(0x20), get(8)]).toEqual([1, n])
      machine.advance(1e6)
      expect([get(0x20), get(8), line(machine)]).toEqual([0, product, false])
    }
    void set(0x20, 0xff)
    void set(8, 3)
    machine.advance(1e6)
    expect([get(0x20), get(8), get(0x24), line(machine)]).toEqual([0x80, 6, 1, true])
  })

  test('raises interrupts until each bit is acknowledged', () => {
    const { machine, get, set } = made()
    void set(0x60, 0x8000_0003)
    expect([get(0x24), line(machine)]).toEqual([0x8000_0003, true])
    void set(0x64, 0x8000_0001)
    expect([get(0x24), line(machine)]).toEqual([2, true])
    void set(0x64, 2)
    expect([get(0x24), line(machine)]).toEqual([0, false])
  })

  test('moves bytes into its buffer and back, as bus master alone, and a saved transfer ends elsewhere', () => {
    const { device, machine, set, get } = made()
    const move = (source: number, destination: number, count: number, command: number): void => {
      for (const [i, value] of [source, destination, count, command].entries()) void set(0x80 + 8 * i, value)
    }
    machine.ram.set([1, 2, 3, 4], 0x100)
    move(0x100, 0x4_0010, 4, 1)
    expect(get(0x98)).toBe(1)
    // What a transfer stands on stays.
    void set(0x80, 0)
    machine.advance(1e6)
    expect([get(0x98), get(0x24)]).toEqual([0, 0])
    move(0x4_0010, 0x200, 4, 7)
    const saved = structuredClone(device.save())
    const other = made()
    other.device.restore(saved)
    other.machine.advance(2e6)
    expect([...other.machine.ram.subarray(0x200, 0x205)]).toEqual([1, 2, 3, 4, 0])
    expect([other.get(0x24), line(other.machine)]).toEqual([0x100, true])
    // Beyond the buffer, and without bus mastering, nothing moves.
    other.machine.ram.fill(0)
    for (const [at, master] of [
      [0x4_0ffd, 4],
      [0x3_ffff, 4],
      [0x4_0010, 0],
    ] as const) {
      other.machine.functions.get(29 << 3)!.config[4] = master
      for (const [i, value] of [at, 0x300, 4, 3].entries()) void other.set(0x80 + 8 * i, value)
      other.machine.advance(1e6)
    }
    expect(other.machine.ram.every((byte) => byte === 0)).toBe(true)
    device.reset()
    expect([get(0x98), get(0x80)]).toEqual([0, 0])
  })
})

describe("QEMU's pvpanic (docs/specs/pvpanic.rst)", () => {
  test('tells of a panic by its port and by its PCI function', () => {
    const told: boolean[] = []
    const machine = new FakeMachine(new PvPanic({ ioport: 0x505, device: 27, onPanic: (crash) => told.push(crash) }))
    expect([machine.in(0x505), bar(machine, 27).read(0, 1)]).toEqual([3, 3])
    machine.out(0x505, 1)
    machine.out(0x505, 2)
    void bar(machine, 27).write(0, 1, 1)
    machine.out(0x505, 4)
    expect(told).toEqual([false, true, false])
  })
})

describe('the watchdog of a 6300ESB (Intel 6300ESB datasheet, chapter 16)', () => {
  function made() {
    const device = new I6300Esb({ onExpired: (context) => context.requestReset() })
    const machine = new FakeMachine(device)
    const registers = bar(machine, 28)
    const write = (at: number, size: 2 | 4, value: number): unknown => registers.write(at, size, value)
    const unlocked = (at: number, value: number): void => {
      for (const [offset, word] of [
        [12, 0x80],
        [12, 0x86],
        [at, value],
      ] as const)
        void write(offset, offset === 12 ? 2 : 4, word)
    }
    return { device, machine, read: (at: number) => registers.read(at, 4), write, unlocked }
  }
  /** Half of Linux's 30 seconds, in its ticks of about a millisecond. */
  const HALF = 30 << 9

  test('resets a guest that does not feed it after both stages, and not one that does', () => {
    const { machine, read, unlocked } = made()
    machine.writeConfig(28, 0x60, 3)
    unlocked(0, HALF)
    unlocked(4, HALF)
    machine.writeConfig(28, 0x68, 2)
    for (let i = 0; i < 5; i++) {
      machine.advance(20e9)
      unlocked(12, 0x100)
    }
    expect(machine.requests).toEqual([])
    machine.advance(29e9)
    expect([machine.requests, read(12)]).toEqual([[], 0])
    machine.advance(2e9)
    expect([machine.requests, read(12)]).toEqual([['reset'], 0x200])
    unlocked(12, 0x200)
    expect(read(12)).toBe(0)
  })

  test('takes no value without its two words before it, and interrupts after the first stage', () => {
    const { device, machine, read, write, unlocked } = made()
    void write(0, 4, 7)
    void write(12, 2, 0x86)
    void write(12, 2, 0x80)
    void write(0, 4, 7)
    expect(read(0)).toBe(0xf_ffff)
    unlocked(0, 0xfff0_0010)
    unlocked(4, 1000)
    expect([read(0), read(4)]).toEqual([0x10, 1000])
    machine.writeConfig(28, 0x60, 4)
    machine.writeConfig(28, 0x68, 2)
    machine.advance(16 * 970)
    expect([read(8), machine.line(128).level]).toEqual([1, true])
    void write(8, 4, 1)
    expect([read(8), machine.line(128).level]).toEqual([0, false])
    const other = made()
    other.machine.functions.get(28 << 3)!.config.set(machine.functions.get(28 << 3)!.config)
    other.device.restore(structuredClone(device.save()))
    other.machine.advance(1e6)
    expect(other.machine.requests).toEqual(['reset'])
  })

  test('stays on once it is locked, and its output can be off', () => {
    const { machine, unlocked } = made()
    unlocked(0, 10)
    unlocked(4, 10)
    machine.writeConfig(28, 0x60, 0x23)
    machine.writeConfig(28, 0x68, 3)
    machine.writeConfig(28, 0x68, 0)
    expect(machine.functions.get(28 << 3)!.config[0x68]).toBe(3)
    machine.advance(1e9)
    expect(machine.requests).toEqual([])
  })
})
