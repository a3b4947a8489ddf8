import { AssemblerError } from './errors.ts'
import { applyFixup, fixupFits, fixupValue } from './fixups.ts'
import type { Encoding, Fixup } from './fixups.ts'
import type { AddressMap, Label } from './labels.ts'
import { codePadding } from './padding.ts'

/** Bytes that are settled but for their fixups. */
interface FixedFragment extends Encoding {
  readonly kind: 'fixed'
  readonly text: string
}

/** An instruction of several encodings, the shortest first: the first is taken that holds what the labels turn out to be. */
interface ChoiceFragment {
  readonly kind: 'choice'
  readonly text: string
  readonly encodings: readonly Encoding[]
}

/** Padding up to a multiple of `boundary`. */
interface AlignFragment {
  readonly kind: 'align'
  readonly text: string
  readonly boundary: number
  /** The byte to pad with, or the mode whose no-operations are used. */
  readonly fill: number | { readonly bits: 16 | 32 | 64 }
  /** Where it would take more bytes than these there is none. */
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
export type Fragment = FixedFragment | ChoiceFragment | AlignFragment | OrgFragment | FillFragment

/** Where a section was asked to be. */
export interface SectionPlan {
  readonly name: string
  /** What labels in it are counted from; undefined: after the section before. */
  address: bigint | undefined
  /** Where an image holds it; undefined: at its address; 'none': nowhere. */
  load: bigint | 'none' | undefined
  align: number
  readonly fragments: Fragment[]
}

/** Where a label was bound: in front of a section's fragment. */
export interface Binding {
  readonly section: SectionPlan
  readonly fragment: number
}

/** One line of a listing. */
interface LaidLine {
  readonly offset: number
  readonly length: number
  readonly text: string
  /** Fields that were filled in. */
  readonly fixups: readonly Fixup[]
}

/** A section with its addresses decided. */
export interface LaidSection {
  readonly plan: SectionPlan
  readonly address: bigint
  readonly bytes: Uint8Array
  readonly lines: readonly LaidLine[]
}

/** A finished layout. */
export interface Layout extends AddressMap {
  readonly sections: readonly LaidSection[]
}

const NOTHING: Encoding = { bytes: [], fixups: [] }

function alignUp(value: bigint, boundary: number): bigint {
  const unit = BigInt(boundary)
  return ((value + unit - 1n) / unit) * unit
}

function paddingOf(fragment: AlignFragment, address: bigint): number {
  const length = Number(alignUp(address, fragment.boundary) - address)
  return length > fragment.most ? 0 : length
}

/** Decides lengths and addresses. Instructions only ever grow, so it ends. */
class Placement implements AddressMap {
  readonly #sections: readonly SectionPlan[]
  readonly #bindings: ReadonlyMap<Label, Binding>
  /** Bases of the sections, and for each fragment its offset; one more entry for the end. */
  readonly bases: Map<SectionPlan, bigint> = new Map()
  readonly offsets: Map<SectionPlan, number[]> = new Map()
  /** Which encoding each choice has come to; none: the first. */
  readonly #chosen: Map<ChoiceFragment, number> = new Map()

  constructor(sections: readonly SectionPlan[], bindings: ReadonlyMap<Label, Binding>) {
    this.#sections = sections
    this.#bindings = bindings
    do this.#place()
    while (this.#grow())
  }

  addressOf(label: Label): bigint {
    const binding = this.#bindings.get(label)
    if (binding === undefined) {
      throw new AssemblerError('ERR_LABEL', `label ${label.name} is used but bound nowhere`)
    }
    const base = this.bases.get(binding.section) ?? 0n
    return base + BigInt(this.offsets.get(binding.section)?.[binding.fragment] ?? 0)
  }

  encodingOf(fragment: ChoiceFragment): Encoding {
    return fragment.encodings[this.#chosen.get(fragment) ?? 0] ?? NOTHING
  }

  #place(): void {
    let cursor = 0n
    for (const section of this.#sections) {
      const base = section.address ?? alignUp(cursor, section.align)
      this.bases.set(section, base)
      const offsets: number[] = []
      let offset = 0
      for (const fragment of section.fragments) {
        offsets.push(offset)
        offset += this.#lengthOf(fragment, base + BigInt(offset))
      }
      offsets.push(offset)
      this.offsets.set(section, offsets)
      cursor = base + BigInt(offset)
    }
  }

  #lengthOf(fragment: Fragment, address: bigint): number {
    switch (fragment.kind) {
      case 'fixed':
        return fragment.bytes.length
      case 'choice':
        return this.encodingOf(fragment).bytes.length
      case 'align':
        return paddingOf(fragment, address)
      case 'org': {
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
    for (const section of this.#sections) {
      const base = this.bases.get(section) ?? 0n
      const offsets = this.offsets.get(section) ?? []
      section.fragments.forEach((fragment, index) => {
        if (fragment.kind !== 'choice') return
        const address = base + BigInt(offsets[index] ?? 0)
        const before = this.#chosen.get(fragment) ?? 0
        let chosen = before
        while (chosen < fragment.encodings.length - 1 && !this.#holds(fragment.encodings[chosen], address)) chosen++
        if (chosen === before) return
        this.#chosen.set(fragment, chosen)
        changed = true
      })
    }
    return changed
  }
}

function fragmentBytes(fragment: Fragment, placement: Placement, length: number): Uint8Array {
  switch (fragment.kind) {
    case 'fixed':
      return Uint8Array.from(fragment.bytes)
    case 'choice':
      return Uint8Array.from(placement.encodingOf(fragment).bytes)
    case 'align':
      return typeof fragment.fill === 'number'
        ? new Uint8Array(length).fill(fragment.fill)
        : codePadding(length, fragment.fill.bits)
    case 'org':
    case 'fill':
      return new Uint8Array(length).fill(fragment.fill)
  }
}

/**
 * Chooses the shortest instructions that reach, gives every fragment its address and fills in what waited for one.
 *
 * @throws AssemblerError `ERR_LABEL`, `ERR_RANGE` or `ERR_LAYOUT`
 */
export function layOut(sections: readonly SectionPlan[], bindings: ReadonlyMap<Label, Binding>): Layout {
  const placement = new Placement(sections, bindings)
  const laid = sections.map((plan): LaidSection => {
    const address = placement.bases.get(plan) ?? 0n
    const offsets = placement.offsets.get(plan) ?? []
    const bytes = new Uint8Array(offsets.at(-1) ?? 0)
    const lines = plan.fragments.map((fragment, index): LaidLine => {
      const offset = offsets[index] ?? 0
      const length = (offsets[index + 1] ?? 0) - offset
      const piece = fragmentBytes(fragment, placement, length)
      const fixups =
        fragment.kind === 'fixed'
          ? fragment.fixups
          : fragment.kind === 'choice'
            ? placement.encodingOf(fragment).fixups
            : []
      for (const fixup of fixups) applyFixup(fixup, piece, address + BigInt(offset), placement)
      bytes.set(piece, offset)
      return { offset, length, text: fragment.text, fixups }
    })
    return { plan, address, bytes, lines }
  })
  return { sections: laid, addressOf: (label) => placement.addressOf(label) }
}
