import { TimerQueue } from '@retrap/device/host'
import { DeviceHost } from '@retrap/device-hosting'
import { STATUS_DONE, IoDispatch } from '@retrap/ioreq'
import { VirtioRng } from '@retrap/virtio'
import { describe, expect, test } from 'vitest'
import * as arm from '../../src/arm/index.ts'
import { readDeviceTree } from '../support/read-device-tree.ts'

const MIB = 1 << 20
const BOARD = { cpus: 3, memoryBytes: 64 * MIB, epochSeconds: 1_000_000 }

/** The board's models at a dispatcher, without processors. */
class Machine {
  readonly high = new Set<number>()
  readonly parts: arm.ArmBoardModels
  readonly dispatch = new IoDispatch({
    vcpus: 1,
    ecam: [{ base: arm.VIRT.pcie.base, firstBus: 0, lastBus: arm.VIRT.pcie.buses - 1 }],
  })

  constructor(options: Partial<arm.ArmModelsOptions> = {}) {
    const clock = {
      now: () => 0,
      read: (into: { lo: number; hi: number }) => void Object.assign(into, { lo: 0, hi: 0 }),
    }
    const timers = new TimerQueue(clock)
    const host = new DeviceHost(this.dispatch, {
      clock,
      timer: (callback) => timers.create(callback),
      dma: { read: () => false, write: () => false },
      interruptLine: (irq) => ({
        set: (level) => void (level ? this.high.add(irq) : this.high.delete(irq)),
        pulse: () => {},
      }),
      pciInterrupt: (device, pin) => this.parts.hostBridge.interruptInput(device, pin),
      signalMsi: () => {},
      powerOff: () => {},
      reset: () => {},
      exit: () => {},
    })
    this.parts = arm.createArmModels({ ...BOARD, ...options })
    for (const model of this.parts.models) host.attach(model)
  }

  load(gpa: number, size = 4): number {
    expect(this.dispatch.mmioRead(gpa, size)).toBe(STATUS_DONE)
    return this.dispatch.lo
  }

  store(gpa: number, value: number, size = 4): void {
    expect(this.dispatch.mmioWrite(gpa, size, value, 0)).toBe(STATUS_DONE)
  }
}

/** Places and interrupts of nodes in the tree, by the value of `compatible`. */
function nodesOf(compatible: string): { base: number; spi: number }[] {
  return readDeviceTree(arm.armDeviceTree(BOARD))
    .filter(({ properties }) =>
      Buffer.from(properties.get('compatible') ?? [])
        .toString()
        .startsWith(`${compatible}\0`),
    )
    .map(({ properties }) => {
      const view = (name: string): DataView => new DataView(properties.get(name)!.buffer)
      const base = Number(view('reg').getBigUint64(0))
      return { base, spi: properties.has('interrupts') ? view('interrupts').getUint32(4) : -1 }
    })
}

describe('models are where the device tree says', () => {
  test.each([
    { compatible: 'arm,pl011', at: 0xfe0, value: 0x11 },
    { compatible: 'arm,pl031', at: 0xfe0, value: 0x31 },
    { compatible: 'arm,pl061', at: 0xfe0, value: 0x61 },
    { compatible: 'qemu,fw-cfg-mmio', at: 0, value: 0x554d_4551 },
    { compatible: 'pci-host-ecam-generic', at: 0, value: 0x0008_1b36 },
  ])('$compatible', ({ compatible, at, value }) => {
    const [node, ...more] = nodesOf(compatible)
    expect(more).toEqual([])
    expect(new Machine().load(node!.base + at)).toBe(value)
  })

  test('virtio transports, with devices and without', () => {
    const machine = new Machine({ virtio: [new VirtioRng({ random: () => 7 })] })
    const ids = nodesOf('virtio,mmio').map(({ base }) => [machine.load(base), machine.load(base + 8)])
    expect(ids).toEqual([[0x7472_6976, 4], ...Array.from({ length: 31 }, () => [0x7472_6976, 0])])
  })

  test('interrupts', () => {
    const machine = new Machine()
    const [uart] = nodesOf('arm,pl011')
    machine.store(uart!.base + 0x38, 0x20)
    machine.store(uart!.base, 0x41)
    expect([...machine.high]).toEqual([32 + uart!.spi])
    machine.store(uart!.base + 0x44, 0x20)
    const [rtc] = nodesOf('arm,pl031')
    machine.store(rtc!.base + 4, BOARD.epochSeconds)
    machine.store(rtc!.base + 0x10, 1)
    expect([...machine.high]).toEqual([32 + rtc!.spi])
  })
})

test('the power button is line 3 of the GPIO', () => {
  const machine = new Machine()
  const [gpio] = nodesOf('arm,pl061')
  expect(machine.parts.pressPowerButton()).toBe(false)
  expect(machine.load(gpio!.base + 0x3fc)).toBe(8)
  machine.store(gpio!.base + 0x40c, 8)
  machine.store(gpio!.base + 0x404, 8)
  machine.store(gpio!.base + 0x410, 8)
  expect(machine.parts.pressPowerButton()).toBe(true)
  expect([...machine.high]).toEqual([32 + gpio!.spi])
})

test('firmware finds processors, tables and files of the machine’s', () => {
  const machine = new Machine({ firmware: { files: { 'opt/mine': { bytes: Uint8Array.of(9) } } } })
  const { base } = arm.VIRT.fwCfg
  const select = (key: number): void => machine.store(base + 8, ((key & 0xff) << 8) | (key >> 8), 2)
  select(5)
  expect(machine.load(base, 2)).toBe(3)
  select(0x19)
  const directory = Array.from({ length: 4 + 6 * 64 }, () => machine.load(base, 1))
  const names = [0, 1, 2, 3, 4, 5].map((i) =>
    String.fromCharCode(...directory.slice(12 + 64 * i, 68 + 64 * i)).replace(/\0.*/s, ''),
  )
  expect(names).toEqual([
    'etc/acpi/rsdp',
    'etc/acpi/tables',
    'etc/smbios/smbios-anchor',
    'etc/smbios/smbios-tables',
    'etc/table-loader',
    'opt/mine',
  ])
})

test('firmware finds what it is to start: a kernel, or devices in their order', () => {
  const kernel = { kernel: Uint8Array.of(0x4d, 0x5a, 7), initrd: Uint8Array.of(8), commandLine: 'a=1' }
  const machine = new Machine({ firmware: { kernel, bootOrder: ['/pci@i0cf8/scsi@2', '/x'], bootMenu: true } })
  const { base } = arm.VIRT.fwCfg
  const item = (key: number, bytes: number): number[] => {
    machine.store(base + 8, ((key & 0xff) << 8) | (key >> 8), 2)
    return Array.from({ length: bytes }, () => machine.load(base, 1))
  }
  // Of the kernel, its initial RAM disk and its command line: size and contents (QEMU, linux/qemu_fw_cfg.h).
  expect([item(0x08, 5), item(0x11, 4)]).toEqual([
    [3, 0, 0, 0, 0],
    [0x4d, 0x5a, 7, 0],
  ])
  expect([item(0x0b, 4), item(0x12, 2)]).toEqual([
    [1, 0, 0, 0],
    [8, 0],
  ])
  expect([item(0x14, 4), item(0x15, 5)]).toEqual([
    [4, 0, 0, 0],
    [0x61, 0x3d, 0x31, 0, 0],
  ])
  expect([item(0x0e, 2), item(0x17, 4)]).toEqual([
    [1, 0],
    [0, 0, 0, 0],
  ])
  // The first file of the directory.
  expect(item(0x19, 21).slice(4, 8)).toEqual([0, 0, 0, 21])
  expect(String.fromCharCode(...item(0x20, 21))).toBe('/pci@i0cf8/scsi@2\n/x\0')
})

test.each([
  {
    given: { virtio: Array.from({ length: 33 }, () => null as never) },
    message: '33 virtio devices: expected at most 32',
  },
  { given: { cpus: 65 }, message: 'cpus 65: expected 1 to 64' },
])('$message', ({ given, message }) => {
  expect(() => arm.createArmModels({ ...BOARD, ...given })).toThrow(message)
})
