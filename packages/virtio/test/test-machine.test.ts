/** The machine of one device that tests use: its memory has ends, as a machine's has. */
import type { DeviceContext, DeviceModel } from '@retrap/device'
import { PciMachine, TestDisk } from '@retrap/device/test-machine'
import { expect, test } from 'vitest'

const BYTES = 0x1000

test.each([0, 0x4000_0000])('RAM from %i up', (base) => {
  const model = { name: 'none', attach: () => undefined } as unknown as DeviceModel
  const machine = new PciMachine(model, BYTES, base)
  const { dma }: Pick<DeviceContext, 'dma'> = machine.context
  machine.ram.forEach((_, i) => (machine.ram[i] = i * 7))
  const written: (readonly [gpa: number, length: number])[] = []
  machine.onWrite = (gpa, length) => void written.push([gpa, length])
  for (const [at, length] of [
    [0, 4],
    [6, 3],
    [BYTES - 2, 2],
    [0, BYTES],
  ] as const) {
    const into = new Uint8Array(length)
    expect(dma.read(base + at, into)).toBe(true)
    expect(into).toEqual(machine.ram.slice(at, at + length))
    const [segment, ...others] = dma.mapForWriting(base + at, length).segments
    expect(others).toEqual([])
    expect(segment).toMatchObject({ kind: 'ram', gpa: base + at, offset: 0, length })
    expect(segment!.bytes).toEqual(machine.ram.slice(at, at + length))
    segment!.bytes![length - 1] = 0xa5
    expect(machine.ram[at + length - 1]).toBe(0xa5)
    expect(dma.write(base + at, into)).toBe(true)
    expect(machine.ram.slice(at, at + length)).toEqual(into)
    expect(written.splice(0)).toEqual([
      [base + at, length],
      [base + at, length],
    ])
  }
  expect(machine.reads).toBe(4)
  for (const [gpa, length] of [
    [base + BYTES - 1, 2],
    [base + BYTES, 1],
    [base - 1, 1],
  ] as const) {
    expect(dma.read(gpa, new Uint8Array(length))).toBe(false)
    expect(dma.write(gpa, new Uint8Array(length))).toBe(false)
    expect(dma.mapForWriting(gpa, length).segments).toMatchObject([{ kind: 'hole', length, bytes: null }])
  }
  expect(written).toEqual([])
  machine.mappings = false
  expect(dma.mapForWriting(base, 4).segments).toMatchObject([{ kind: 'ram', length: 4, bytes: null }])
})

test('the disk has what was written to it, and zeros where they were asked for, and nothing else changes', async () => {
  const disk = new TestDisk(0x1000)
  const expected = disk.bytes.slice()
  const into = new Uint8Array(512)
  await disk.read(512, into)
  expect(into).toEqual(expected.slice(512, 1024))
  await disk.write(1024, new Uint8Array(512).fill(0x5a))
  expected.fill(0x5a, 1024, 1536)
  await disk.writeZeroes(1280, 512)
  expected.fill(0, 1280, 1792)
  await disk.discard(0, 512)
  await disk.flush()
  expect(disk.bytes).toEqual(expected)
  expect(disk.log).toEqual(['read 512+512', 'write 1024+512', 'zeroes 1280+512', 'discard 0+512', 'flush'])
})
