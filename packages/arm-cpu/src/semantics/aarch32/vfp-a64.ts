import { a64Forms, extract } from '@retrap/arm-decoder'
import type { Form as Row } from '@retrap/arm-decoder'
import { bitsWith, selectorsOf } from '../semantics.ts'
import type { Semantics } from '../semantics.ts'
import { semanticsOf } from '../index.ts'

/** Forms of A64 for equivalent AArch32 instructions. */

/** A row of A64 that has semantics. */
export interface A64Row {
  readonly row: Row
  readonly semantics: Semantics
}

/** Reads a table of pairs, a name of AArch32 with a name of A64, separated by commas or line ends. */
export const namesTable = (text: string): ReadonlyMap<string, string> =>
  new Map(Array.from(text.matchAll(/([^\s,]+) ([^\s,]+)/g), ([, name = '', a64 = '']) => [name, a64] as const))

let byName: Map<string, A64Row[]> | undefined

/** The rows of a mnemonic, which is without the 2 of the upper half. */
export function a64Rows(name: string): readonly A64Row[] {
  if (byName === undefined) {
    byName = new Map()
    for (const row of a64Forms()) {
      const semantics = semanticsOf(row)
      if (semantics === undefined) continue
      byName.set(row.name, [...(byName.get(row.name) ?? []), { row, semantics }])
    }
  }
  return byName.get(name) ?? []
}

/** The record of an A64 instruction, but for its registers. */
export interface A64Plan {
  readonly key: string
  readonly small: number
  readonly immediate: bigint
}

/** The form and the numbers of the instruction of a row whose fields have some values; the others are zero. */
export function a64Plan({ row, semantics }: A64Row, values: Readonly<Record<string, number>>): A64Plan {
  const word = bitsWith(row, Object.entries(values))[1] >>> 0
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
