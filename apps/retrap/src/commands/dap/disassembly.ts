import { formatA32, formatA64, formatThumb, isWideThumb } from '@retrap/arm-decoder'
import type { TargetCode } from '@retrap/gdb'
import { decode, formatIntel } from '@retrap/x86-decoder'

/** An instruction in memory. */
export interface ListedInstruction {
  readonly address: bigint
  readonly bytes: Uint8Array
  /** The instruction as text; undefined for invalid bytes or no memory. */
  readonly text: string | undefined
}

/** Memory for a disassembly, and its symbols. */
export interface ListedMemory {
  readonly set: TargetCode['set']
  /** Reads up to `count` bytes; fewer if memory ends earlier. */
  read(address: bigint, count: number): Uint8Array
  nameOf(address: bigint): string | undefined
  /** Returns the start of the code that an address is in. */
  startOf(address: bigint): bigint | undefined
}

const LONGEST = 15
const X86_MODES = { 'x86-16': 16, 'x86-32': 32, 'x86-64': 64 } as const
/** Most bytes of a function. */
const LARGEST_FUNCTION = 1 << 16
/** Most starts for decoding backwards before one leads to the right address. */
const MOST_STARTS = 32

/**
 * Lists instructions around an address.
 *
 * @param from - number of the first instruction, relative to the instruction at the address: negative before it
 * @returns exactly `count` instructions; undecodable ones have no text
 */
export function listAround(memory: ListedMemory, address: bigint, from: number, count: number): ListedInstruction[] {
  const before = from < 0 ? instructionsBefore(memory, address, -from) : []
  const after = from + count > 0 ? listFrom(memory, address, from + count) : []
  const first = from < 0 ? 0 : from
  return [...before.slice(0, count), ...after.slice(first)].slice(0, count)
}

/** The instruction at an address. */
export const instructionAt = (memory: ListedMemory, address: bigint): ListedInstruction =>
  listFrom(memory, address, 1)[0]!

function listFrom(memory: ListedMemory, address: bigint, count: number): ListedInstruction[] {
  const bytes = memory.read(address, count * longest(memory))
  const found: ListedInstruction[] = []
  for (let at = 0; found.length < count; at += found.at(-1)?.bytes.length || 1)
    found.push(listOne(memory, address + BigInt(at), bytes.subarray(at)))
  return found
}

const longest = ({ set }: ListedMemory): number => (set in X86_MODES ? LONGEST : 4)

function listOne(memory: ListedMemory, address: bigint, bytes: Uint8Array): ListedInstruction {
  const { set } = memory
  const nothing = { address, bytes: bytes.subarray(0, 1), text: undefined }
  if (set === 'x86-16' || set === 'x86-32' || set === 'x86-64') {
    if (bytes.length === 0) return nothing
    const decoded = decode(bytes.subarray(0, LONGEST), { mode: X86_MODES[set], address })
    const text = formatIntel(decoded, { symbols: (at) => memory.nameOf(at) })
    return decoded.status === 'decoded' ? { address, bytes: bytes.subarray(0, decoded.length), text } : nothing
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const options = { address, symbols: (at: bigint) => memory.nameOf(at) }
  if (set === 'thumb') {
    if (bytes.length < 2) return nothing
    const half = view.getUint16(0, true)
    const wide = isWideThumb(half)
    if (wide && bytes.length < 4) return nothing
    const text = formatThumb(half, wide ? view.getUint16(2, true) : 0, options)
    return { address, bytes: bytes.subarray(0, wide ? 4 : 2), text }
  }
  if (bytes.length < 4) return nothing
  const word = view.getUint32(0, true)
  return {
    address,
    bytes: bytes.subarray(0, 4),
    text: set === 'a64' ? formatA64(word, options) : formatA32(word, options),
  }
}

/** The instructions before an address: from the beginning of a function, or from a place that leads to the address. */
function instructionsBefore(memory: ListedMemory, address: bigint, count: number): ListedInstruction[] {
  const found: ListedInstruction[] = []
  while (found.length < count) {
    const end = found[0]?.address ?? address
    const piece = end === 0n ? undefined : pieceBefore(memory, end, count - found.length)
    if (piece === undefined) break
    found.unshift(...piece)
  }
  const lacking = Math.max(0, count - found.length)
  const first = found[0]?.address ?? address
  const filler = Array.from({ length: lacking }, (_, i): ListedInstruction => ({
    address: BigInt.asUintN(64, first - BigInt(lacking - i)),
    bytes: new Uint8Array(),
    text: undefined,
  }))
  return [...filler, ...found.slice(-count)]
}

function pieceBefore(memory: ListedMemory, end: bigint, count: number): ListedInstruction[] | undefined {
  if (memory.set === 'a64' || memory.set === 'a32') {
    const start = end - BigInt(4 * count)
    return start >= 0n ? linear(memory, start, end) : undefined
  }
  const named = memory.startOf(end - 1n)
  if (named !== undefined && end - named <= LARGEST_FUNCTION) {
    const piece = linear(memory, named, end)
    if (piece !== undefined) return piece
  }
  const furthest = end - BigInt(longest(memory) * count)
  const first = furthest < 0n ? 0n : furthest
  for (let i = 0n; i < MOST_STARTS && first + i < end; i++) {
    const piece = linear(memory, first + i, end)
    if (piece !== undefined) return piece
  }
  return undefined
}

/** Returns the instructions between two addresses; undefined if none begins at the second address. */
function linear(memory: ListedMemory, start: bigint, end: bigint): ListedInstruction[] | undefined {
  const bytes = memory.read(start, Number(end - start))
  if (bytes.length < end - start) return undefined
  const found: ListedInstruction[] = []
  for (let at = 0; at < bytes.length;) {
    const one = listOne(memory, start + BigInt(at), bytes.subarray(at))
    if (one.text === undefined || one.bytes.length === 0) return undefined
    found.push(one)
    at += one.bytes.length
  }
  return found
}
