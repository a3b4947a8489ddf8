/** Media that a machine boots from. */
import { type BlockBackend, BlockError } from '@retrap/device'
import { al, Assembler, ax, dx, imm16 } from '@retrap/x86-assembler'

const MIB = 1 << 20

/**
 * A medium of these bytes, which is only read.
 *
 * @param before - each read waits for it
 */
export function medium(bytes: Uint8Array, before?: () => Promise<void>): BlockBackend {
  const refused = (): Promise<never> => Promise.reject(new BlockError('ERR_READ_ONLY', 'a test reads it'))
  return {
    properties: {
      bytes: bytes.length,
      blockBytes: 512,
      physicalBlockBytes: 512,
      maximumBytes: MIB,
      readOnly: true,
      discards: false,
    },
    read: async (offset, into) => {
      await before?.()
      into.set(bytes.subarray(offset, offset + into.length))
    },
    write: refused,
    flush: async () => {},
    discard: refused,
    writeZeroes: refused,
    onChange: () => () => {},
  }
}

/** A medium of these bytes, which is written too. */
export function writable(bytes: Uint8Array, blockBytes = 512): BlockBackend {
  const { properties, ...reading } = medium(bytes)
  return {
    ...reading,
    properties: { ...properties, blockBytes, readOnly: false },
    write: async (offset, from) => bytes.set(from, offset),
  }
}

/** A boot sector that sends a letter to the serial port and switches the machine off. */
export function bootSector(letter: string): Uint8Array {
  const asm = new Assembler({ bits: 16, address: 0x7c00 })
  asm.mov(dx, imm16(0x3f8)).mov(al, letter.charCodeAt(0)).out(dx, al)
  asm.mov(dx, imm16(0x604)).mov(ax, imm16(0x2000)).out(dx, ax).hlt()
  const sector = new Uint8Array(512)
  sector.set(asm.assemble().bytes)
  sector.set([0x55, 0xaa], 510)
  return sector
}

/** A disk of 1 MiB that begins with `bootSector(letter)`. */
export function bootDisk(letter: string, before?: () => Promise<void>): BlockBackend {
  const bytes = new Uint8Array(MIB)
  bytes.set(bootSector(letter))
  return medium(bytes, before)
}
