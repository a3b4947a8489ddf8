/** Banked registers of other modes, for MRS and MSR. */
import { fieldOf, type Form } from './row.ts'

/** Registers of other modes, by SYSm with R = 0: general-purpose registers. */
const BANKED: readonly string[] = /*#__PURE__*/ (() => [
  ...[8, 9, 10, 11, 12].map((number) => `r${number}_usr`),
  ...['sp_usr', 'lr_usr', ''],
  ...[8, 9, 10, 11, 12].map((number) => `r${number}_fiq`),
  ...['sp_fiq', 'lr_fiq', ''],
  ...['irq', 'svc', 'abt', 'und'].flatMap((mode) => [`lr_${mode}`, `sp_${mode}`]),
  ...['', '', '', '', 'lr_mon', 'sp_mon', 'elr_hyp', 'sp_hyp'],
])()
const BANKED_STATUS: Readonly<Record<number, string>> = {
  14: 'SPSR_fiq',
  16: 'SPSR_irq',
  18: 'SPSR_svc',
  20: 'SPSR_abt',
  22: 'SPSR_und',
  28: 'SPSR_mon',
  30: 'SPSR_hyp',
}

/** Returns the number of a banked register: M and the bits in place of the fields. */
const bankedNumber = (form: Form, word: number): number => {
  const bits = fieldOf(form, 'p', word)
  // The highest piece of the field has one bit.
  return form.fields.get('p')!.pieces[0]! >> 8 === 1 ? bits : ((bits & 1) << 4) | (bits >> 1)
}

/** Returns the name of a banked register; undefined if unknown. */
export function bankedName(form: Form, word: number): string | undefined {
  const number = bankedNumber(form, word)
  return (fieldOf(form, 'r', word) === 1 ? BANKED_STATUS[number] : BANKED[number]) || undefined
}

/** System registers of VFP, as VMRS and VMSR name them. */
const FLOAT_SYSTEM: Readonly<Record<number, string>> = {
  0: 'fpsid',
  1: 'fpscr',
  5: 'mvfr2',
  6: 'mvfr1',
  7: 'mvfr0',
  8: 'fpexc',
  9: 'fpinst',
  10: 'fpinst2',
}

/** Returns the name of a VFP system register; undefined if unknown, or not writable. */
export function floatSystemName(form: Form, word: number): string | undefined {
  const number = fieldOf(form, 'i', word)
  const isReadOnly = number >= 5 && number <= 7
  return isReadOnly && form.name === 'VMSR' ? undefined : FLOAT_SYSTEM[number]
}
