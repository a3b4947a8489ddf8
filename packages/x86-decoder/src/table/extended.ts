/**
 * The tables of what EVEX and APX alone have: AVX-512, AVX10, FP16, AMX's instructions with EVEX, 32 general registers. Their
 * codes, and those of the EVEX forms of VEX rows, come after all others, and nothing else refers to them, so that a build may
 * leave them out: `build/plugins.ts`.
 */
import { apxRows } from './apx.ts'
import { evex0f38Rows } from './evex-0f38.ts'
import { evex0f3aRows } from './evex-0f3a.ts'
import { evex0fRows } from './evex-0f.ts'
import { evexAvx10Rows } from './evex-avx10.ts'
import { evexFp16Rows } from './evex-fp16.ts'

/** In the order of the codes. */
export const extendedRows: readonly string[] = [
  evex0fRows,
  evex0f38Rows,
  evex0f3aRows,
  evexFp16Rows,
  evexAvx10Rows,
  apxRows,
]
