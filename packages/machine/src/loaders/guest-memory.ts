import { PAGE_BYTES } from '@retrap/memory'
import { hex, LoaderError } from './errors.ts'
import { E820, type E820Entry } from './memory-map.ts'

/** Guest RAM, as loaders write it. */
export interface GuestMemoryWriter {
  /** All RAM of the machine. */
  readonly ramBytes: number
  /** The guest's memory map. Loaders write only to its RAM entries. */
  readonly e820: readonly E820Entry[]
  /** Copies bytes to RAM; the range has been checked against `e820`. */
  write(gpa: number, bytes: Uint8Array): void
}

/** Bytes of RAM from `gpa` to the end of the RAM entry that holds it; 0 if it is not RAM. */
export function ramFrom(memory: GuestMemoryWriter, gpa: number): number {
  for (const entry of memory.e820)
    if (entry.type === E820.ram && gpa >= entry.gpa && gpa < entry.gpa + entry.bytes)
      return entry.gpa + entry.bytes - gpa
  return 0
}

/**
 * Asserts that a range is RAM.
 * @throws LoaderError `ERR_NO_ROOM` that names the range
 */
export function requireRam(memory: GuestMemoryWriter, what: string, gpa: number, bytes: number): void {
  if (ramFrom(memory, gpa) < bytes)
    throw new LoaderError(
      'ERR_NO_ROOM',
      what,
      `${bytes} bytes at ${hex(gpa)}`,
      `a place in the guest's ${memory.ramBytes} bytes of RAM; give the machine more memory`,
    )
}

const ZEROES = new Uint8Array(0x1_0000)

/** Clears a range: after a reset RAM still holds the last boot's data. */
export function writeZeroes(memory: GuestMemoryWriter, gpa: number, bytes: number): void {
  for (let done = 0; done < bytes; done += ZEROES.length)
    memory.write(gpa + done, ZEROES.subarray(0, Math.min(ZEROES.length, bytes - done)))
}

/**
 * Encodes a command line with its terminating NUL.
 * @throws LoaderError `ERR_COMMAND_LINE`
 */
export function commandLineBytes(text: string, limit: number): Uint8Array {
  if (text.includes('\0'))
    throw new LoaderError('ERR_COMMAND_LINE', 'command line', 'a NUL character', 'text without one')
  const bytes = new TextEncoder().encode(`${text}\0`)
  if (bytes.length - 1 > limit)
    throw new LoaderError(
      'ERR_COMMAND_LINE',
      'command line',
      `${bytes.length - 1} bytes`,
      `at most ${limit} (cmdline_size)`,
    )
  return bytes
}

export const pageUp = (value: number): number => Math.ceil(value / PAGE_BYTES) * PAGE_BYTES
export const pageDown = (value: number): number => Math.floor(value / PAGE_BYTES) * PAGE_BYTES
