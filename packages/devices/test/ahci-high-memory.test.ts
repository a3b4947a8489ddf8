/** The controller reaches 64 bits of guest memory: CAP.S64A. Source: AHCI 1.3.1, §3.1.1 and §4.2, "System Memory Structures". */
import type { Dma } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { AhciMachine, DATA, FRAMES, IS } from './support/ahci-machine.ts'
import { TestMedium } from './support/test-medium.ts'

const SECTOR = 512

/** Guest memory that begins at an address. */
function from(first: number, dma: Dma): Dma {
  return {
    ...dma,
    read: (gpa, into) => gpa >= first && dma.read(gpa - first, into),
    write: (gpa, bytes) => gpa >= first && dma.write(gpa - first, bytes),
  }
}

/** Upper words of addresses, to the last below 2^52. */
describe.each([1, 0x8000, 0xf_ffff])('all structures from %s × 4 GiB on', (high) => {
  function start(): { readonly machine: AhciMachine; readonly disk: TestMedium } {
    const disk = new TestMedium(300 * SECTOR)
    const machine = new AhciMachine([{ kind: 'disk', medium: disk }], (dma) => from(high * 2 ** 32, dma))
    machine.high = high
    machine.start()
    // A driver clears what the drive's first frame has raised.
    machine.setPort(IS, 0xffff_ffff)
    return { machine, disk }
  }

  test.each([
    { what: 'DMA', read: 0x25, write: 0x35, queued: false },
    { what: 'PIO', read: 0x24, write: 0x34, queued: false },
    { what: 'queued', read: 0x60, write: 0x61, queued: true },
  ])('$what commands read and write', async ({ read, write, queued }) => {
    const { machine, disk } = start()
    const { ram } = machine.machine
    // Two parts: each has an address of its own.
    const parts = [
      [DATA, SECTOR],
      [DATA + 0x2000, SECTOR],
    ] as const
    const execute = async (opcode: number, lba: number): Promise<void> => {
      const size = queued ? { feature: 2, count: 0 } : { count: 2 }
      machine.prepare(0, { opcode, lba, parts, ...size })
      if (queued) machine.setPort(0x34, 1)
      machine.issue(0)
      await machine.pass()
    }
    await execute(read, 7)
    expect(ram.slice(DATA, DATA + SECTOR)).toEqual(disk.bytes.slice(7 * SECTOR, 8 * SECTOR))
    expect(ram.slice(DATA + 0x2000, DATA + 0x2000 + SECTOR)).toEqual(disk.bytes.slice(8 * SECTOR, 9 * SECTOR))
    expect(machine.moved()).toBe(2 * SECTOR)
    ram.fill(0x5a, DATA, DATA + SECTOR)
    await execute(write, 20)
    expect(disk.bytes.slice(20 * SECTOR, 21 * SECTOR)).toEqual(new Uint8Array(SECTOR).fill(0x5a))
    expect(disk.bytes.slice(21 * SECTOR, 22 * SECTOR)).toEqual(disk.bytes.slice(8 * SECTOR, 9 * SECTOR))
    // No host bus error, no fatal one; and the drive's frame has come where the port says.
    expect(machine.port(IS) & 0x7c00_0000).toBe(0)
    expect(ram[FRAMES + (queued ? 0x58 : read === 0x24 ? 0x20 : 0x40)]).not.toBe(0)
  })
})
