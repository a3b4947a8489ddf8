/** The opcode tables, expanded and compiled when this module loads. */
import { expandRows, type Form } from './rows.ts'
import { amdRows } from './table/amd.ts'
import { avxRows } from './table/avx.ts'
import { maskTileRows } from './table/mask-tile.ts'
import { oneByteRows } from './table/one-byte.ts'
import { twoByteRows } from './table/two-byte.ts'
import { vectorRows } from './table/vector.ts'
import { vexRows } from './table/vex.ts'
import { x87Rows } from './table/x87.ts'
import { compileTables, type DecodeTables } from './tree.ts'

/** Every form; the index is the code. */
export const forms: readonly Form[] = /*#__PURE__*/ expandRows([
  oneByteRows,
  twoByteRows,
  vectorRows,
  x87Rows,
  vexRows,
  avxRows,
  amdRows,
  maskTileRows,
])

/** What the decoder walks. */
export const tables: DecodeTables = /*#__PURE__*/ compileTables(forms)
