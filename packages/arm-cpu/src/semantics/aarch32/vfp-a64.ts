import { a64Forms, extract, type Form as Row } from '@retrap/arm-decoder'
import { selectorsOf, type Semantics } from '../semantics.ts'
import { semanticsOf } from '../index.ts'

/** Forms of A64 for equivalent AArch32 instructions. */

/** A row of A64 that has semantics. */
export interface A64Row {
  readonly row: Row
  readonly semantics: Semantics
}

let byName: Map<string, A64Row[]> | undefined

/** The rows of a mnemonic, which is without the 2 of the upper half. */
export function a64Rows(name: string): readonly A64Row[] {
  if (byName === undefined) {
    byName = new Map()
    for (const row of a64Forms()) {
      const semantics = semanticsOf(row)
      if (semantics === undefined) continue
      const key = row.name
      const rows = byName.get(key)
      if (rows === undefined) byName.set(key, [{ row, semantics }])
      else rows.push({ row, semantics })
    }
  }
  return byName.get(name) ?? []
}

/** The instruction of a row whose fields have some values; the others are zero. */
function encoded(row: Row, values: Readonly<Record<string, number>>): number {
  let word = row.value
  for (const [letter, value] of Object.entries(values)) {
    let rest = value
    for (const piece of row.fields.get(letter)?.pieces.toReversed() ?? []) {
      const [shift, width] = [piece & 255, piece >> 8]
      word |= (rest & ((1 << width) - 1)) << shift
      rest >>>= width
    }
  }
  return word >>> 0
}

/** The record of an A64 instruction, but for its registers. */
export interface A64Plan {
  readonly key: string
  readonly small: number
  readonly immediate: bigint
}

/** The form and the numbers of the instruction of a row whose fields have some values. */
export function a64Plan({ row, semantics }: A64Row, values: Readonly<Record<string, number>>): A64Plan {
  const word = encoded(row, values)
  let index = 0
  for (const letter of selectorsOf(row, semantics)) {
    const field = row.fields.get(letter)!
    index = (index << field.width) | extract(field, word)
  }
  return {
    key: `${row.mnemonic}.${row.index}.${index}.0`,
    small: semantics.small?.(row, word) ?? 0,
    immediate: semantics.immediate?.(row, word) ?? 0n,
  }
}
