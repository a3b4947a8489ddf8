import { fileURLToPath } from 'node:url'
import type { PacketBackend } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { listDrives, parseDrive } from '../../src/machine/drives/drives.ts'
import { parseDevice } from '../../src/options/values.ts'
import { CardRoms, connectCards } from '../../src/machine/devices/network-cards.ts'
import { connectDrives } from '../../src/machine/devices/disk-devices.ts'
import { connectVirtio, e1000Cards, virtioDevices } from '../../src/machine/devices/pci-devices.ts'

const connect = (drives: readonly string[], devices: readonly string[]): readonly unknown[] =>
  connectDrives(listDrives({ drive: drives.map(parseDrive) }, []), devices.map(parseDevice))

describe('PCI devices of the command line', () => {
  test('--drive if=virtio is a disk of its own', () => {
    expect(connect(['file=x,if=virtio,bootindex=1'], [])).toMatchObject([{ interface: 'virtio', bootIndex: 1 }])
  })

  test('--device virtio-blk-pci takes a drive by its id', () => {
    const device = 'virtio-blk-pci,drive=d,addr=0x1a,disable-modern=on,num-queues=4,serial=S,bootindex=2,vectors=0'
    expect(connect(['file=x,if=none,id=d'], [device])).toMatchObject([
      {
        path: 'x',
        interface: 'virtio',
        bootIndex: 2,
        serialNumber: 'S',
        virtio: { slot: 26, modern: false, queues: 4, vectors: 0 },
      },
    ])
  })

  test('--device nvme takes a drive by its id', () => {
    const device = 'nvme,drive=d,addr=7,max_ioqpairs=2,serial=S,bootindex=0'
    expect(connect(['file=x,if=none,id=d'], [device])).toMatchObject([
      { path: 'x', interface: 'nvme', bootIndex: 0, serialNumber: 'S', nvme: { slot: 7, queues: 2 } },
    ])
  })

  test('--device scsi-hd and scsi-cd take drives by their ids', () => {
    const drives = ['file=x,if=none,id=d', 'if=none,media=cdrom,id=c', 'file=y,if=scsi,index=3']
    const devices = ['virtio-scsi-pci,id=s', 'scsi-hd,drive=d,bus=s.0,scsi-id=7,lun=0,bootindex=1', 'scsi-cd,drive=c']
    expect(connect(drives, devices)).toMatchObject([
      { path: 'x', media: 'disk', interface: 'scsi', scsi: { target: 7 }, bootIndex: 1 },
      { path: null, media: 'cdrom', interface: 'scsi' },
      { path: 'y', interface: 'scsi', scsi: { target: 3 } },
    ])
    expect(virtioDevices([parseDevice('virtio-scsi-pci,num_queues=4,addr=6')])).toEqual([
      { kind: 'scsi', queues: 4, slot: 6 },
    ])
    expect(() => connect(drives, ['scsi-hd,drive=d,lun=1'])).toThrow('lun=1 is not a number')
  })

  test('--device virtio-rng-pci', () => {
    expect(virtioDevices([parseDevice('virtio-rng-pci,addr=5.0,disable-legacy=on,packed=on')])).toEqual([
      { kind: 'rng', slot: 5, legacy: false, packed: true },
    ])
  })

  test('--device virtio-keyboard-pci, virtio-mouse-pci and virtio-tablet-pci', () => {
    const devices = ['virtio-keyboard-pci,addr=5', 'virtio-mouse-pci,serial=S', 'virtio-tablet-pci,packed=on']
    expect(virtioDevices(devices.map(parseDevice))).toEqual([
      { kind: 'keyboard', slot: 5 },
      { kind: 'mouse', serialNumber: 'S' },
      { kind: 'tablet', packed: true },
    ])
  })

  test('--device virtio-net-pci takes a network by its id', () => {
    const devices = virtioDevices([
      parseDevice('virtio-net-pci,netdev=n,mac=52:54:0:1:2:f'),
      parseDevice('virtio-rng-pci'),
    ])
    const network = { id: 'n' } as unknown as PacketBackend
    const asked: string[] = []
    const plug = (id: string): PacketBackend => {
      asked.push(id)
      return network
    }
    const connected = connectVirtio(devices, {
      plug,
      roms: new CardRoms(),
      share: () => expect.unreachable(),
      vsock: () => expect.unreachable(),
      stream: () => expect.unreachable(),
    })
    expect(connected).toEqual([
      { kind: 'net', network, macAddress: Uint8Array.of(0x52, 0x54, 0, 1, 2, 15) },
      { kind: 'rng' },
    ])
    expect(asked).toEqual(['n'])
    expect(() => virtioDevices([parseDevice('virtio-net-pci')])).toThrow('names no network; write netdev=ID')
    expect(() => virtioDevices([parseDevice('virtio-net-pci,netdev=n,mac=1:2')])).toThrow('mac=1:2 is not an address')
  })

  test('--fda, --fdb and --drive if=floppy are floppies', () => {
    expect(listDrives({ fdb: 'b', fda: 'a' }, [])).toMatchObject([
      { path: 'a', index: 0, interface: 'floppy', media: 'disk' },
      { path: 'b', index: 1, interface: 'floppy' },
    ])
    expect(parseDrive('file=x,if=floppy,index=1,readonly=on')).toMatchObject({
      index: 1,
      interface: 'floppy',
      readOnly: true,
    })
    expect(() => parseDrive('file=x,if=floppy,index=2')).toThrow('index=2 is not a number from 0 to 1')
  })

  test('--device e1000 takes a network, an address, a place and a boot program', async () => {
    const [card] = e1000Cards([parseDevice('e1000,netdev=n,mac=52:54:0:1:2:f,addr=5,bootindex=2,romfile=')])
    expect(card).toEqual({
      netdev: 'n',
      macAddress: Uint8Array.of(0x52, 0x54, 0, 1, 2, 15),
      slot: 5,
      bootIndex: 2,
      romFile: '',
    })
    const network = {} as unknown as PacketBackend
    const roms = await CardRoms.open([['e1000', card!]], { firmware: 'bios', wanted: true })
    const { netdev: _, romFile: __, ...rest } = card!
    expect(connectCards([card!], () => network, roms)).toEqual([{ model: 'e1000', network, ...rest }])
    expect(() => e1000Cards([parseDevice('e1000,netdev=n,packed=on')])).toThrow("has no 'packed'")
  })

  test('the file of a boot program is read, and is in the card', async () => {
    const [card] = e1000Cards([parseDevice(`e1000,netdev=n,romfile=${fileURLToPath(import.meta.url)}`)])
    const roms = await CardRoms.open([['e1000', card!]], { firmware: 'none', wanted: false })
    expect(roms.byCard.get(card!)?.length).toBeGreaterThan(100)
    const [lost] = e1000Cards([parseDevice('e1000,netdev=n,romfile=/nowhere/rom')])
    await expect(CardRoms.open([['e1000', lost!]], { firmware: 'none', wanted: false })).rejects.toThrow(
      'romfile=/nowhere',
    )
  })

  test.each([
    { drives: [], devices: ['virtio-blk-pci,drive=d'], message: "there is no drive 'd'" },
    { drives: ['file=x,if=none,id=d'], devices: [], message: 'no device uses it' },
    { drives: ['file=x,if=ide,id=d'], devices: ['virtio-blk-pci,drive=d'], message: "there is no drive 'd'" },
    {
      drives: ['file=x,if=none,id=d'],
      devices: ['virtio-blk-pci,drive=d', 'virtio-blk-pci,drive=d'],
      message: 'belongs to another device',
    },
    { drives: [], devices: ['virtio-blk-pci,drive=d,seriel=x'], message: "did you mean 'serial'?" },
    { drives: [], devices: ['virtio-blk-pci,drive=d,colour=red'], message: "has no 'colour'" },
    { drives: ['file=x,if=none,id=d'], devices: ['virtio-blk-pci,drive=d,addr=20'], message: 'addr=20 is not' },
    { drives: ['file=x,if=none,id=d'], devices: ['virtio-blk-pci,drive=d,packed=yes'], message: 'is not on or off' },
    {
      drives: ['file=x,if=none,id=d'],
      devices: ['virtio-blk-pci,drive=d,disable-modern=on,disable-legacy=on'],
      message: 'both on',
    },
  ])('$message', ({ drives, devices, message }) => {
    expect(() => connect(drives, devices)).toThrow(message)
  })
})
