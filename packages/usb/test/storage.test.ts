import { TestDisk } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { UsbStorage } from '../src/index.ts'
import { StorageGuest } from './support/storage-guest.ts'
import { DATA, trbType } from './support/xhci-driver.ts'

describe('mass storage (Bulk-Only Transport 1.0; SPC-4, SBC-3)', () => {
  test('INQUIRY tells what it is; the rest of what the host asks for is zeros', async () => {
    const guest = new StorageGuest(new TestDisk(1 << 20))
    const { data, residue, status } = await guest.command([0x12, 0, 0, 0, 64], { toHost: 64 })
    expect(Buffer.from(data.subarray(8, 36)).toString('latin1')).toBe('RETRAP  USB DISK        1.0 ')
    expect([data.length, residue, status]).toEqual([64, 28, 0])
  })

  test.each([
    { name: 'supported', page: 0, data: [0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2] },
    { name: 'serial number', page: 0x80, data: [0, 0x80, 0, 6, ...Buffer.from('RT0001')] },
  ])('the page of vital product data "$name"', async ({ page, data }) => {
    const guest = new StorageGuest(new TestDisk(1 << 20))
    expect([...(await guest.command([0x12, 1, page, 0, 64], { toHost: data.length })).data]).toEqual(data)
  })

  test('the first command hears of the power-on, REQUEST SENSE of what failed', async () => {
    const guest = new StorageGuest(new TestDisk(1 << 20))
    expect(await guest.command([0])).toMatchObject({ status: 1 })
    expect(await guest.sense()).toBe(0x06_2900)
    expect(await guest.command([0])).toMatchObject({ status: 0 })
    expect(await guest.command([0x99])).toMatchObject({ status: 1 })
    expect(await guest.sense()).toBe(0x05_2000)
    expect(await guest.sense()).toBe(0)
  })

  test('capacities of both lengths', async () => {
    const guest = await StorageGuest.ready(new TestDisk(1 << 20))
    expect([...(await guest.command([0x25], { toHost: 8 })).data]).toEqual([0, 0, 7, 255, 0, 0, 2, 0])
    const long = await guest.command([0x9e, 0x10, ...Array.from({ length: 11 }, () => 0), 32], { toHost: 32 })
    const zeros = Array.from({ length: 17 }, () => 0)
    // Eight logical blocks in a physical one; blocks can be unmapped.
    expect([...long.data]).toEqual([0, 0, 0, 0, 0, 0, 7, 255, 0, 0, 2, 0, 0, 3, 0x80, ...zeros])
  })

  test.each([
    { name: 'READ (6)', read: [0x08, 0, 0, 3, 2], write: [0x0a, 0, 0, 3, 2] },
    { name: 'READ (10)', read: [0x28, 0, 0, 0, 0, 3, 0, 0, 2], write: [0x2a, 0, 0, 0, 0, 3, 0, 0, 2] },
    { name: 'READ (12)', read: [0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 2], write: [0xaa, 0, 0, 0, 0, 3, 0, 0, 0, 2] },
    {
      name: 'READ (16)',
      read: [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2],
      write: [0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2],
    },
  ])('$name and its write', async ({ read, write }) => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk)
    const before = disk.bytes.slice(1536, 2560)
    expect((await guest.command(read, { toHost: 1024 })).data).toEqual(before)
    const after = Uint8Array.from({ length: 1024 }, (_, i) => i * 7)
    expect(await guest.command(write, { out: after })).toMatchObject({ status: 0, residue: 0 })
    expect(disk.bytes.slice(1536, 2560)).toEqual(after)
  })

  test('forced unit access and SYNCHRONIZE CACHE reach the medium', async () => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk)
    await guest.command([0x2a, 8, 0, 0, 0, 0, 0, 0, 1], { out: new Uint8Array(512) })
    await guest.command([0x35])
    expect(disk.log).toEqual(['write 0+512 durable', 'flush'])
  })

  test('a host may ask for the status before it sends the command', async () => {
    const guest = await StorageGuest.ready(new TestDisk(1 << 16))
    guest.askStatus()
    guest.sendCommand([0])
    expect(await guest.end()).toMatchObject({ status: 0 })
  })

  test('a host may send the next command before it asks for the status of the first', async () => {
    const guest = await StorageGuest.ready(new TestDisk(1 << 16))
    guest.sendCommand([0x99])
    guest.sendCommand([0])
    guest.askStatus()
    await guest.driver.wait()
    guest.askStatus()
    expect(await guest.end()).toMatchObject({ status: 0 })
  })

  test('a host that waits for a status hears of a command that makes no sense', async () => {
    const guest = await StorageGuest.ready(new TestDisk(1 << 16))
    guest.askStatus()
    guest.driver.put(32 + 4, [DATA, 0, 31, trbType(1)])
    guest.driver.doorbell(1, 4)
    expect(guest.driver.events().map(({ code, endpoint }) => [code, endpoint])).toEqual([
      [6, 4],
      [6, 3],
    ])
  })

  test('data moves in pieces of several transfers', async () => {
    const disk = new TestDisk(1 << 18)
    const guest = await StorageGuest.ready(disk)
    const read = await guest.command([0x28, 0, 0, 0, 0, 1, 0, 0, 200], { toHost: 102_400, pieces: 7 })
    expect(read.data).toEqual(disk.bytes.slice(512, 512 + 102_400))
    const out = Uint8Array.from({ length: 20 * 512 }, (_, i) => i * 3)
    await guest.command([0x2a, 0, 0, 0, 0, 9, 0, 0, 20], { out, pieces: 4 })
    expect(disk.bytes.slice(9 * 512, 29 * 512)).toEqual(out)
  })

  test.each([
    { why: 'beyond the end', given: {}, bad: null, cdb: [0x28, 0, 0, 0, 0, 127, 0, 0, 2], sense: 0x05_2100 },
    {
      why: 'a bad sector',
      given: {},
      bad: 'ERR_MEDIUM' as const,
      cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 2],
      sense: 0x03_1100,
    },
    { why: 'no medium', given: { bytes: 0 }, bad: null, cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 2], sense: 0x02_3a00 },
  ])('a read fails: $why', async ({ given, bad, cdb, sense }) => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk)
    disk.given = given
    disk.bad = bad
    const { data, status, residue } = await guest.command(cdb, { toHost: 1024 })
    expect([status, residue]).toEqual([1, 1024])
    expect(data).toEqual(new Uint8Array(1024))
    expect(await guest.sense()).toBe(sense)
  })

  test.each([
    { why: 'write protected', given: { readOnly: true }, bad: null, sense: 0x07_2700 },
    { why: 'a full host disk', given: {}, bad: 'ERR_NO_SPACE' as const, sense: 0x07_2707 },
    { why: 'a bad sector', given: {}, bad: 'ERR_MEDIUM' as const, sense: 0x03_0c00 },
  ])('a write fails: $why', async ({ given, bad, sense }) => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk)
    disk.given = given
    disk.bad = bad
    const cdb = [0x2a, 0, 0, 0, 0, 0, 0, 0, 2]
    expect(await guest.command(cdb, { out: new Uint8Array(1024) })).toMatchObject({ status: 1 })
    expect(await guest.sense()).toBe(sense)
  })

  test('data that comes in pieces of no whole block is written all the same', async () => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk)
    const out = Uint8Array.from({ length: 3 * 512 }, (_, i) => i * 11)
    const written = await guest.command([0x2a, 0, 0, 0, 0, 9, 0, 0, 3], { out, pieceBytes: 200 })
    expect(written).toMatchObject({ status: 0, residue: 0 })
    expect(disk.bytes.slice(9 * 512, 12 * 512)).toEqual(out)
    expect(disk.log).toEqual(['write 4608+512', 'write 5120+512', 'write 5632+512'])
  })

  test.each([
    { name: 'UNMAP', cdb: [0x42, 0, 0, 0, 0, 0, 0, 0, 24], list: true, log: 'discard 1024+1536' },
    { name: 'WRITE SAME', cdb: [0x93, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2], list: false, log: 'zeroes 2048+1024' },
    { name: 'WRITE SAME of data', cdb: [0x41, 0, 0, 0, 0, 4, 0, 0, 2], list: false, log: 'write 2048+1024', fill: 3 },
  ])('$name takes its parameters, however they come', async ({ cdb, list, log, fill = 0 }) => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk)
    const out = new Uint8Array(list ? 24 : 512).fill(fill)
    if (list) out.set([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3])
    expect(await guest.command(cdb, { out, pieceBytes: 10 })).toMatchObject({ status: 0, residue: 0 })
    expect(disk.log).toEqual([log])
    expect(await guest.command(cdb, { out: out.subarray(0, 8) })).toMatchObject({ status: 2 })
  })

  test('an exchanged medium is told', async () => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk)
    disk.change({})
    expect(await guest.command([0])).toMatchObject({ status: 1 })
    expect(await guest.sense()).toBe(0x06_2800)
  })

  test('a CD drive says that it is one, and reads blocks of 2048 bytes', async () => {
    const disc = new TestDisk(32 * 2048, { blockBytes: 2048, readOnly: true })
    const guest = await StorageGuest.ready(disc, { kind: 'cdrom' })
    const { data } = await guest.command([0x12, 0, 0, 0, 36], { toHost: 36 })
    expect([...data.subarray(0, 2), Buffer.from(data.subarray(8)).toString('latin1')]).toEqual([
      5,
      0x80,
      'RETRAP  USB CD-ROM      1.0 ',
    ])
    expect([...(await guest.command([0x25], { toHost: 8 })).data]).toEqual([0, 0, 0, 31, 0, 0, 8, 0])
    const read = await guest.command([0x28, 0, 0, 0, 0, 3, 0, 0, 2], { toHost: 4096 })
    expect(read).toMatchObject({ status: 0, residue: 0, data: disc.bytes.slice(3 * 2048, 5 * 2048) })
    disc.change({ bytes: 0 })
    expect(await guest.command([0])).toMatchObject({ status: 1 })
    expect(await guest.sense()).toBe(0x02_3a00)
  })

  test('a disc that is exchanged during a read: the data is of the first one, and the command fails', async () => {
    const disc = new TestDisk(32 * 2048, { blockBytes: 2048, readOnly: true })
    const guest = await StorageGuest.ready(disc, { kind: 'cdrom' })
    const read = disc.read.bind(disc)
    let left = 2
    disc.read = async (offset, into) => {
      if (left-- === 0) disc.change({ bytes: 16 * 2048 })
      await read(offset, into)
    }
    const outcome = await guest.command([0x28, 0, 0, 0, 0, 0, 0, 0, 4], { toHost: 8192, pieces: 4 })
    expect(outcome).toMatchObject({ status: 1, residue: 8192 - 4096 })
    expect(outcome.data).toEqual(Uint8Array.from({ length: 8192 }, (_, i) => (i < 4096 ? disc.bytes[i]! : 0)))
    expect(await guest.sense()).toBe(0x06_2800)
  })

  test.each([
    { what: 'less than the command wants', cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 2], options: { toHost: 512 } },
    { what: 'data the other way', cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1], options: { out: new Uint8Array(512) } },
    { what: 'no data', cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1], options: {} },
  ])('a host that expects $what is told of a phase error', async ({ cdb, options }) => {
    const guest = await StorageGuest.ready(new TestDisk(1 << 16))
    expect(await guest.command(cdb, options)).toMatchObject({ status: 2 })
    expect(await guest.command([0])).toMatchObject({ status: 0 })
  })

  test('what is no command stalls both ways until the host resets the device', async () => {
    const guest = await StorageGuest.ready(new TestDisk(1 << 16))
    expect(guest.sendRaw(new Uint8Array(30))).toBe(6)
    guest.clearHalt()
    expect(guest.sendRaw(new Uint8Array(31))).toBe(6)
    guest.resetRecovery()
    expect(await guest.command([0])).toMatchObject({ status: 0 })
  })
})

test.each([
  { options: { model: '' }, given: {}, message: "model ''" },
  { options: { serialNumber: 'x'.repeat(21) }, given: {}, message: 'serialNumber' },
  { options: {}, given: { blockBytes: 8192 }, message: 'blocks of 8192 bytes' },
])('a stick is not made with $message', ({ options, given, message }) => {
  const medium = new TestDisk(1 << 16)
  medium.given = given
  expect(() => new UsbStorage({ medium, ...options })).toThrow(message)
})
