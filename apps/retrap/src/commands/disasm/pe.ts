/** Code and exported names of PE files (Windows, UEFI). Source: Microsoft, "PE Format". */
import { CliError } from '@retrap/linux-guest/errors'
import type { NamedPlace } from '@retrap/symbols'
import { FileReader, type Program, type Section } from '../../machine/programs/program.ts'

const MACHINE_I386 = 0x14c
const MACHINE_AMD64 = 0x8664
const MACHINE_ARM64 = 0xaa64
const MAGIC_PE32_PLUS = 0x20b
const SCN_MEM_EXECUTE = 0x2000_0000

interface Range {
  readonly name: string
  readonly rva: number
  readonly size: number
  readonly offset: number
  readonly isCode: boolean
}

/** Returns the offset of the PE header; undefined if there is none, as in DOS programs, which also start with MZ. */
export function peHeader(bytes: Uint8Array): number | undefined {
  if (bytes[0] !== 0x4d || bytes[1] !== 0x5a || bytes.length < 64) return undefined
  const at = new DataView(bytes.buffer, bytes.byteOffset).getUint32(60, true)
  return at + 24 <= bytes.length && [0x50, 0x45, 0, 0].every((byte, i) => bytes[at + i] === byte) ? at : undefined
}

/**
 * Reads executable sections of a PE file at their link addresses, with exports as symbols.
 *
 * @param at - offset of the PE header
 * @throws CliError `ERR_INPUT` for another processor's, or a damaged file
 */
export function readPe(bytes: Uint8Array, at: number): Program {
  const file = new FileReader(bytes, 'PE')
  const machine = file.u16(at + 4)
  if (![MACHINE_I386, MACHINE_AMD64, MACHINE_ARM64].includes(machine)) {
    throw new CliError(
      'ERR_INPUT',
      `this PE file is for another processor (machine 0x${machine.toString(16)}), not for x86 or arm64`,
    )
  }
  const optional = at + 24
  const isPlus = file.u16(optional) === MAGIC_PE32_PLUS
  const imageBase = isPlus ? file.u64(optional + 24) : BigInt(file.u32(optional + 28))
  const ranges = readRanges(file, at)
  const symbols = readExports(file, ranges, imageBase, optional + (isPlus ? 108 : 92))
  const sections = ranges
    .filter(({ isCode, size }) => isCode && size > 0)
    .map(({ name, rva, offset, size }): Section => ({
      name,
      address: imageBase + BigInt(rva),
      bytes: file.slice(offset, size),
      symbols,
    }))
  return {
    format: 'PE',
    architecture: machine === MACHINE_ARM64 ? 'arm64' : 'x86',
    mode: machine === MACHINE_I386 ? 32 : 64,
    sections,
  }
}

function readRanges(file: FileReader, at: number): Range[] {
  const first = at + 24 + file.u16(at + 20)
  return Array.from({ length: file.u16(at + 6) }, (_, i) => {
    const base = first + i * 40
    const virtualSize = file.u32(base + 8)
    const rawSize = file.u32(base + 16)
    return {
      name: file.text(base, 8),
      rva: file.u32(base + 12),
      // Bytes of the file beyond the section's size are padding; old linkers leave the size 0.
      size: virtualSize === 0 ? rawSize : Math.min(rawSize, virtualSize),
      offset: file.u32(base + 20),
      isCode: (file.u32(base + 36) & SCN_MEM_EXECUTE) !== 0,
    }
  })
}

/** @param directories - offset of the number of data directories, of which the first is the exports' */
function readExports(file: FileReader, ranges: readonly Range[], imageBase: bigint, directories: number): NamedPlace[] {
  const rva = file.u32(directories) === 0 ? 0 : file.u32(directories + 4)
  if (rva === 0) return []
  const offsetOf = (address: number): number => {
    const range = ranges.find((one) => address >= one.rva && address < one.rva + one.size)
    if (range === undefined) throw file.damaged('its exports are in no section')
    return range.offset + address - range.rva
  }
  const table = offsetOf(rva)
  const count = file.u32(table + 24)
  if (count === 0) return []
  const [functions, names, ordinals] = [28, 32, 36].map((field) => offsetOf(file.u32(table + field))) as [
    number,
    number,
    number,
  ]
  return Array.from({ length: count }, (_, i) => ({
    name: file.text(offsetOf(file.u32(names + i * 4))),
    address: imageBase + BigInt(file.u32(functions + file.u16(ordinals + i * 2) * 4)),
    size: 0n,
    rank: 1,
  }))
}
