/** Describes a form of the opcode tables: its name in the manual, access, flags, control flow, what EVEX adds. */
import type { CodeInfo, FlowKind, OperandAccess, OperandSpec } from './code-info.ts'
import { EVEX_BROADCAST, EVEX_BROADCAST_SHIFT, EVEX_SCALE } from './evex-leaf.ts'
import { OperandKind } from './kinds.ts'
import { operandName } from './operand-names.ts'
import type { Form } from './rows.ts'
import { accessRows, flagRows, flowRows } from './table/info.ts'
import { loadTables } from './tables.ts'

const FLAG_BITS: Readonly<Record<string, number>> = {
  ...{
    C: 1,
    P: 4,
    A: 0x10,
    Z: 0x40,
    S: 0x80,
    T: 0x100,
    I: 0x200,
    D: 0x400,
    O: 0x800,
    L: 0x3000,
    N: 0x4000,
    R: 0x10000,
  },
  ...{ V: 0x20000, K: 0x40000 },
}
const FLAG_O = 0x800

interface Flags {
  r: number
  w: number
  u: number
}

/** Calls `each` with the first column and every word of the rest. */
function eachRow(table: string, each: (head: string, word: string) => void): void {
  for (const line of table.split('\n')) {
    const columns = line.trim().split(/\s{2,}/)
    if (columns.length < 2) continue
    for (const word of columns[1]!.split(' ')) each(columns[0]!, word)
  }
}

function readFlags(): Map<string, Flags> {
  const flags = new Map<string, Flags>()
  eachRow(flagRows, (head, mnemonic) => {
    const entry = flags.get(mnemonic) ?? { r: 0, w: 0, u: 0 }
    for (const part of head.split(' ')) {
      let bits = 0
      for (const letter of part.slice(2)) bits |= FLAG_BITS[letter]!
      entry[part[0] as 'r' | 'w' | 'u'] |= bits
    }
    flags.set(mnemonic, entry)
  })
  return flags
}

/** Access of a first operand that no row of `accessRows` lists. */
function defaultAccess(form: Form): OperandAccess {
  const first = form.operands[0]?.kind
  if (form.operands.length === 1 && form.map === 0 && form.opcode >= 0xd8 && form.opcode <= 0xdf) return 'r'
  // A form in EVEX map 4 is encoded as in the legacy maps.
  return form.vex || (form.evex && form.map !== 4) || first === OperandKind.MEM || first === OperandKind.XMM_RM
    ? 'w'
    : 'rw'
}

/** SDM vol. 2C, "XACQUIRE/XRELEASE — Hardware Lock Elision Prefix Hints". */
function elisionOf({ mnemonic, map, opcode, attributes, vex, evex }: Form): CodeInfo['elision'] {
  if (mnemonic === 'XCHG' && attributes.has('lock')) return 'always'
  if (attributes.has('lock')) return mnemonic === 'CMPXCHG16B' ? 'none' : 'locked'
  const isStore = opcode === 0x88 || opcode === 0x89 || opcode === 0xc6 || opcode === 0xc7
  return isStore && mnemonic === 'MOV' && map === 0 && !vex && !evex ? 'release' : 'none'
}

type EvexInfo = Pick<
  CodeInfo,
  | 'masking'
  | 'elementBytes'
  | 'exceptionClass'
  | 'faultSuppression'
  | 'broadcast'
  | 'rounding'
  | 'disp8Scale'
  | 'hasVex'
  | 'evexNd'
  | 'noFlags'
  | 'condition'
>

function evexInfo(form: Form, code: number): EvexInfo {
  const { attributes, evex, map, condition, elementBytes, exceptionClass } = form
  const bits = loadTables().evexLeaves[code]!
  const broadcast = (bits & EVEX_BROADCAST) >> EVEX_BROADCAST_SHIFT
  const masking = attributes.has('kz')
    ? 'zero'
    : attributes.has('kx')
      ? 'required'
      : attributes.has('k')
        ? 'merge'
        : 'none'
  return {
    masking,
    elementBytes,
    exceptionClass,
    faultSuppression: masking !== 'none' && !exceptionClass.endsWith('NF'),
    broadcast: broadcast === 0 ? 0 : ((1 << broadcast) as 2 | 4 | 8),
    rounding: attributes.has('er') ? 'rounding' : attributes.has('sae') ? 'sae' : 'none',
    disp8Scale: 1 << (bits & EVEX_SCALE),
    hasVex: attributes.has('vex'),
    evexNd: evex && map === 4 ? (attributes.has('nd') ? 1 : 0) : -1,
    noFlags: attributes.has('nf') ? 'possible' : attributes.has('nf1') ? 'always' : 'never',
    condition,
  }
}

/** Returns the access of a new data destination, which is always written; POP2 writes both. */
function newDestinationAccess(pattern: readonly string[] | undefined, position: number): OperandAccess {
  const second = pattern?.[1]
  if (position === 0 || second === 'w') return 'w'
  // A source that CFCMOV does not want is not read from memory.
  return position === 2 && second === 'cr' ? 'cr' : 'r'
}

/** The flags that a condition reads, by the upper three bits of EVEX.SC: O, B, E, BE, S, none (T, F), L, LE. */
const CONDITION_FLAGS: readonly number[] = [0x800, 1, 0x40, 0x41, 0x80, 0, 0x880, 0x8c0]

/** The tables of what instructions do, by mnemonic. */
interface InfoTables {
  readonly access: ReadonlyMap<string, readonly string[]>
  readonly flow: ReadonlyMap<string, FlowKind>
  readonly flags: ReadonlyMap<string, Flags>
}

let infoTables: InfoTables | undefined

/** Reads what instructions do from tables as those of `table/info.ts`. */
export function readInfoTables(accesses: string, flows: string): void {
  const access = new Map<string, string[]>()
  eachRow(accesses, (pattern, name) => access.set(name, pattern.split(',')))
  const flow = new Map<string, FlowKind>()
  eachRow(flows, (kind, name) => flow.set(name, kind as FlowKind))
  infoTables = { access, flow, flags: readFlags() }
}

/** Returns the facts about a form of the opcode tables. */
export function describe(form: Form, code: number): CodeInfo {
  if (infoTables === undefined) readInfoTables(accessRows, flowRows)
  const { access, flow, flags } = infoTables!
  const { mnemonic, attributes, operands } = form
  // MOVSD and CMPSD are string instructions and SSE2 instructions, so the string forms have names of their own here.
  const isString = attributes.has('rep') || attributes.has('repe')
  // CFCMOV to memory writes nothing where the condition does not hold.
  const isConditionalStore = attributes.has('nf1') && operands[0]?.kind === OperandKind.RM
  const isNew =
    attributes.has('nd') && operands[0]?.kind === OperandKind.VVVV_REG && mnemonic !== 'PUSH2' && mnemonic !== 'PUSH2P'
  const pattern = access.get(isString ? `${mnemonic}*` : `${mnemonic}/${operands.length}`) ?? access.get(mnemonic)
  const specs = operands.map(({ kind, size, memorySize, register }, position): OperandSpec => ({
    kind,
    size,
    memorySize,
    access: isNew
      ? newDestinationAccess(pattern, position)
      : isConditionalStore
        ? position === 0
          ? 'cw'
          : 'r'
        : ((pattern?.[position] as OperandAccess | undefined) ?? (position === 0 ? defaultAccess(form) : 'r')),
    register,
  }))
  const first = operands[0]?.kind
  const indirect = first === OperandKind.RM || first === OperandKind.MEM
  let flowKind: FlowKind = flow.get(mnemonic) ?? 'next'
  if (indirect && flowKind === 'jump') flowKind = 'indirect-jump'
  if (indirect && flowKind === 'call') flowKind = 'indirect-call'
  let { r, w, u } = flags.get(mnemonic) ?? flags.get(form.operation) ?? { r: 0, w: 0, u: 0 }
  if (isString) {
    r = FLAG_BITS['D']!
    if (attributes.has('repe')) w = 0x8d5
  }
  if (operands.some((operand) => operand.kind === OperandKind.CONTROL_REG || operand.kind === OperandKind.DEBUG_REG)) {
    u = 0x8d5
  }
  if (form.condition >= 0) {
    r = CONDITION_FLAGS[form.condition >> 1]!
    w = 0x8d5
  }
  if (operands.some(({ kind }) => kind === OperandKind.ONE)) {
    // OF is defined for a shift by one.
    if ((u & FLAG_O) !== 0) w |= FLAG_O
    u &= ~FLAG_O
  }
  const names = operands.map((_, position) => operandName(form, position))
  return {
    code,
    mnemonic,
    operation: form.operation,
    form: names.length === 0 ? mnemonic : `${mnemonic} ${names.join(', ')}`,
    operands: specs,
    operandSize: form.operandSize as CodeInfo['operandSize'],
    sizeClass: form.sizeClass,
    encoding: form.rex2 ? 'rex2' : form.evex ? 'evex' : form.vex ? (form.map >= 8 ? 'xop' : 'vex') : 'legacy',
    map: form.map,
    opcode: form.opcode,
    opcodeRegister: form.opcodeRegister,
    prefix: form.prefix as CodeInfo['prefix'],
    modrm: form.modrm,
    extension: form.extension,
    modrmByte: form.modrmByte,
    memory: form.memory,
    immediate: form.immediate,
    modes: form.modes,
    addressSize: form.addressSize as CodeInfo['addressSize'],
    vexW: form.w as CodeInfo['vexW'],
    vexL: form.l as CodeInfo['vexL'],
    ...evexInfo(form, code),
    lockable: attributes.has('lock'),
    atomic: attributes.has('atomic'),
    elision: elisionOf(form),
    distinct: attributes.has('distinct') || operands[2]?.kind === OperandKind.TILE_VVVV,
    sib: attributes.has('sib'),
    noRip: attributes.has('norip'),
    repeat: attributes.has('rep') ? 'rep' : attributes.has('repe') ? 'repe' : 'none',
    default64: attributes.has('d64'),
    force64: attributes.has('f64') || attributes.has('n64'),
    privileged: attributes.has('cpl0'),
    iopl: attributes.has('iopl'),
    protectedOnly: attributes.has('protected') || form.vex || form.evex,
    alias: attributes.has('alias'),
    flow: flowKind,
    feature: form.feature,
    flagsRead: r,
    flagsWritten: w,
    flagsUndefined: u,
  }
}
