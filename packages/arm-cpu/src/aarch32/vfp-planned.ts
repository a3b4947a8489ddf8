import { emitFramed, FRAMES } from './vfp-frame.ts'
import type { VectorPlan } from './vfp-record.ts'
import type { A32Semantics } from './semantics.ts'

/** Instructions that a form of A64, or one like it, computes. They share their code: records differ. */
export const planned = (plan: (word: number) => VectorPlan | undefined): A32Semantics => ({
  selectors: '',
  shared: 'framed',
  kinds: FRAMES,
  keepsTarget: true,
  plan,
  emit: (c, { kind }) => emitFramed(c, kind),
})
