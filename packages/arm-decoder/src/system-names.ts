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
let hints: Map<number, string> | undefined

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

/** CRm, then names by op2: `-` is none, `_` a space. */
const hintRows = `
0 nop yield wfe wfi sev sevl dgh xpaclri
1 pacia1716 - pacib1716 - autia1716 - autib1716
2 esb psb_csync tsb_csync gcsb_dsync csdb - clrbhb
3 paciaz paciasp pacibz pacibsp autiaz autiasp autibz autibsp
4 bti_r - bti_c - bti_j - bti_jc pacm
5 chkfeat_x16
6 stshh_keep stshh_strm shuh shuh_ph stcph stshh_#5 stshh_#6 stshh_#7
`

/** Returns the text of a HINT instruction: `nop`, `hint #9`. */
export function hintName(crm: number, op2: number): string {
  hints ??= byNumber(hintRows, [4])
  const number = (crm << 3) | op2
  return hints.get(number)?.replace('_', ' ') ?? `hint #${number}`
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
