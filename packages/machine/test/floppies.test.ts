import type { BlockBackend } from '@retrap/device'
import { expect, test } from 'vitest'
import { bootOrder, type MachineDrive } from '../src/options/drives.ts'
import { place } from '../src/devices/floppy.ts'
import type { MachineType } from '../src/machine-type.ts'

const disk = (kib: number): BlockBackend =>
  ({ properties: { bytes: kib * 1024, readOnly: false }, onChange: () => () => {} }) as unknown as BlockBackend
const drive = (kib: number | null, index?: number): MachineDrive => ({
  medium: kib === null ? null : disk(kib),
  interface: 'floppy',
  index,
})
const placed = (drives: readonly MachineDrive[], machine: MachineType = 'pc') =>
  place({ options: { memoryBytes: 0, machine, drives } })

test('drives A and B have the types of their disks, and paths for firmware', () => {
  const { models, floppies, bootPaths } = placed([drive(720), drive(2880)])
  expect(models.map(({ name }) => name)).toEqual(['dma', 'floppy'])
  expect(floppies).toEqual([3, 5])
  expect(bootOrder(bootPaths!)).toEqual([0, 1].map((at) => `/pci@i0cf8/isa@1/fdc@03f0/floppy@${at}`))
  expect(placed([drive(1440)], 'q35').bootPaths?.[0]?.[1]).toBe('/pci@i0cf8/isa@1f/fdc@03f0/floppy@0')
})

test('a drive without a disk is one of 1.44 MB, and so is A where there is only B', () => {
  expect(placed([drive(null)]).floppies).toEqual([4])
  expect(placed([drive(1200, 1)]).floppies).toEqual([4, 2])
})

test('what no place has is refused', () => {
  expect(() => placed([drive(720, 1), drive(720, 1)])).toThrow('floppy drive 1: two drives have it')
  expect(() => placed([drive(720, 2)])).toThrow('floppy drive 2: expected 0 or 1')
  expect(() => placed([drive(3000)])).toThrow('floppy: an image of 3072000 bytes')
})
