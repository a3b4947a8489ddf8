import { printable, viewOf } from '@retrap/basics'
import { SymbolsError } from './errors.ts'
import type { LinuxGuest } from './linux-guest.ts'

/** State of a readable record; records in other states are being written or reused. */
const FINALIZED = 2n
const ID_MASK = (1n << 62n) - 1n
const MOST_BITS = 26
/** A record without a text has a place that no text has. */
const NO_TEXT = 1n
const NS = 1_000_000_000n

/** A line of the kernel's log. */
export interface LinuxLogLine {
  /** Nanoseconds since the kernel began. */
  readonly ns: bigint
  /** 0 is an emergency, 7 is for debugging. */
  readonly level: number
  readonly text: string
}

/**
 * Reads the kernel's log from its ring, as Linux has it since 5.10 (Linux, kernel/printk/printk_ringbuffer.h, is where the
 * structures are described).
 *
 * @throws SymbolsError
 */
export function linuxLog(guest: LinuxGuest): LinuxLogLine[] {
  const pointer = guest.symbols.addressOf('prb')
  if (pointer === undefined)
    throw new SymbolsError('ERR_UNSUPPORTED', 'this Linux cannot be read', 'it has no log as Linux 5.10 and later have')
  const ring = guest.readNumber(pointer, 8)
  const number = (path: string): bigint => guest.readField(ring, guest.field('printk_ringbuffer', path))
  const countBits = Number(number('desc_ring.count_bits'))
  const sizeBits = Number(number('text_data_ring.size_bits'))
  if (countBits > MOST_BITS || sizeBits > MOST_BITS)
    throw new SymbolsError(
      'ERR_DAMAGED',
      'the log of this Linux is damaged',
      `${countBits} and ${sizeBits} bits of room`,
    )
  const count = 2 ** countBits
  const size = 1n << BigInt(sizeBits)
  const descBytes = sizeOf(guest, 'prb_desc')
  const infoBytes = sizeOf(guest, 'printk_info')
  const descs = viewOf(guest.read(number('desc_ring.descs'), count * descBytes))
  const infos = viewOf(guest.read(number('desc_ring.infos'), count * infoBytes))
  const data = guest.read(number('text_data_ring.data'), Number(size))
  const at = {
    state: guest.field('prb_desc', 'state_var').offset,
    begin: guest.field('prb_desc', 'text_blk_lpos.begin').offset,
    next: guest.field('prb_desc', 'text_blk_lpos.next').offset,
    ns: guest.field('printk_info', 'ts_nsec').offset,
    length: guest.field('printk_info', 'text_len').offset,
    // The lower five bits of the byte behind the facility are flags.
    level: guest.field('printk_info', 'facility').offset + 1,
  }
  const tail = number('desc_ring.tail_id') & ID_MASK
  const head = number('desc_ring.head_id') & ID_MASK
  const lines: LinuxLogLine[] = []
  for (let i = 0n; i < count; i++) {
    const id = (tail + i) & ID_MASK
    const index = Number(id & BigInt(count - 1))
    const desc = index * descBytes
    const state = descs.getBigUint64(desc + at.state, true)
    if ((state & ID_MASK) === id && state >> 62n === FINALIZED) {
      const info = index * infoBytes
      const begin = descs.getBigUint64(desc + at.begin, true)
      const next = descs.getBigUint64(desc + at.next, true)
      const text = textOf(data, size, begin, next, infos.getUint16(info + at.length, true))
      const [ns, level] = [infos.getBigUint64(info + at.ns, true), infos.getUint8(info + at.level) >> 5]
      if (text !== undefined) for (const line of text.split('\n')) lines.push({ ns, level, text: line })
    }
    if (id === head) break
  }
  return lines
}

/** Formats a line like dmesg(1). */
export const formatLogLine = ({ ns, text }: LinuxLogLine): string =>
  `[${String(ns / NS).padStart(5)}.${String((ns % NS) / 1000n).padStart(6, '0')}] ${text}`

/** Returns the text of a record: after the record's number, or at the ring's beginning if it did not fit at the end. */
function textOf(data: Uint8Array, size: bigint, begin: bigint, next: bigint, length: number): string | undefined {
  if ((begin & NO_TEXT) !== 0n) return ''
  const isWrapped = begin / size !== next / size && next % size !== 0n
  const from = (isWrapped ? 0 : Number(begin % size)) + 8
  if (from + length > data.length) return undefined
  return printable(decoder.decode(data.subarray(from, from + length)))
}

const decoder = new TextDecoder()

function sizeOf(guest: LinuxGuest, struct: string): number {
  const bytes = guest.btf.size(struct)
  if (bytes === undefined || bytes === 0)
    throw new SymbolsError('ERR_MISSING', 'Linux in memory', `its types do not have struct ${struct}`)
  return bytes
}
