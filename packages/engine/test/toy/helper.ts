import { MachineMemory } from '@retrap/memory'
import type { CompileHelper, HelperAnswer, HelperKind, HelperMessage } from '../../src/jit/compile-helper.ts'
import { JobCompiler } from '../../src/jit/compile-server.ts'
import { ToyCompiled } from './compiled.ts'
import type { ToyForm } from './decoder.ts'
import { RELOCATED, WIDE } from './state.ts'

/** A helper of this thread: it has copies of what is posted, and answers when it is looked for an answer some times. @param jobs - after which it dies */
export function toyHelper(relocated: boolean, late = 1, jobs = Infinity): CompileHelper {
  let posted = 0
  return {
    connect: (hear: (answer: HelperAnswer) => void, failed: () => void) => {
      let compiler: JobCompiler | undefined
      const answers: { readonly at: number; readonly answer: HelperAnswer }[] = []
      let looks = 0
      return {
        post(message: HelperMessage): void {
          const copy = structuredClone(message)
          if ('job' in copy) {
            if (++posted > jobs) failed()
            answers.push({ at: looks + late, answer: compiler!.answer(copy) })
          } else compiler = new JobCompiler(emitterOf(relocated), (copy as HelperKind).target)
        },
        look(): void {
          looks++
          while (answers[0] !== undefined && answers[0].at <= looks) hear(answers.shift()!.answer)
        },
      }
    },
  }
}

const emitterOf = (relocated: boolean): ConstructorParameters<typeof JobCompiler>[0] =>
  Object.assign(new ToyCompiled(MachineMemory.create({ bytes: 1 << 20 }), relocated ? RELOCATED : WIDE, new Set()), {
    formOf: (name: string): unknown => JSON.parse(name) as ToyForm,
  }) as never
