import { describe, expect, test } from 'vitest'
import { XenPlatform, XenUnplug } from '../src/xen-platform.ts'
import { FakeMachine } from './support/fake-machine.ts'

describe('Xen platform device', () => {
  test('is 5853:0001, with an interrupt pin, ports and addresses for frames', () => {
    const options = new FakeMachine(new XenPlatform({ device: 3 })).functions.get(24)?.options
    expect(options).toMatchObject({ vendorId: 0x5853, deviceId: 1, interruptPin: 1, subsystemVendorId: 0x5853 })
    expect(options?.bars).toMatchObject([
      { index: 0, kind: 'io', bytes: 0x100 },
      { index: 1, kind: 'memory', bytes: 1 << 24 },
    ])
    const [io, memory] = options?.bars ?? []
    expect(io?.handler?.read(4, 4)).toBe(0xffff_ffff)
    void memory?.handler?.write(0, 4, 7)
    expect(memory?.handler?.read(0, 4)).toBe(0)
  })

  test('the unplug protocol (docs/misc/hvm-emulated-unplug.txt)', () => {
    const unplugged: number[] = []
    const machine = new FakeMachine(new XenPlatform({ onUnplug: (what) => unplugged.push(what) }))
    expect(machine.in(0x10, 2)).toBe(0x49d2)
    expect(machine.in(0x12, 1)).toBe(1)
    // Linux as product 3 of build 0xff; it is not refused.
    machine.out(0x12, 3, 2)
    machine.out(0x10, 0xff, 4)
    expect(machine.in(0x10, 2)).toBe(0x49d2)
    expect(unplugged).toEqual([])
    machine.out(0x10, XenUnplug.ideDisks | XenUnplug.nics, 2)
    expect(unplugged).toEqual([3])
  })

  test('logs lines, from the fixed port and from the BAR', () => {
    const lines: string[] = []
    const platform = new XenPlatform({ onLog: (line) => lines.push(line) })
    const machine = new FakeMachine(platform)
    for (const letter of 'drivers loaded\n') machine.out(0x12, letter.charCodeAt(0))
    const io = machine.functions.get(16)?.options.bars?.[0]?.handler
    for (const code of [0x61, 0x07, 0xff, 0x0a]) void io?.write(8, 1, code)
    for (let i = 0; i < 4100; i++) void io?.write(8, 1, 0x78)
    expect(lines).toEqual(['drivers loaded', 'a??', 'x'.repeat(4096)])
    const saved = platform.save()
    void io?.write(8, 1, 0x0a)
    platform.restore(saved)
    void io?.write(8, 1, 0x0a)
    expect(lines.slice(3)).toEqual(['xxxx', 'xxxx'])
  })

  test('the flags keep the bit that there is', () => {
    const platform = new XenPlatform()
    const machine = new FakeMachine(platform)
    machine.out(0x10, 0xff, 1)
    expect(machine.in(0x10, 1)).toBe(1)
    platform.reset()
    expect(machine.in(0x10, 1)).toBe(0)
  })

  test('refuses a device number that there is not', () => {
    expect(() => new XenPlatform({ device: 32 })).toThrow(/PCI device 32: expected an integer from 1 to 31/)
  })
})
