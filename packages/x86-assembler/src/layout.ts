import { AssemblerError } from './checks.ts'
import { applyFixup, fixupFits, fixupValue, type Encoding, type Fixup } from './fixups.ts'
import type { AddressMap, Label } from './labels.ts'
import { codePadding } from './padding.ts'

/** A fragment's part of a listing, which becomes a string only in the listing. */
export interface SourceText {
  toString(): string
}

/** Bytes that are final except for their fixups. */
interface FixedFragment extends Encoding {
  readonly kind: 'fixed'
  readonly text: SourceText
}

/** Final bytes, stored with other such fragments in the section's `settled`. */
interface SettledFragment {
  readonly kind: 'settled'
  readonly text: SourceText
  readonly start: number
  readonly length: number
}

/** An instruction of several encodings, the shortest first: the first is taken that holds the labels' final values. */
interface ChoiceFragment {
  readonly kind: 'choice'
  readonly text: SourceText
  readonly encodings: readonly Encoding[]
}

/** Padding up to a multiple of `boundary`. */
interface AlignFragment {
  readonly kind: 'align'
  readonly text: string
  readonly boundary: number
  /** The byte to pad with, or the mode whose no-operations are used. */
  readonly fill: number | { readonly bits: 16 | 32 | 64 }
  /** Most bytes of padding; if more are needed, none are added. */
  readonly most: number
}

/** Padding up to an address. */
interface OrgFragment {
  readonly kind: 'org'
  readonly text: string
  readonly address: bigint
  readonly fill: number
}

/** Equal bytes, for reservations that should not cost an array. */
interface FillFragment {
  readonly kind: 'fill'
  readonly text: string
  readonly count: number
  readonly fill: number
}

/** One piece of a section. */
export type Fragment = FixedFragment | SettledFragment | ChoiceFragment | AlignFragment | OrgFragment | FillFragment

/** A section with its requested place. */
export interface SectionPlan {
  readonly name: string
  /** The address that its labels are counted from; undefined: after the section before. */
  address: bigint | undefined
  /** Load address in an image; undefined: the section's address; 'none': not in the image. */
  load: bigint | 'none' | undefined
  align: number
  readonly fragments: Fragment[]
  readonly settled: ByteStore
}

/** Bytes one after the other, in less space than an array for each instruction would take. */
export class ByteStore {
  #bytes = new Uint8Array(256)
  #length = 0

  /** Appends bytes. @returns their start */
  append(bytes: readonly number[] | Uint8Array): number {
    const start = this.#length
    this.#length += bytes.length
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2))
      larger.set(this.#bytes.subarray(0, start))
      this.#bytes = larger
    }
    if (bytes.length > 16) this.#bytes.set(bytes, start)
    else for (let index = 0; index < bytes.length; index++) this.#bytes[start + index] = bytes[index] ?? 0
    return start
  }

  /** Writes `length` bytes from `start` on to another place. */
  copy(start: number, length: number, into: Uint8Array, offset: number): void {
    if (length > 16) into.set(this.#bytes.subarray(start, start + length), offset)
    else for (let index = 0; index < length; index++) into[offset + index] = this.#bytes[start + index] ?? 0
  }
}

/** Adds bytes to a section, as final ones if they have no fixups. */
export function addFixed(section: SectionPlan, text: SourceText, { bytes, fixups }: Encoding): void {
  section.fragments.push(
    fixups.length === 0
      ? { kind: 'settled', text, start: section.settled.append(bytes), length: bytes.length }
      : { kind: 'fixed', text, bytes, fixups },
  )
}

/** The place of a label: in front of a section's fragment. */
export interface Binding {
  readonly section: SectionPlan
  readonly fragment: number
}

/** A section with final addresses. */
export interface LaidSection {
  readonly plan: SectionPlan
  readonly address: bigint
  readonly bytes: Uint8Array
  /** Offset of each fragment, and of the end. */
  readonly offsets: readonly number[]
  /** The fields of a fragment that waited for addresses. */
  fixupsOf(fragment: Fragment): readonly Fixup[]
}

/** A finished layout. */
export interface Layout extends AddressMap {
  readonly sections: readonly LaidSection[]
}

/** Most bytes of one section: the bytes of a `Program` are one array. */
const MOST_BYTES = 2 ** 32

const NOTHING: Encoding = { bytes: [], fixups: [] }

function alignUp(value: bigint, boundary: number): bigint {
  const unit = BigInt(boundary)
  return ((value + unit - 1n) / unit) * unit
}

function paddingOf(fragment: AlignFragment, address: bigint): number {
  const length = Number(alignUp(address, fragment.boundary) - address)
  return length > fragment.most ? 0 : length
}

/** Position reached within a section. */
interface Placed {
  readonly plan: SectionPlan
  base: bigint
  readonly offsets: number[]
}

/** Decides lengths and addresses. Instructions only grow, so this terminates. */
class Placement implements AddressMap {
  readonly sections: readonly Placed[]
  readonly #placed: ReadonlyMap<SectionPlan, Placed>
  readonly #bindings: ReadonlyMap<Label, Binding>
  /** The encoding that each choice has at present; none: the first. */
  readonly #chosen: Map<ChoiceFragment, number> = new Map()

  constructor(sections: readonly SectionPlan[], bindings: ReadonlyMap<Label, Binding>) {
    this.sections = sections.map((plan) => ({ plan, base: 0n, offsets: [] }))
    this.#placed = new Map(this.sections.map((placed) => [placed.plan, placed]))
    this.#bindings = bindings
    do this.#place()
    while (this.#grow())
  }

  addressOf(label: Label): bigint {
    const binding = this.#bindings.get(label)
    const placed = binding === undefined ? undefined : this.#placed.get(binding.section)
    if (binding === undefined || placed === undefined) {
      throw new AssemblerError('ERR_LABEL', `label ${label.name} is used and not bound; call bind`)
    }
    return placed.base + BigInt(placed.offsets[binding.fragment] ?? 0)
  }

  encodingOf(fragment: ChoiceFragment): Encoding {
    return fragment.encodings[this.#chosen.get(fragment) ?? 0] ?? NOTHING
  }

  fixupsOf(fragment: Fragment): readonly Fixup[] {
    if (fragment.kind === 'fixed') return fragment.fixups
    return fragment.kind === 'choice' ? this.encodingOf(fragment).fixups : NOTHING.fixups
  }

  #place(): void {
    let cursor = 0n
    for (const placed of this.sections) {
      const { plan, offsets } = placed
      placed.base = plan.address ?? alignUp(cursor, plan.align)
      let offset = 0
      for (const [index, fragment] of plan.fragments.entries()) {
        offsets[index] = offset
        offset += this.#lengthOf(fragment, placed.base, offset)
      }
      offsets[plan.fragments.length] = offset
      if (offset > MOST_BYTES) {
        throw new AssemblerError('ERR_LAYOUT', `section ${plan.name} has ${offset} bytes, more than 4 GiB`)
      }
      cursor = placed.base + BigInt(offset)
    }
  }

  #lengthOf(fragment: Fragment, base: bigint, offset: number): number {
    switch (fragment.kind) {
      case 'fixed':
        return fragment.bytes.length
      case 'settled':
        return fragment.length
      case 'choice':
        return this.encodingOf(fragment).bytes.length
      case 'align':
        return paddingOf(fragment, base + BigInt(offset))
      case 'org': {
        const address = base + BigInt(offset)
        if (fragment.address < address) {
          throw new AssemblerError(
            'ERR_LAYOUT',
            `org 0x${fragment.address.toString(16)} is behind the code, which is at 0x${address.toString(16)} already`,
          )
        }
        return Number(fragment.address - address)
      }
      case 'fill':
        return fragment.count
    }
  }

  #holds(encoding: Encoding | undefined, address: bigint): boolean {
    return (encoding ?? NOTHING).fixups.every((fixup) => fixupFits(fixup, fixupValue(fixup, address, this)))
  }

  #grow(): boolean {
    let changed = false
    for (const { plan, base, offsets } of this.sections) {
      for (const [index, fragment] of plan.fragments.entries()) {
        if (fragment.kind !== 'choice') continue
        const address = base + BigInt(offsets[index] ?? 0)
        const before = this.#chosen.get(fragment) ?? 0
        let chosen = before
        while (chosen < fragment.encodings.length - 1 && !this.#holds(fragment.encodings[chosen], address)) chosen++
        if (chosen === before) continue
        this.#chosen.set(fragment, chosen)
        changed = true
      }
    }
    return changed
  }
}

/** Writes `length` bytes of a fragment at `offset`, without fields that wait for addresses. */
function writeFragment(
  section: SectionPlan,
  fragment: Fragment,
  placement: Placement,
  into: Uint8Array,
  offset: number,
  length: number,
): void {
  switch (fragment.kind) {
    case 'settled':
      section.settled.copy(fragment.start, length, into, offset)
      return
    case 'fixed':
      into.set(fragment.bytes, offset)
      return
    case 'choice':
      into.set(placement.encodingOf(fragment).bytes, offset)
      return
    case 'align':
      if (typeof fragment.fill === 'number') into.fill(fragment.fill, offset, offset + length)
      else into.set(codePadding(length, fragment.fill.bits), offset)
      return
    case 'org':
    case 'fill':
      into.fill(fragment.fill, offset, offset + length)
  }
}

/**
 * Chooses the shortest instructions that reach, assigns an address to each fragment, and fills in fixups.
 *
 * @throws AssemblerError `ERR_LABEL`, `ERR_RANGE` or `ERR_LAYOUT`
 */
export function layOut(sections: readonly SectionPlan[], bindings: ReadonlyMap<Label, Binding>): Layout {
  const placement = new Placement(sections, bindings)
  const laid = placement.sections.map(({ plan, base, offsets }): LaidSection => {
    const bytes = new Uint8Array(offsets[plan.fragments.length] ?? 0)
    for (const [index, fragment] of plan.fragments.entries()) {
      const offset = offsets[index] ?? 0
      writeFragment(plan, fragment, placement, bytes, offset, (offsets[index + 1] ?? 0) - offset)
      for (const fixup of placement.fixupsOf(fragment)) applyFixup(fixup, bytes, offset, base, placement)
    }
    return { plan, address: base, bytes, offsets, fixupsOf: (fragment) => placement.fixupsOf(fragment) }
  })
  return { sections: laid, addressOf: (label) => placement.addressOf(label) }
}
