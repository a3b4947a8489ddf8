import { readFileSync } from 'node:fs'
import type { BlockBackend } from '@retrap/device'
import { Keyboard, Mouse, Screen } from '@retrap/display'
import { debianMembers } from '@retrap/tooling/debian'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { loadDeviceKinds, placeDevices } from '../src/devices/device-kinds.ts'
import type { PlaceDevices } from '../src/devices/placed-devices.ts'
import { bootOrder } from '../src/options/drives.ts'
import { InputSwitch } from '../src/input/input-switch.ts'
import { place as placeAhci } from '../src/devices/ahci.ts'
import { place as placeIde } from '../src/devices/ide.ts'
import { place as placeNvme } from '../src/devices/nvme.ts'
import { place as placeUsb } from '../src/devices/usb.ts'
import { place as placeScsi } from '../src/devices/scsi.ts'
import { place as placeVirtio } from '../src/devices/virtio.ts'
import { PciSlots } from '../src/devices/pci-slots.ts'
import { createPc, type MachineBootOptions, type MachineDrive, type PcOptions } from '../src/index.ts'
import { bootDisk, bootSector, medium } from './support/media.ts'

const MIB = 1 << 20
const BLOCK = 2048

/** A CD with a boot catalog (El Torito 1.0): a volume descriptor, a boot record, their end, the catalog, the boot image. */
function disc(letter: string): BlockBackend {
  const bytes = new Uint8Array(64 * BLOCK)
  const put = (block: number, at: number, data: readonly number[] | string): void =>
    bytes.set(typeof data === 'string' ? Buffer.from(data) : data, block * BLOCK + at)
  put(16, 0, '\x01CD001\x01')
  put(17, 0, '\x00CD001\x01EL TORITO SPECIFICATION')
  put(17, 0x47, [19])
  put(18, 0, '\xffCD001\x01')
  bytes[18 * BLOCK] = 0xff
  put(19, 0, [1, 0])
  put(19, 28, [0xaa, 0x55, 0x55, 0xaa])
  // Bootable, no emulation, one sector of 512 bytes from block 20 on.
  put(19, 32, [0x88, 0, 0, 0, 0, 0, 1, 0, 20])
  bytes.set(bootSector(letter), 20 * BLOCK)
  return medium(bytes)
}

test('a machine loads the kinds of device that it has, and no others', async () => {
  const loaded = async (options: Omit<PcOptions, 'memoryBytes'>) =>
    (await loadDeviceKinds({ memoryBytes: MIB, ...options })).length
  const drive = { medium: bootDisk('A') }
  expect(await loaded({ kernel: new Uint8Array() })).toBe(0)
  expect(await loaded({ drives: [], vga: 'none' })).toBe(1)
  expect(await loaded({ drives: [{ ...drive, interface: 'nvme' }], vga: 'none' })).toBe(1)
  expect(await loaded({ drives: [{ ...drive, interface: 'usb' }], vga: 'none' })).toBe(1)
  expect(await loaded({ kernel: new Uint8Array(), usb: {} })).toBe(1)
  const firmware = new Uint8Array()
  expect(await loaded({ machine: 'q35', firmware, drives: [drive], virtio: [{ kind: 'rng' }] })).toBe(3)
  expect(await loaded({ drives: [{ ...drive, interface: 'scsi' }], vga: 'none' })).toBe(1)
  expect(await loaded({ virtio: [{ kind: 'scsi' }] })).toBe(1)
})

describe('places', () => {
  const path = (at: number): string => `/pci@i0cf8/ide@1,1/drive@${at >> 1}/disk@${at & 1}`
  const make = (kind: PlaceDevices, drives: readonly MachineDrive[], slots = new PciSlots(3)) =>
    placeDevices([kind], {
      options: { memoryBytes: MIB, drives },
      slots,
      random: () => 0,
      screen: new Screen(),
      keyboard: new InputSwitch(new Keyboard()),
      mouse: new InputSwitch(new Mouse()),
      flash: [],
      inSystemManagement: () => false,
    })
  const order = (drives: readonly MachineDrive[], boot?: MachineBootOptions): readonly string[] =>
    bootOrder(make(placeIde, drives).bootPaths, boot?.order)
  const a = { medium: bootDisk('A') }
  const cd = { medium: null, media: 'cdrom' } as const

  test('a q35 has ports instead of cables', () => {
    const { models, bootPaths } = make(placeAhci, [a, cd, { ...a, index: 5 }])
    expect(models[0]?.name).toBe('ahci')
    expect(bootPaths.map(([, path]) => path)).toEqual(
      [0, 2, 5].map((at) => `/pci@i0cf8/pci8086,2922@1f,2/drive@${at}/disk@0`),
    )
    expect(() => make(placeAhci, [{ ...a, index: 6 }])).toThrow('index 6: expected 0 to 5')
  })

  test('SCSI drives have one controller, and targets', () => {
    const scsi = { ...a, interface: 'scsi' } as const
    const drives = [scsi, { ...scsi, scsi: { target: 0 } }, { ...cd, interface: 'scsi' } as const]
    const { models, bootPaths } = make(placeScsi, drives)
    expect(models.map(({ name }) => name)).toEqual(['virtio-scsi-3'])
    const at = '/pci@i0cf8/scsi@3/channel@0/disk@'
    expect(bootPaths).toEqual([
      [drives[1], `${at}0,0`],
      [drives[0], `${at}1,0`],
      [drives[2], `${at}2,0`],
    ])
    expect(() => make(placeScsi, [{ ...scsi, medium: null }])).toThrow('SCSI target 0: a disk has a medium')
    expect(() => make(placeScsi, [{ ...scsi, scsi: { target: 256 } }])).toThrow('target 256: expected 0 to 255')
    expect(() => make(placeScsi, [drives[1]!, drives[1]!])).toThrow('target 0: two drives have it')
  })

  test.each([
    { drives: [a, a], boot: undefined, places: [0, 1] },
    { drives: [cd, a], boot: undefined, places: [0, 2] },
    { drives: [a, cd], boot: { order: 'dc' }, places: [2, 0] },
    { drives: [a, cd], boot: { order: 'nad' }, places: [2, 0] },
    { drives: [a, { ...a, bootIndex: 0 }, cd], boot: { order: 'd' }, places: [1, 2, 0] },
    {
      drives: [
        { ...a, bootIndex: 5 },
        { ...a, bootIndex: 3 },
      ],
      boot: undefined,
      places: [1, 0],
    },
    { drives: [{ ...a, index: 2 }, cd, a], boot: undefined, places: [1, 2, 0] },
  ])('$places: the order in which firmware tries them', ({ drives, boot, places }) => {
    expect(order(drives, boot)).toEqual(places.map(path))
  })

  test('virtio disks have places on the PCI bus, behind those that name one', () => {
    const place = (drives: readonly MachineDrive[]): readonly string[] => {
      const slots = new PciSlots(
        3,
        drives.map(({ virtio }) => virtio?.slot),
      )
      return bootOrder(
        make(
          placeVirtio,
          drives.map((drive) => ({ ...drive, interface: 'virtio' })),
          slots,
        ).bootPaths,
      )
    }
    const disks = [a, { ...a, virtio: { slot: 4 } }, { ...a, bootIndex: 0 }]
    expect(place(disks)).toEqual([5, 3, 4].map((slot) => `/pci@i0cf8/scsi@${slot}/disk@0,0`))
    expect(() => place([{ ...a, virtio: { slot: 2 } }])).toThrow('PCI device number 2: expected 3 to 31')
    expect(() =>
      place([
        { ...a, virtio: { slot: 9 } },
        { ...a, virtio: { slot: 9 } },
      ]),
    ).toThrow('two devices have it')
    expect(() => place([cd])).toThrow('a virtio drive is a disk with a medium')
    expect(() => place([{ ...a, virtio: { queues: 0 } }])).toThrow('0 queues')
  })

  test('NVMe drives have places on the PCI bus that no virtio disk names', () => {
    const slots = new PciSlots(3, [undefined, 4])
    const nvme = { ...a, interface: 'nvme' } as const
    const { models, bootPaths } = make(placeNvme, [nvme, { ...nvme, nvme: { slot: 10 } }, nvme], slots)
    expect(models.map(({ name }) => name)).toEqual(['nvme-3', 'nvme-10', 'nvme-5'])
    expect(bootOrder(bootPaths)).toEqual(['3', 'a', '5'].map((slot) => `/pci@i0cf8/pci1b36,10@${slot}/namespace@1,0`))
    expect(() => make(placeNvme, [{ ...nvme, medium: null }], slots)).toThrow('an NVMe drive is a disk with a medium')
    expect(() => make(placeNvme, [{ ...nvme, nvme: { queues: 65 } }], slots)).toThrow('nvme-7: 65 queues')
  })

  test('USB drives are plugged into one controller', () => {
    const stick = { ...a, interface: 'usb' } as const
    const { models, bootPaths } = make(placeUsb, [stick, stick])
    expect(models.map(({ name }) => name)).toEqual(['xhci-3'])
    const path = (socket: number): string => `/pci@i0cf8/usb@3/storage@${socket}/channel@0/disk@0,0`
    expect(bootPaths.map(([, where]) => where)).toEqual([path(1), path(2)])
    expect(() => make(placeUsb, [{ ...stick, medium: null }])).toThrow(
      'a disk has a medium; only a CD drive may have none',
    )
    expect(() =>
      make(
        placeUsb,
        Array.from({ length: 16 }, () => stick),
      ),
    ).toThrow('ports 16: expected 1 to 15')
  })

  test.each([
    { drives: [a, a, a, a, a], message: '5 drives: expected at most 4' },
    { drives: [{ ...a, index: 4 }], message: 'index 4: expected 0 to 3' },
    {
      drives: [
        { ...a, index: 1 },
        { ...cd, index: 1 },
      ],
      message: 'index 1: two drives have it',
    },
    { drives: [{ ...a, serialNumber: 'x'.repeat(21) }], message: 'expected at most 20' },
    { drives: [{ medium: null }], message: 'disk 0 has no medium' },
    { drives: [{ medium: 7 }], message: 'expected an array of { medium' },
    { drives: [{ ...a, media: 'tape' }], message: 'expected an array of { medium' },
    { drives: [a], boot: { order: 'x' }, message: 'boot an object: expected' },
  ])('$message', async ({ message, ...options }) => {
    const given = { memoryBytes: 16 * MIB, kernel: new Uint8Array(16), ...options } as unknown as Parameters<
      typeof createPc
    >[0]
    await expect(createPc(given)).rejects.toThrow(message)
    await expect(createPc(given)).rejects.toThrow(expect.objectContaining({ name: 'MachineError', code: 'ERR_OPTION' }))
  })
})

const seabios = await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])
if (seabios === undefined) test.skip('SeaBIOS starts drives (skipped: its package cannot be fetched)')

describe.runIf(seabios !== undefined)('SeaBIOS starts', () => {
  const firmware = new Uint8Array(readFileSync(`${seabios?.[0] ?? ''}/usr/share/seabios/bios-256k.bin`))
  const [a, b, c] = [bootDisk('a'), bootDisk('b'), disc('c')] as const

  test.each([
    { name: 'the first disk', drives: [{ medium: a }, { medium: b }], letter: 'a' },
    { name: 'the first SATA disk', drives: [{ medium: a }, { medium: b }], machine: 'q35' as const, letter: 'a' },
    { name: 'a SATA CD', drives: [{ medium: c, media: 'cdrom' as const }], machine: 'q35' as const, letter: 'c' },
    { name: 'the drive with the lowest number', drives: [{ medium: a }, { medium: b, bootIndex: 1 }], letter: 'b' },
    { name: 'a CD by its boot catalog', drives: [{ medium: c, media: 'cdrom' }], letter: 'c' },
    {
      name: 'a CD before a disk, where the order says so',
      drives: [{ medium: a }, { medium: c, media: 'cdrom' }],
      boot: { order: 'dc' },
      letter: 'c',
    },
    {
      name: 'a disk where the CD drive that comes first is empty',
      drives: [
        { medium: null, media: 'cdrom' },
        { medium: b, index: 3 },
      ],
      boot: { order: 'dc' },
      letter: 'b',
    },
    { name: 'a USB stick', drives: [{ medium: a, interface: 'usb' }], letter: 'a' },
    {
      name: 'the USB stick with a number, before another and a disk of IDE',
      drives: [
        { medium: a },
        { medium: b, interface: 'usb' },
        { medium: bootDisk('d'), interface: 'usb', bootIndex: 0 },
      ],
      letter: 'd',
    },
    { name: 'a virtio disk', drives: [{ medium: a, interface: 'virtio' }], letter: 'a' },
    {
      name: 'a virtio disk of version 1.0 alone',
      drives: [{ medium: a, interface: 'virtio', virtio: { legacy: false } }],
      letter: 'a',
    },
    {
      name: 'a virtio disk of old',
      drives: [{ medium: a, interface: 'virtio', virtio: { modern: false } }],
      letter: 'a',
    },
    {
      name: 'the virtio disk with a number, before a disk of IDE',
      drives: [
        { medium: a },
        { medium: b, interface: 'virtio' },
        { medium: bootDisk('d'), interface: 'virtio', virtio: { slot: 0x1a }, bootIndex: 0 },
      ],
      letter: 'd',
    },
  ] as const)('$name', async ({ drives, letter, ...boot }) => {
    const pc = await createPc({
      memoryBytes: 16 * MIB,
      codeCacheBytes: 4 * MIB,
      jit: TEST_JIT,
      firmware,
      drives,
      ...boot,
    })
    let printed = ''
    pc.serial.onTransmit((bytes) => (printed += String.fromCharCode(...bytes)))
    expect(await pc.run({ timeoutMs: 60_000 })).toEqual({ reason: 'power-off' })
    expect(printed.at(-1)).toBe(letter)
  })
})

test.each([
  { what: 'its number is asked for', count: 1, nvme: { slot: 31 } },
  { what: 'all others are taken', count: 29, nvme: undefined },
])("the last PCI device of a q35 is the board's own: $what", async ({ count, nvme }) => {
  const drives = Array.from(
    { length: count },
    () => ({ medium: medium(new Uint8Array(512)), interface: 'nvme', nvme }) as const,
  )
  const made = createPc({ machine: 'q35', memoryBytes: 16 * MIB, firmware: new Uint8Array(64 << 10), drives })
  const error = { name: 'MachineError', code: 'ERR_OPTION', message: 'nvme: PCI device number 31: expected 3 to 30' }
  await expect(made).rejects.toThrow(expect.objectContaining(error))
})
