import type { DeviceModel, PciFunction } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { DeviceHost } from '@retrap/device-hosting'
import { STATUS_DONE, IoDispatch } from '@retrap/ioreq'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { EcamHostBridge } from '../../src/arm/index.ts'
import { PcieRootPort } from '../../src/pcie/index.ts'
import { FakeLine } from '../support/fake-machine.ts'
import { QemuVirt } from '@retrap/tooling/qtest'

const ECAM = 0x40_1000_0000
const FIRST_IRQ = 35
const hasQemu = hasProgram('qemu-system-aarch64')

/** A board of a host bridge, and what it sends. */
class Board {
  readonly lines = new Map<number, FakeLine>()
  readonly messages: string[] = []
  readonly dispatch = new IoDispatch({ vcpus: 1, ecam: [{ base: ECAM, firstBus: 0, lastBus: 255 }] })
  readonly bridge = new EcamHostBridge({ irq: FIRST_IRQ })
  readonly functions: PciFunction[] = []
  readonly #host: DeviceHost

  constructor() {
    const clock = {
      now: () => 0,
      read: (into: { lo: number; hi: number }) => void Object.assign(into, { lo: 0, hi: 0 }),
    }
    const timers = new TimerQueue(clock)
    this.#host = new DeviceHost(this.dispatch, {
      clock,
      timer: (callback) => timers.create(callback),
      dma: { read: () => false, write: () => false },
      interruptLine: (irq) => this.line(irq).holder(),
      pciInterrupt: (device, pin) => this.bridge.interruptInput(device, pin),
      signalMsi: (address, data, requester) =>
        void this.messages.push(`${address.toString(16)} ${data} from ${requester.toString(16)}`),
      powerOff: () => {},
      reset: () => {},
      exit: () => {},
    })
    this.#host.attach(this.bridge)
  }

  line(irq: number): FakeLine {
    const line = this.lines.get(irq) ?? new FakeLine()
    this.lines.set(irq, line)
    return line
  }

  attach(model: DeviceModel): void {
    this.#host.attach(model)
  }

  /** A card with an interrupt pin and messages. */
  card(device: number, interruptPin: 1 | 2 | 3 | 4, bus: 0 | string = 0): PciFunction {
    let fn!: PciFunction
    const place = typeof bus === 'string' ? { bus } : {}
    const ids = { vendorId: 0x1234, deviceId: 0x5678, classCode: 0x02_0000 }
    this.attach({
      name: `card-${this.functions.length}`,
      stateless: true,
      attach: (context) => (fn = context.pci.add({ ...place, ...ids, device, interruptPin, msi: { vectors: 1 } })),
    })
    this.functions.push(fn)
    return fn
  }

  /** Ones where nobody answers. */
  read(requester: number, register: number, size = 4): number {
    const status = this.dispatch.mmioRead(ECAM + requester * 4096 + register, size)
    return status === STATUS_DONE ? this.dispatch.lo : 0xffff_ffff
  }

  write(requester: number, register: number, value: number, size = 4): void {
    expect(this.dispatch.mmioWrite(ECAM + requester * 4096 + register, size, value, 0)).toBe(STATUS_DONE)
  }

  get levels(): number[] {
    return [0, 1, 2, 3].filter((i) => this.line(FIRST_IRQ + i).level)
  }
}

describe('configuration space in memory (PCI Express 3.0, 7.2.2)', () => {
  test('has the bridge at its beginning, and ones where nobody is', () => {
    const board = new Board()
    expect([board.read(0, 0), board.read(0, 8) >>> 8, board.read(0, 2, 2)]).toEqual([0x0008_1b36, 0x06_0000, 0x0008])
    expect([board.read(8, 0), board.read(0xff_f8, 0)]).toEqual([0xffff_ffff, 0xffff_ffff])
  })

  test('reaches devices behind a root port by the bus number that the guest gives it', () => {
    const board = new Board()
    board.attach(new PcieRootPort({ device: 2, busName: 'rp1', hotPlug: false }))
    board.card(0, 1, 'rp1')
    expect(board.read(0x700, 0)).toBe(0xffff_ffff)
    board.write(2 << 3, 0x18, 0x0007_0700)
    expect(board.read(0x700, 0)).toBe(0x5678_1234)
  })
})

describe('interrupt pins', () => {
  test.each([
    { device: 1, pin: 1 as const, line: 1 },
    { device: 1, pin: 4 as const, line: 0 },
    { device: 6, pin: 2 as const, line: 3 },
    { device: 31, pin: 1 as const, line: 3 },
  ])('pin $pin of device $device is wired to line $line', ({ device, pin, line }) => {
    const board = new Board()
    const fn = board.card(device, pin)
    fn.interrupt!.set(true)
    expect(board.levels).toEqual([line])
    fn.interrupt!.set(false)
    expect(board.levels).toEqual([])
  })

  test('two on one line are one level', () => {
    const board = new Board()
    const [first, second] = [board.card(1, 1), board.card(5, 1)]
    first.interrupt!.set(true)
    second.interrupt!.set(true)
    first.interrupt!.set(false)
    expect(board.levels).toEqual([1])
  })

  test('behind a root port they are its pins in turn', () => {
    const board = new Board()
    board.attach(new PcieRootPort({ device: 2, busName: 'rp1', hotPlug: false }))
    board.card(0, 2, 'rp1').interrupt!.set(true)
    expect(board.levels).toEqual([3])
  })
})

test('a message says who sends it', () => {
  const board = new Board()
  board.attach(new PcieRootPort({ device: 2, busName: 'rp1', hotPlug: false }))
  board.card(0, 1, 'rp1')
  board.write(2 << 3, 0x18, 0x0007_0700)
  board.write(2 << 3, 4, 6, 2)
  board.write(0x700, 4, 6, 2)
  let at = board.read(0x700, 0x34, 1)
  while (board.read(0x700, at, 1) !== 5) at = board.read(0x700, at + 1, 1)
  board.write(0x700, at + 4, 0x0809_0040)
  board.write(0x700, at + 12, 7, 2)
  board.write(0x700, at + 2, 1, 2)
  expect(board.functions[0]!.messages!.signal(0)).toBe(true)
  expect(board.messages).toEqual(['8090040 7 from 700'])
})

test('there are no wires before the bridge is attached', () => {
  expect(() => new EcamHostBridge({ irq: 3 }).interruptInput(1, 1)).toThrow('host-bridge: it has no wires before')
})

const note = skipNote(hasQemu, 'there is no qemu-system-aarch64')
test.skipIf(!hasQemu)(`the bridge is that of QEMU's virt${note}`, async () => {
  const board = new Board()
  const qemu = new QemuVirt()
  try {
    const registers = Array.from({ length: 64 }, (_, i) => 4 * i)
    const theirs = await Promise.all(registers.map((register) => qemu.read(ECAM + register, 4)))
    expect(registers.map((register) => board.read(0, register))).toEqual(theirs)
  } finally {
    await qemu.stop()
  }
})
