import { describe, expect, test } from 'vitest'
import { DeviceError, type PciFunction, type PciFunctionOptions } from '@retrap/device'
import { STATUS_DONE, STATUS_UNHANDLED } from '@retrap/ioreq'
import { makeMachine } from './machine.ts'

const handler = (name: string, log: string[]) => ({
  read: (offset: number, size: number) => {
    log.push(`${name} r${size}@${offset}`)
    return 0x5a
  },
  write: (offset: number, size: number, value: number) => void log.push(`${name} w${size}@${offset}=${value}`),
})

function machine(options: Partial<PciFunctionOptions> = {}) {
  const log: string[] = []
  const made = makeMachine()
  let fn!: PciFunction
  made.host.attach({
    name: 'card',
    stateless: true,
    attach(context) {
      fn = context.pci.add({
        device: 4,
        vendorId: 0x1af4,
        deviceId: 0x1000,
        revisionId: 3,
        classCode: 0x020000,
        subsystemVendorId: 0x1af4,
        subsystemId: 1,
        interruptPin: 1,
        bars: [
          { index: 0, kind: 'io', bytes: 32, handler: handler('io', log) },
          { index: 1, kind: 'memory', bytes: 4096, handler: handler('mem', log) },
          { index: 2, kind: 'memory64', bytes: 0x10000, prefetchable: true, handler: handler('wide', log) },
        ],
        ...options,
      })
    },
  })
  const { dispatch } = made
  const select = (register: number): void => void dispatch.portWrite(0xcf8, 4, 0x8000_2000 | (register & 0xfc))
  const read = (register: number, size = 4): number => {
    select(register)
    dispatch.portRead(0xcfc + (register & 3), size)
    return dispatch.lo
  }
  const write = (register: number, value: number, size = 4): void => {
    select(register)
    dispatch.portWrite(0xcfc + (register & 3), size, value)
  }
  return { ...made, fn, log, read, write }
}

describe('configuration space of a function (PCI 3.0, ch. 6)', () => {
  test.each([
    { register: 0x00, value: 0x1000_1af4, name: 'vendor and device' },
    { register: 0x08, value: 0x0200_0003, name: 'class and revision' },
    { register: 0x2c, value: 0x0001_1af4, name: 'subsystem' },
    { register: 0x3c, value: 0x0000_0100, name: 'interrupt pin' },
    { register: 0x10, value: 1, name: 'an I/O BAR' },
    { register: 0x14, value: 0, name: 'a memory BAR' },
    { register: 0x18, value: 0xc, name: 'a prefetchable 64-bit BAR' },
  ])('$name', ({ register, value }) => {
    const { read, write } = machine()
    expect(read(register)).toBe(value)
    if (register < 0x10) {
      write(register, 0)
      expect(read(register)).toBe(value)
    }
  })

  test.each([
    { register: 0x10, mask: 0xffff_ffe1, name: 'I/O' },
    { register: 0x14, mask: 0xffff_f000, name: 'memory' },
    { register: 0x18, mask: 0xffff_000c, name: '64-bit, low' },
    { register: 0x1c, mask: 0xffff_ffff, name: '64-bit, high' },
    { register: 0x20, mask: 0, name: 'absent' },
  ])('a BAR is sized by writing ones ($name)', ({ register, mask }) => {
    const { read, write } = machine()
    write(register, 0xffff_ffff)
    expect(read(register)).toBe(mask)
  })

  test('BARs are decoded where the guest puts them, while the command register says so', () => {
    const { dispatch, write, log, fn } = machine()
    write(0x10, 0xc000)
    write(0x14, 0xfebf_0000)
    write(0x18, 0x1000_0000)
    write(0x1c, 0x2)
    expect(dispatch.portRead(0xc004, 1)).toBe(STATUS_UNHANDLED)
    write(0x04, 1, 2)
    expect(dispatch.portRead(0xc004, 1)).toBe(STATUS_DONE)
    expect(dispatch.mmioRead(0xfebf_0010, 4)).toBe(STATUS_UNHANDLED)
    write(0x04, 3, 2)
    dispatch.mmioRead(0xfebf_0010, 4)
    dispatch.mmioWrite(0x2_1000_0008, 2, 9, 0)
    expect(log).toEqual(['io r1@4', 'mem r4@16', 'wide w2@8=9'])
    expect(fn.bar(1)!.base).toBe(0xfebf_0000)
    expect(fn.bar(3)).toBeNull()
    write(0x14, 0xfe00_0000)
    expect(dispatch.mmioRead(0xfebf_0010, 4)).toBe(STATUS_UNHANDLED)
    expect(dispatch.mmioRead(0xfe00_0fff, 1)).toBe(STATUS_DONE)
    write(0x04, 0, 2)
    expect(dispatch.mmioRead(0xfe00_0fff, 1)).toBe(STATUS_UNHANDLED)
  })

  test('a BAR put over another device stays undecoded', () => {
    const { dispatch, host, write, log } = machine()
    host.attach({ name: 'other', attach: (c) => void c.mapPorts(0xc010, 1, { read: () => 1, write: () => {} }) })
    write(0x10, 0xc000)
    write(0x04, 1, 2)
    expect(dispatch.portRead(0xc000, 1)).toBe(STATUS_UNHANDLED)
    dispatch.portRead(0xc010, 1)
    expect([dispatch.lo, log]).toEqual([1, []])
  })

  test('INTx follows the function and its disable bit, and shows in the status register', () => {
    const { events, fn, read, write } = machine()
    fn.interrupt!.set(true)
    expect(read(0x06, 2) & 8).toBe(8)
    write(0x04, 1 << 10, 2)
    write(0x04, 0, 2)
    fn.interrupt!.set(false)
    expect(events.filter((e, i) => e !== events[i - 1])).toEqual(['pci4.1=1', 'pci4.1=0', 'pci4.1=1', 'pci4.1=0'])
  })

  test('writable registers keep what is written, within their masks; hooks are told', () => {
    const seen: string[] = []
    const { read, write } = machine({
      writable: [[0x40, 0x00ff_00ff, 0x1200_0034]],
      onWrite: (register, size) => seen.push(`${register}+${size}`),
    })
    write(0x40, 0xffff_ffff)
    write(0x41, 0x77, 1)
    expect(read(0x40)).toBe(0x12ff_00ff)
    expect(seen).toEqual(['64+4', '65+1'])
  })

  test('reset and save/restore', async () => {
    const { dispatch, host, fn, read, write } = machine()
    write(0x14, 0xfebf_0000)
    write(0x04, 2, 2)
    const saved = structuredClone(await host.save())
    host.reset()
    expect([read(0x14), read(0x04, 2), dispatch.mmioRead(0xfebf_0000, 4)]).toEqual([0, 0, STATUS_UNHANDLED])
    await host.restore(saved)
    expect([read(0x14), dispatch.mmioRead(0xfebf_0000, 4)]).toEqual([0xfebf_0000, STATUS_DONE])
    expect(() => fn.restore({ ...fn.save(), config: [] })).toThrow(DeviceError)
  })

  test.each([
    ['a device above 31', { device: 32 }],
    ['a BAR that is no power of two', { bars: [{ index: 0, kind: 'io', bytes: 24, handler: handler('', []) }] }],
    ['a memory BAR of 8 bytes', { bars: [{ index: 0, kind: 'memory', bytes: 8, handler: handler('', []) }] }],
    [
      'a 64-bit BAR in the last register',
      { bars: [{ index: 5, kind: 'memory64', bytes: 16, handler: handler('', []) }] },
    ],
    ['a writable register that is not aligned', { writable: [[0x41, 1]] }],
  ] as [string, Partial<PciFunctionOptions>][])('%s is refused', (_, options) => {
    expect(() => machine(options)).toThrow(DeviceError)
  })

  test('a function can be added once', () => {
    const { host } = machine()
    const attach = (c: Parameters<Parameters<typeof host.attach>[0]['attach']>[0]): void =>
      void c.pci.add({ device: 4, vendorId: 1, deviceId: 1, classCode: 0 })
    expect(() => host.attach({ name: 'again', attach })).toThrow(/0:4\.0/)
  })
})

describe('the models of a host', () => {
  test('are saved and restored by name; an unknown name is refused', async () => {
    const { host } = makeMachine()
    let value = 7
    host.attach({
      name: 'a',
      attach: () => {},
      save: () => ({ value }),
      restore: (s) => void (value = (s as { value: number }).value),
    })
    host.attach({ name: 'b', stateless: true, attach: () => {} })
    const saved = await host.save()
    expect(saved.devices).toEqual({ a: { value: 7 } })
    value = 0
    await host.restore(saved)
    expect(value).toBe(7)
    await expect(host.restore({ ...saved, devices: { a: { value: 1 }, c: 1 } })).rejects.toThrow(/device c/)
    await expect(host.restore({ ...saved, devices: { b: 1 } })).rejects.toThrow(DeviceError)
    await expect(host.restore({ ...saved, devices: {} })).rejects.toThrow(/device a/)
    for (const none of [null, undefined, 2, 'x', {}, { ...saved, version: 1 }]) {
      await expect(host.restore(none as never)).rejects.toThrow(/expected 2/)
    }
    expect(value).toBe(7)
  })

  test('reach lines, messages, memory, time and the machine through their context', () => {
    const { host, events, ram, clock } = makeMachine()
    host.attach({
      name: 'all',
      attach(c) {
        c.interruptLine(4).set(true)
        c.interruptLine(1).pulse()
        c.signalMsi(0xfee0_0000, 0x31)
        c.requestExit(3)
        c.requestPowerOff()
        c.requestReset()
        expect(c.dma.write(0x10, Uint8Array.of(1, 2))).toBe(true)
        expect(c.dma.write(0xffff, Uint8Array.of(1, 2))).toBe(false)
        clock.time = 42
        expect(c.clock.now()).toBe(42)
      },
    })
    expect(events).toEqual(['irq4=1', 'irq1 pulse', 'msi fee00000 49', 'exit 3', 'power off', 'reset'])
    expect(Array.from(ram.subarray(0x10, 0x12))).toEqual([1, 2])
  })
})
