import { S_CPL, S_CR4, S_DATA, S_TSC_AUX, S_TSC_OFFSET } from '../../state/state-layout.ts'
import { CR4_TSD, RAX, RCX, RDX } from '../../state/architecture.ts'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import { leaveIf } from './flat-segments.ts'
import { field } from './privilege.ts'

/** RDTSC and RDTSCP, where CR4.TSD does not forbid them. The exception is in `system/time-stamp.ts`. */

function readTimeStamp(c: Context): void {
  const { f, state } = c
  leaveIf(c, field(c, S_CR4).and(CR4_TSD).ne(0).and(field(c, S_CPL).ne(0)))
  f.call(c.library.timestamp)
  const host = f.loadExpression('i64.load', state, S_DATA)
  const value = c.let(host.add(f.loadExpression('i64.load', state, S_TSC_OFFSET)))
  c.setGpr(RAX, 4, value)
  c.setGpr(RDX, 4, value.shrU(32))
}

const quick = (emit: (c: Context) => void): Semantics => ({ partial: true, called: true, emit })

export const timeStamp: SemanticsTable = {
  RDTSC: quick(readTimeStamp),
  RDTSCP: quick((c) => {
    readTimeStamp(c)
    c.setGpr(RCX, 4, c.f.loadExpression('i64.load32_u', c.state, S_TSC_AUX))
  }),
}
