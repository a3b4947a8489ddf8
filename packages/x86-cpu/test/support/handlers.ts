/** Handlers of instructions, which tests call by themselves. */
import { codes, type CodeInfo } from '@retrap/x86-decoder'
import { formOf, variantsOf } from '../../src/interpreter/code-forms.ts'
import type { Form } from '../../src/state/form.ts'
import { Abandon, type System } from '../../src/system/system.ts'
import type { BareCpu } from './bare-cpu.ts'

export const systemOf = ({ cpu }: BareCpu): System => (cpu as unknown as { readonly system: System }).system

/** The first form of an instruction. @param fits - chooses among its codes */
export function formNamed(mnemonic: string, fits: (info: CodeInfo) => boolean = () => true): Form {
  for (const info of codes) {
    if (info.mnemonic !== mnemonic || !fits(info)) continue
    for (const variant of variantsOf(info)) return formOf(info, variant)
  }
  throw new Error(`no form ${mnemonic}`)
}

/** @returns what an act of a handler returns; undefined if it faults */
export function unlessFault<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof Abandon)) throw error
    return undefined
  }
}
