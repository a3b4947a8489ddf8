import { requireOneOf } from './checks.ts'

/** A flag that the conditional compare of APX can set by itself. */
export type DefaultFlag = 'of' | 'sf' | 'zf' | 'cf'

/** The flags after a conditional compare or test that does not compare, made by {@link dfv}. */
export interface DefaultFlags {
  /** Tells the kinds of operand apart. */
  readonly type: 'dfv'
  /** Bits 3 to 0: OF, SF, ZF, CF. */
  readonly bits: number
}

const FLAG_BITS: { readonly [Flag in DefaultFlag]: number } = { of: 8, sf: 4, zf: 2, cf: 1 }

/**
 * The default flags of CCMP and CTEST, their first operand: `asm.ccmpz(dfv('cf'), rax, rbx)`.
 *
 * @param flags - flags that are set if the condition fails; the others of OF, SF, ZF and CF are cleared
 */
export function dfv(...flags: readonly DefaultFlag[]): DefaultFlags {
  for (const flag of flags) requireOneOf(flag, 'a default flag', Object.keys(FLAG_BITS))
  return Object.freeze({ type: 'dfv', bits: flags.reduce((bits, flag) => bits | FLAG_BITS[flag], 0) })
}

/** As listings show them: `{dfv=of,cf}`. */
export function formatFlags({ bits }: DefaultFlags): string {
  const names = Object.entries(FLAG_BITS).filter(([, bit]) => (bits & bit) !== 0)
  return `{dfv=${names.map(([name]) => name).join(',')}}`
}
