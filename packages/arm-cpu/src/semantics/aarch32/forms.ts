import { a32Forms, t16Forms, t32Forms, type Form as Row } from '@retrap/arm-decoder'
import type { FormSource } from '../semantics.ts'
import { branches, hints } from './control.ts'
import { dataProcessing } from './data-processing.ts'
import { exclusives, memory } from './memory.ts'
import { halfMultiplication } from './multiply-halves.ts'
import { media } from './media.ts'
import { multiplication } from './multiply.ts'
import { neon } from './neon.ts'
import { neonMemory } from './neon-memory.ts'
import { vfpMemory } from './vfp-memory.ts'
import { vfp } from './vfp.ts'
import { ownSources } from './vfp-own.ts'
import { emitA32, type A32Semantics } from './semantics.ts'
import { statusRegisters } from './status-registers.ts'
import { thumbSemanticsOf } from './thumb.ts'

/** Each finds the semantics of the rows of its family. */
const FAMILIES: readonly ((row: Row) => A32Semantics | undefined)[] = [
  dataProcessing,
  multiplication,
  halfMultiplication,
  media,
  branches,
  memory,
  exclusives,
  hints,
  statusRegisters,
  neon,
  neonMemory,
  vfp,
  vfpMemory,
]

/** Returns the generated code of a row's instructions; undefined if none. */
export function a32SemanticsOf(row: Row): A32Semantics | undefined {
  for (const family of FAMILIES) {
    const semantics = family(row)
    if (semantics !== undefined) return semantics
  }
  return undefined
}

/** The letters of a row's fields that its code depends on. */
export const a32SelectorsOf = (row: Row, { selectors }: A32Semantics): string[] =>
  [...selectors].filter((letter) => row.fields.has(letter))

/** The values of selectors, whose fields count up with the last letter's fastest. */
function valuesOf(row: Row, letters: readonly string[], index: number): ReadonlyMap<string, number> {
  const values = new Map<string, number>()
  let rest = index
  for (const letter of letters.toReversed()) {
    const { width } = row.fields.get(letter)!
    values.set(letter, rest & ((1 << width) - 1))
    rest >>>= width
  }
  return values
}

function formsOfRow(row: Row, semantics: A32Semantics, set: string): FormSource[] {
  const letters = a32SelectorsOf(row, semantics)
  const width = letters.reduce((sum, letter) => sum + row.fields.get(letter)!.width, 0)
  const { kinds = 1 } = semantics
  const forms: FormSource[] = []
  for (let index = 0; index < kinds << width; index++) {
    const values = valuesOf(row, letters, Math.floor(index / kinds))
    for (const general of [false, true]) {
      const form = { row, values, kind: index % kinds, general }
      const place = index * 2 + (general ? 1 : 0)
      forms.push({
        index: place,
        form: {
          row,
          values,
          onStack: false,
          target: undefined,
          key: `${set}.${semantics.shared ?? row.index}.${place}`,
        },
        semantics: { selectors: '', interpreted: true, emit: (c) => emitA32(c, form, semantics) },
      })
    }
  }
  return forms
}

/** All forms of rows, by the row. */
function sourcesOf(
  set: string,
  rows: readonly Row[],
  find: (row: Row) => A32Semantics | undefined,
): ReadonlyMap<Row, readonly FormSource[]> {
  const made = new Map<Row, readonly FormSource[]>()
  const shared = new Map<string, readonly FormSource[]>()
  for (const row of rows) {
    const semantics = find(row)
    if (semantics === undefined) continue
    const { shared: name } = semantics
    const known = name === undefined ? undefined : shared.get(name)
    const sources = known ?? formsOfRow(row, semantics, set)
    if (name !== undefined) shared.set(name, sources)
    made.set(row, sources)
  }
  return made
}

/** Forms that vector instructions are computed by, which are no row's. */
const OWN: unique symbol = Symbol('own forms')

let forms: ReadonlyMap<Row | typeof OWN, readonly FormSource[]> | undefined

/** Returns all forms of A32, and those specific to Thumb, by row. */
export function a32Sources(): ReadonlyMap<Row | typeof OWN, readonly FormSource[]> {
  forms ??= new Map<Row | typeof OWN, readonly FormSource[]>([
    ...sourcesOf('a32', a32Forms(), a32SemanticsOf),
    ...sourcesOf('t32', t32Forms(), thumbSemanticsOf),
    ...sourcesOf('t16', t16Forms(), thumbSemanticsOf),
    [OWN, ownSources()],
  ])
  return forms
}
