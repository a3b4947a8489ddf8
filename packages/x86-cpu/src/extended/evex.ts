import type { Semantics, SemanticsTable } from '../semantics/context.ts'
import type { EvexLowering } from '../interpreter/lower.ts'
import { instructionSemantics } from '../semantics/index.ts'
import type { Form } from '../state/form.ts'
import type { Handler } from '../system/operands.ts'
import { evexGathers } from './evex-gather.ts'
import { evexMoves } from './evex-moves.ts'
import { contexts, underEvex, type EvexContexts } from './evex-context.ts'
import { finish, formOf } from './evex-form.ts'
import { tileRows } from './tile-rows.ts'
import { wide } from './wide.ts'

/** Instructions with EVEX that are others than those of VEX with their names. */
const own: SemanticsTable = { ...wide, ...evexMoves }

const known = new Map<Semantics, Semantics>()

/** Which operation a form stands for: its own, or that of VEX. */
function semanticsOf({ mnemonic, operands }: Form): Semantics | undefined {
  // Comparisons of VEX write vectors.
  const isVector = /^(xmm|mem|reg)$/.test(operands[0]!.kind)
  const semantics = own[mnemonic] ?? (isVector ? instructionSemantics[mnemonic] : undefined)
  if (semantics === undefined) return undefined
  const found = known.get(semantics) ?? underEvex(semantics)
  known.set(semantics, found)
  return found
}

const handlers: Readonly<Record<string, Handler>> = { ...evexGathers, ...tileRows }

/** All of EVEX on vectors, as engines use it. */
export interface EvexInstructions extends EvexLowering {
  readonly contexts: EvexContexts
  readonly handlers: Readonly<Record<string, Handler>>
  semanticsOf(form: Form): Semantics | undefined
}

export const evex: EvexInstructions = { contexts, finish, formOf, handlers, semanticsOf }
