import { describe, expect, test } from 'vitest'
import { HostBridge, type ShadowRange } from '../src/host-bridge.ts'
import { MchHostBridge } from '../src/q35/mch-host-bridge.ts'
import { IsaBridge } from '../src/isa-bridge.ts'
import { FakeMachine } from './support/fake-machine.ts'

describe('host bridge', () => {
  test('is an 82441FX at 00:00.0', () => {
    const machine = new FakeMachine(new HostBridge())
    expect(machine.functions.get(0)?.options).toMatchObject({ vendorId: 0x8086, deviceId: 0x1237, classCode: 0x060000 })
  })

  test.each([
    { register: 0x59, value: 0x30, gpa: 0xf0000, bytes: 0x10000, readRam: true, writeRam: true },
    { register: 0x59, value: 0x10, gpa: 0xf0000, bytes: 0x10000, readRam: true, writeRam: false },
    { register: 0x5a, value: 0x02, gpa: 0xc0000, bytes: 0x4000, readRam: false, writeRam: true },
    { register: 0x5a, value: 0x20, gpa: 0xc4000, bytes: 0x4000, readRam: false, writeRam: true },
    { register: 0x5f, value: 0x30, gpa: 0xec000, bytes: 0x4000, readRam: true, writeRam: true },
  ])('PAM register $register = $value backs $gpa', ({ register, value, ...range }) => {
    const ranges: ShadowRange[] = []
    const machine = new FakeMachine(new HostBridge({ onShadow: (r) => ranges.push(r) }))
    machine.writeConfig(0, register, value)
    expect(ranges).toContainEqual(range)
  })

  test('a reset tells all thirteen ranges again', () => {
    const ranges: ShadowRange[] = []
    const bridge = new HostBridge({ onShadow: (r) => ranges.push(r) })
    const machine = new FakeMachine(bridge)
    machine.functions.get(0)?.config.fill(0)
    bridge.reset()
    expect(ranges).toHaveLength(13)
    expect(ranges.every((r) => !r.readRam && !r.writeRam)).toBe(true)
  })
})

test.each([
  { name: 'of a 440FX', make: (options: object) => new HostBridge(options), register: 0x59 },
  { name: 'of a Q35', make: (options: object) => new MchHostBridge(options), register: 0x90 },
])('a host bridge $name whose machine sleeps keeps its PAM registers through the reset', ({ make, register }) => {
  const ranges: ShadowRange[] = []
  let asleep = true
  const bridge = make({ onShadow: (range: ShadowRange) => ranges.push(range), isAsleep: () => asleep })
  const machine = new FakeMachine(bridge)
  machine.writeConfig(0, register, 0x30)
  const { config } = machine.functions.get(0)!
  const reset = (): ShadowRange | undefined => {
    ranges.length = 0
    config.fill(0, register, register + 7)
    bridge.reset()
    return ranges.find(({ gpa }) => gpa === 0xf0000)
  }
  expect([reset()?.readRam, config[register]]).toEqual([true, 0x30])
  asleep = false
  expect([reset()?.readRam, config[register]]).toEqual([false, 0])
})

describe('PCI interrupt routing (82371SB, "PIRQx Route Control Registers")', () => {
  test.each([
    { device: 0, pin: 1, link: 3 },
    { device: 1, pin: 1, link: 0 },
    { device: 3, pin: 1, link: 2 },
    { device: 3, pin: 3, link: 0 },
    { device: 31, pin: 4, link: 1 },
  ])('device $device pin $pin is link $link', ({ device, pin, link }) => {
    const bridge = new IsaBridge()
    const machine = new FakeMachine(bridge)
    const wire = bridge.interruptInput(device, pin)
    wire.set(true)
    expect([16, 17, 18, 19].map((gsi) => machine.line(gsi).level)).toEqual([0, 1, 2, 3].map((l) => l === link))
    wire.set(false)
    expect(machine.line(16 + link).level).toBe(false)
    wire.pulse()
    expect(machine.line(16 + link).edges).toBe(2)
  })

  test('a link drives the ISA line that its route register names', () => {
    const bridge = new IsaBridge()
    const machine = new FakeMachine(bridge)
    const wire = bridge.interruptInput(3, 1)
    wire.set(true)
    expect(machine.line(10).level).toBe(false)
    machine.writeConfig(1, 0x62, 0x0a)
    expect(machine.line(10).level).toBe(true)
    machine.writeConfig(1, 0x62, 0x0b)
    expect([machine.line(10).level, machine.line(11).level]).toEqual([false, true])
    machine.writeConfig(1, 0x62, 0x8b)
    expect(machine.line(11).level).toBe(false)
    machine.writeConfig(1, 0x62, 0x00)
    expect(machine.line(0).level).toBe(false)
  })

  test('functions and links that share a line are ORed', () => {
    const bridge = new IsaBridge()
    const machine = new FakeMachine(bridge)
    machine.writeConfig(1, 0x60, 0x0b)
    machine.writeConfig(1, 0x61, 0x0b)
    const [a, b, c] = [bridge.interruptInput(5, 1), bridge.interruptInput(9, 1), bridge.interruptInput(6, 1)]
    a.set(true)
    b.set(true)
    c.set(true)
    a.set(false)
    expect([machine.line(16).level, machine.line(11).level]).toEqual([true, true])
    b.set(false)
    expect([machine.line(16).level, machine.line(11).level]).toEqual([false, true])
    c.set(false)
    expect(machine.line(11).level).toBe(false)
  })

  test('functions that share a pin are ORed, before and after a restore, in either order', () => {
    const bridge = new IsaBridge()
    new FakeMachine(bridge)
    const [port, behind] = [bridge.interruptInput(4, 1), bridge.interruptInput(4, 1)]
    const level = (): number | undefined => (bridge.save()['wires'] as number[])[4]
    behind.set(true)
    const saved = bridge.save()
    port.set(false)
    expect(level()).toBe(1)
    for (const order of [
      [port, behind],
      [behind, port],
    ]) {
      behind.set(false)
      expect(level()).toBe(0)
      bridge.restore(saved)
      for (const wire of order) wire.set(wire === behind)
      expect(level()).toBe(1)
    }
  })

  test('wires are saved', () => {
    const bridge = new IsaBridge()
    const machine = new FakeMachine(bridge)
    bridge.interruptInput(6, 2).set(true)
    expect(machine.line(18).level).toBe(true)
    const other = new IsaBridge()
    const second = new FakeMachine(other)
    other.restore(JSON.parse(JSON.stringify(bridge.save())))
    expect(second.line(18).level).toBe(true)
    other.reset()
    expect(second.line(18).level).toBe(false)
  })

  test('device 0 is refused, because the host bridge is there, and so is what no bus has', () => {
    expect(() => new IsaBridge({ device: 0 })).toThrow(/PCI device 0: expected an integer from 1 to 31/)
    expect(new IsaBridge({ device: 31 }).name).toBe('isa-bridge')
    expect(() => new IsaBridge({ device: 32 })).toThrow(/PCI device 32: expected an integer from 1 to 31/)
    expect(() => new IsaBridge({ device: 1.5 })).toThrow(/PCI device 1.5: expected an integer from 1 to 31/)
  })
})
