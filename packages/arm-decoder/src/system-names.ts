/** Names of system registers, system instructions, hints, barriers and fields of PSTATE. */
import { systemInstructionRows } from './table/system-instructions.ts'
import { systemRegisterRows } from './table/system-registers.ts'

/** Names by the number that a row's first columns and the place of the name make. */
function byNumber(text: string, widths: readonly number[]): Map<number, string> {
  const names = new Map<number, string>()
  for (const line of text.trim().split('\n')) {
    const columns = line.split(/ +/)
    let number = 0
    for (const [index, width] of widths.entries()) number = (number << width) | Number(columns[index])
    for (const [op2, name] of columns.slice(widths.length).entries()) {
      if (name !== '-') names.set((number << 3) | op2, name)
    }
  }
  return names
}

let registers: Map<number, string> | undefined
let instructions: Map<number, string> | undefined

/**
 * Returns the name of a system register, `sctlr_el1`; `s3_0_c15_c2_1` if unnamed, or unnamed for this access.
 *
 * @param number - op0<0>:op1:CRn:CRm:op2, bits 19:5 of MSR and MRS
 * @param written - by MSR
 */
export function systemRegister(number: number, written: boolean): string {
  registers ??= byNumber(systemRegisterRows, [2, 3, 4, 4])
  const entry = registers.get(number | 0x8000)
  const [read = '', write = read] = (entry ?? '').split('/')
  const [name = '', only] = (written ? write : read).split(':')
  if (name !== '' && only !== (written ? 'r' : 'w')) return name
  return `s${2 + (number >> 14)}_${(number >> 11) & 7}_c${(number >> 7) & 15}_c${(number >> 3) & 15}_${number & 7}`
}

/** Returns the text of a SYS instruction: `tlbi vae1is, x0`; `sys #3, c7, c4, #1, x0` if unnamed. */
export function systemInstruction(op1: number, crn: number, crm: number, op2: number, register: number): string {
  instructions ??= byNumber(systemInstructionRows, [3, 4, 4])
  const entry = instructions.get((op1 << 11) | (crn << 7) | (crm << 3) | op2)
  const operand = register === 31 ? 'xzr' : `x${register}`
  if (entry !== undefined) {
    const [, name = '', mark] = /^([^.?]*)([.?]?)$/.exec(entry)!
    const words = name.replace('_', ' ')
    if (mark === '' || (mark === '?' && register !== 31)) return `${words}${words.includes(' ') ? ',' : ''} ${operand}`
    if (register === 31) return words
  }
  return `sys #${op1}, c${crn}, c${crm}, #${op2}${register === 31 ? '' : `, ${operand}`}`
}

/** TLBI operations on an address, whose operand may be a pair of registers. LLVM 22 names no nXS form of these. */
const OF_ADDRESS = /^tlbi_(r?(?:vaa?|ipas2)l?e\d(?:is|os)?)$/

/** Returns the operation of a TLBIP instruction (CRn 8), `vae1is`; `undefined` where the encoding has no name. */
export function pairInvalidation(op1: number, crm: number, op2: number): string | undefined {
  instructions ??= byNumber(systemInstructionRows, [3, 4, 4])
  return OF_ADDRESS.exec(instructions.get((op1 << 11) | (8 << 7) | (crm << 3) | op2) ?? '')?.[1]
}

/** By CRm:op2. */
const HINTS: Readonly<Record<number, string>> = {
  0: 'nop',
  1: 'yield',
  2: 'wfe',
  3: 'wfi',
  4: 'sev',
  5: 'sevl',
  6: 'dgh',
  7: 'xpaclri',
  8: 'pacia1716',
  10: 'pacib1716',
  12: 'autia1716',
  14: 'autib1716',
  16: 'esb',
  17: 'psb csync',
  18: 'tsb csync',
  19: 'gcsb dsync',
  20: 'csdb',
  22: 'clrbhb',
  24: 'paciaz',
  25: 'paciasp',
  26: 'pacibz',
  27: 'pacibsp',
  28: 'autiaz',
  29: 'autiasp',
  30: 'autibz',
  31: 'autibsp',
  32: 'bti r',
  34: 'bti c',
  36: 'bti j',
  38: 'bti jc',
  39: 'pacm',
  40: 'chkfeat x16',
  48: 'stshh keep',
  49: 'stshh strm',
  50: 'shuh',
  51: 'shuh ph',
  52: 'stcph',
  53: 'stshh #5',
  54: 'stshh #6',
  55: 'stshh #7',
}

/** Returns the text of a HINT instruction: `nop`, `hint #9`. */
export function hintName(crm: number, op2: number): string {
  const number = (crm << 3) | op2
  return HINTS[number] ?? `hint #${number}`
}

/** Returns the domain of a barrier, and the accesses that it waits for; `undefined` for numbers without a name. */
export function barrierName(crm: number): string | undefined {
  return (
    ['', 'oshld', 'oshst', 'osh', '', 'nshld', 'nshst', 'nsh', '', 'ishld', 'ishst', 'ish', '', 'ld', 'st', 'sy'][
      crm
    ] || undefined
  )
}

/** By op1:op2; of several fields by CRm<3:1>, whose lowest bit is the value then. */
const PSTATE_FIELDS: Readonly<Record<number, string | readonly (string | undefined)[]>> = {
  0o03: 'uao',
  0o04: 'pan',
  0o05: 'spsel',
  0o10: ['allint', 'pm'],
  0o31: 'ssbs',
  0o32: 'dit',
  0o33: [undefined, 'svcrsm', 'svcrza', 'svcrsmza'],
  0o34: 'tco',
  0o36: 'daifset',
  0o37: 'daifclr',
}

/** Returns the field of PSTATE that MSR sets to an immediate; `undefined` if unknown. */
export function pstateName(op1: number, op2: number, crm: number): string | undefined {
  const name = PSTATE_FIELDS[(op1 << 3) | op2]
  return typeof name === 'object' ? name[crm >> 1] : name
}
