import { describeArgument } from '@retrap/basics'
import { requireOptions, requireWhole, AssemblerError } from './checks.ts'
import { asWhole, Label } from './labels.ts'
import type { Layout } from './layout.ts'

/** An assembled section. */
export interface ProgramSection {
  readonly name: string
  /** Run address of the first byte, which labels use. */
  readonly address: bigint
  /** Load address for {@link Program.flatten}; 'none': not loaded. */
  readonly load: bigint | 'none'
  /** Bytes, with all labels filled in. */
  readonly bytes: Uint8Array
}

/** An absolute address in the output, which a loader has to change if it moves the image. */
export interface Relocation {
  /** Name of the section. */
  readonly section: string
  /** Offset of the field in the section. */
  readonly offset: number
  /** Width of the field in bytes. */
  readonly size: 1 | 2 | 4 | 8
}

/** Options of {@link Program.flatten}. */
export interface FlattenOptions {
  /** Load address of the image's first byte; by default the lowest that a section has. */
  readonly base?: number | bigint
  /** Size of the image in bytes; by default up to the last section's end. */
  readonly size?: number
  /** The byte that fills gaps; by default 0. */
  readonly fill?: number
}

/** The options of {@link Program.listing}. */
export interface ListingOptions {
  /** All bytes of long data, in lines of ten; by default the first ten and the number of the others. */
  readonly allBytes?: boolean
}

/** Bytes on one line of a listing. */
const LINE_BYTES = 10

function hex(value: bigint, digits = 1): string {
  return value.toString(16).padStart(digits, '0')
}

/** An assembled program. Made by `Assembler.assemble()`. */
export interface Program {
  /** The sections with bytes, in the order they were made. */
  readonly sections: readonly ProgramSection[]
  /** Addresses of all bound labels, by name. */
  readonly symbols: ReadonlyMap<string, bigint>
  /** Places of absolute addresses. */
  readonly relocations: readonly Relocation[]
  /** The bytes of a program of one section. Throws `ERR_LAYOUT` if it has several; see {@link Program.flatten}. */
  readonly bytes: Uint8Array
  /** The address of a label. Throws `ERR_LABEL` if it was not bound in this program. */
  addressOf(label: Label): bigint
  /**
   * Returns one image with each section at its load address.
   *
   * @throws AssemblerError `ERR_LAYOUT` if sections overlap or lie outside the image
   */
  flatten(options?: FlattenOptions): Uint8Array
  /** Address, bytes and source of every line, with labels on lines of their own. */
  listing(options?: ListingOptions): string
}

/** A program read off a layout. */
export class LaidOutProgram implements Program {
  readonly sections: readonly ProgramSection[]
  readonly symbols: ReadonlyMap<string, bigint>
  readonly relocations: readonly Relocation[]
  readonly #layout: Layout

  constructor(layout: Layout, symbols: ReadonlyMap<string, bigint>, relocations: readonly Relocation[]) {
    this.#layout = layout
    this.symbols = symbols
    this.relocations = relocations
    this.sections = layout.sections
      .filter((section) => section.bytes.length > 0)
      .map((section) => ({
        name: section.plan.name,
        address: section.address,
        load: section.plan.load ?? section.address,
        bytes: section.bytes,
      }))
  }

  get bytes(): Uint8Array {
    const [only, second] = this.sections.filter(({ load }) => load !== 'none')
    if (second !== undefined) {
      throw new AssemblerError(
        'ERR_LAYOUT',
        `a program of ${this.sections.length} sections is no single run of bytes; use flatten()`,
      )
    }
    return only?.bytes ?? new Uint8Array(0)
  }

  addressOf(label: Label): bigint {
    if (!(label instanceof Label)) throw new AssemblerError('ERR_LABEL', `${describeArgument(label)} is no label`)
    return this.#layout.addressOf(label)
  }

  flatten(options: FlattenOptions = {}): Uint8Array {
    requireOptions(options, 'the options of flatten()')
    if (options.size !== undefined) requireWhole(options.size, 'the size of the image', 0)
    if (options.base !== undefined) asWhole(options.base)
    const ordered = this.sections
      .flatMap(({ name, load, bytes }) => (load === 'none' ? [] : [{ name, load, bytes }]))
      .toSorted((a, b) => (a.load < b.load ? -1 : a.load > b.load ? 1 : 0))
    const first = ordered[0]
    if (first === undefined) return new Uint8Array(options.size ?? 0).fill(options.fill ?? 0)
    const base = options.base === undefined ? first.load : BigInt(options.base)
    const last = ordered.at(-1) ?? first
    const size = options.size ?? Number(last.load - base) + last.bytes.length
    const image = new Uint8Array(Math.max(size, 0)).fill(options.fill ?? 0)
    let previousEnd = base
    let previous = 'the image base'
    for (const section of ordered) {
      const start = section.load
      const end = start + BigInt(section.bytes.length)
      if (start < previousEnd) {
        throw new AssemblerError(
          'ERR_LAYOUT',
          `section ${section.name} at 0x${hex(start)} overlaps ${previous}, which ends at 0x${hex(previousEnd)}`,
        )
      }
      if (end > base + BigInt(size)) {
        throw new AssemblerError(
          'ERR_LAYOUT',
          `section ${section.name} ends at 0x${hex(end)}, after the image's end at 0x${hex(base + BigInt(size))}`,
        )
      }
      image.set(section.bytes, Number(start - base))
      previousEnd = end
      previous = `section ${section.name}`
    }
    return image
  }

  listing(options: ListingOptions = {}): string {
    requireOptions(options, 'the options of listing()')
    const names = new Map<bigint, string[]>()
    for (const [name, address] of this.symbols) {
      const here = names.get(address)
      if (here === undefined) names.set(address, [name])
      else here.push(name)
    }
    const out: string[] = []
    for (const section of this.#layout.sections) {
      if (section.bytes.length === 0) continue
      const digits = hex(section.address + BigInt(section.bytes.length)).length
      out.push(`; section ${section.plan.name} at 0x${hex(section.address)}`)
      const pushLabels = (address: bigint): void => {
        const here = names.get(address)
        if (here !== undefined) out.push(...here.map((name) => `${name}:`))
        names.delete(address)
      }
      for (const [index, { text }] of section.plan.fragments.entries()) {
        const offset = section.offsets[index] ?? 0
        const length = (section.offsets[index + 1] ?? 0) - offset
        const address = section.address + BigInt(offset)
        pushLabels(address)
        if (length === 0) continue
        const shown = options.allBytes === true ? length : Math.min(length, LINE_BYTES)
        for (let from = 0; from < shown; from += LINE_BYTES) {
          const part = section.bytes.subarray(offset + from, offset + Math.min(from + LINE_BYTES, shown))
          const bytes = Array.from(part, (value) => hex(BigInt(value), 2)).join(' ')
          const more = shown < length ? ` +${length - shown}` : ''
          const source = from === 0 ? text.toString() : ''
          const at = hex(address + BigInt(from), digits)
          out.push(`${at}  ${(bytes + more).padEnd(34)} ${source}`.trimEnd())
        }
      }
      pushLabels(section.address + BigInt(section.bytes.length))
    }
    return `${out.join('\n')}\n`
  }
}
