/** What each code stands for: operands, encoding, and on what it works. For assemblers, formatters and tools. */
import { EVEX_BROADCAST, EVEX_BROADCAST_SHIFT, EVEX_SCALE } from './evex-leaf.ts'
import { OperandKind } from './kinds.ts'
import type { Immediate } from './operand-column.ts'
import { readRow } from './forms.ts'
import type { Form } from './rows.ts'
import { accessRows, flagRows, flowRows } from './table/info.ts'
import { loadRowCodes, loadTables } from './tables.ts'

/** How an operand is used; `c`: under a condition. */
export type OperandAccess = 'r' | 'w' | 'rw' | 'n' | 'cr' | 'cw' | 'crw'

/** How execution goes on. Indirect: the target comes from a register or memory. */
export type FlowKind =
  | 'next'
  | 'jump'
  | 'indirect-jump'
  | 'branch'
  | 'call'
  | 'indirect-call'
  | 'return'
  | 'interrupt'
  | 'system'
  | 'exception'
  | 'transaction'

/** One operand of a code. */
export interface OperandSpec {
  /** What it is, and which field of the instruction names it. */
  readonly kind: OperandKind
  /**
   * Bytes of the operand in a register, of an encoded immediate, or of memory: 1, 2, 4, 8, 10, 16, 32…; 0 = none or varying.
   * `VSIB`: of the index register.
   */
  readonly size: number
  /** Bytes of the operand if it is in memory; differs from `size` in forms such as `SMSW r32/m16`, `ADDSS xmm, xmm/m32`. */
  readonly memorySize: number
  /** How the instruction uses it. */
  readonly access: OperandAccess
  /** Number of a fixed register, or -1. */
  readonly register: number
}

/**
 * One row of the opcode map at one operand size: mnemonic and the kind and size of every operand, save whether a ModRM
 * operand is a register or memory.
 */
export interface CodeInfo {
  /** Its own index in `codes`. */
  readonly code: number
  /** In capitals, as in the manual. A near and a far form have names of their own: CALL, CALLF. */
  readonly mnemonic: string
  /** As the manual writes the form: `ADD r/m32, imm8`. */
  readonly form: string
  /** In the order of Intel syntax. */
  readonly operands: readonly OperandSpec[]
  /** Effective operand size in bits: 8, 16, 32, 64; 0 where there is none. */
  readonly operandSize: 0 | 8 | 16 | 32 | 64
  /**
   * How the operand size comes about, for encoding: `''` no prefix has to do with it; `v`: 66 or REX.W select 16 or 64
   * bits; `z`: as `v` without 64; `y`: REX.W (or VEX.W) alone selects between 32 and 64.
   */
  readonly sizeClass: '' | 'v' | 'y' | 'z'
  /** `rex2`: a legacy instruction that exists after REX2 only. */
  readonly encoding: 'legacy' | 'rex2' | 'vex' | 'xop' | 'evex'
  /** 0: one-byte, 1: 0F, 2: 0F 38, 3: 0F 3A, 4: 0F 0F, with the opcode after the operands (3DNow!); 8 to 10: XOP's. EVEX: 1 to 7. */
  readonly map: number
  /** The opcode byte within its map. */
  readonly opcode: number
  /** The low three bits of the opcode name a register. */
  readonly opcodeRegister: boolean
  /** `''`: prefixes do not select; `NP`: none of 66 F3 F2 may be there; `NFx`: neither F3 nor F2; else that prefix must be. */
  readonly prefix: '' | 'NP' | 'NFx' | '66' | 'F3' | 'F2'
  /** Whether there is a ModRM byte. */
  readonly modrm: boolean
  /** ModRM.reg as opcode extension, or -1. */
  readonly extension: number
  /** The whole ModRM byte where it is part of the opcode, or -1. */
  readonly modrmByte: number
  /** Whether ModRM may or must name memory. */
  readonly memory: 'any' | 'only' | 'never'
  /** The immediates of its encoding. */
  readonly immediate: Immediate
  /** `MODE_16`, `MODE_32`, `MODE_64` bits. */
  readonly modes: number
  /** Address size in bits that the form needs, or 0. */
  readonly addressSize: 0 | 16 | 32 | 64
  /** VEX.W, VEX.L (EVEX.W, EVEX.L'L): 0, 1, 2, or -1 = ignored (encode 0). With class `y` the operand size decides W. */
  readonly vexW: -1 | 0 | 1
  /** VEX.L or EVEX.L'L: 0, 1, 2, or -1 = ignored (encode 0). */
  readonly vexL: -1 | 0 | 1 | 2
  /** EVEX.aaa and EVEX.z: no mask; merging only; zeroing too (not in memory); a mask that is not k0 must be named. */
  readonly masking: 'none' | 'merge' | 'zero' | 'required'
  /** EVEX.b with memory: bytes of the element that is repeated; 0 = not possible. */
  readonly broadcast: 0 | 2 | 4 | 8
  /** EVEX.b with registers: static rounding, or suppression of exceptions alone. */
  readonly rounding: 'none' | 'rounding' | 'sae'
  /** What an 8-bit displacement is multiplied with, in bytes; with broadcast it is the element's size. 1 unless EVEX. */
  readonly disp8Scale: number
  /** EVEX: VEX has the same instruction, with registers 0 to 15 and up to 256 bits; assemblers take that. */
  readonly hasVex: boolean
  /** EVEX.ND: 1 for a new data destination in vvvv, or for zeroed upper bits (SETZUcc, IMULZU); -1 where it has no meaning. */
  readonly evexNd: -1 | 0 | 1
  /** EVEX.NF: whether it may be 1 (no flags are written), or must be. */
  readonly noFlags: 'never' | 'possible' | 'always'
  /** EVEX.SC of CCMP and CTEST, the condition; -1 elsewhere. */
  readonly condition: number
  /** LOCK is legal with a memory destination. */
  readonly lockable: boolean
  /**
   * What F2 and F3 mean before a memory operand (HLE): `locked`, they are XACQUIRE and XRELEASE beside LOCK; `always`, without
   * LOCK too; `release`, F3 is XRELEASE and F2 means nothing.
   */
  readonly elision: 'none' | 'locked' | 'always' | 'release'
  /** #UD if two of destination, index and mask (gathers), or of three tiles (AMX), are the same register. */
  readonly distinct: boolean
  /** Memory must be named with a SIB byte (AMX). */
  readonly sib: boolean
  /** #UD if memory is RIP-relative (MPX). */
  readonly noRip: boolean
  /** Whether REP repeats it, or REPE and REPNE do. */
  readonly repeat: 'none' | 'rep' | 'repe'
  /** In 64-bit mode the operand size is 64 without REX.W, or 16 with 66. */
  readonly default64: boolean
  /** In 64-bit mode the operand size is 64 whatever the prefixes say (near branches: on Intel). */
  readonly force64: boolean
  /** Faults unless CPL is 0 (or a control register allows it). */
  readonly privileged: boolean
  /** Depends on IOPL (CLI, STI), or on IOPL and the I/O permission bitmap (IN, OUT, INS, OUTS). */
  readonly iopl: boolean
  /** #UD in real and virtual-8086 mode. */
  readonly protectedOnly: boolean
  /** Another row encodes the same instruction; an assembler takes that one. */
  readonly alias: boolean
  /** How execution goes on behind it. */
  readonly flow: FlowKind
  /**
   * CPUID feature in SDM spelling with underscores, `A+B` where both are needed, or `''` for the base architecture. REX2, and
   * general registers from 16 on, need APX_F besides.
   */
  readonly feature: string
  /** EFLAGS bits in their places. */
  readonly flagsRead: number
  /** EFLAGS bits that it writes. */
  readonly flagsWritten: number
  /** EFLAGS bits that it leaves undefined. */
  readonly flagsUndefined: number
}

const FLAG_BITS: Readonly<Record<string, number>> = {
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
  V: 0x20000,
  K: 0x40000,
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

const VECTOR_LETTERS: Readonly<Record<number, string>> = { 16: 'x', 32: 'y', 64: 'z' }

/** Operand names of the manual: `r/m32`, `xmm1/m64`, `rel8`… */
function operandName(form: Form, position: number): string {
  const { kind, size, memorySize, register } = form.operands[position]!
  const bits = size * 8
  const memory = memorySize === 0 ? 'm' : `m${memorySize * 8}`
  switch (kind) {
    case OperandKind.REG:
    case OperandKind.OPCODE_REG:
    case OperandKind.VVVV_REG:
    case OperandKind.RM_REG:
      return `r${bits}`
    case OperandKind.RM:
      return size === memorySize ? `r/m${bits}` : `r${bits}/${memory}`
    case OperandKind.VSIB:
      return `vm${memorySize * 8}${VECTOR_LETTERS[size]!}`
    case OperandKind.MEM:
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
    case OperandKind.XLAT:
      return memory
    case OperandKind.FIXED_REG: {
      const name = ['AX', 'CX', 'DX', 'BX'][register]!
      return size === 1 ? `${name[0]!}L` : size === 2 ? name : size === 4 ? `E${name}` : `R${name}`
    }
    case OperandKind.ONE:
      return '1'
    case OperandKind.SEGMENT_REG:
      return 'Sreg'
    case OperandKind.FIXED_SEGMENT:
      return ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'][register]!
    case OperandKind.CONTROL_REG:
      return 'CRn'
    case OperandKind.DEBUG_REG:
      return 'DRn'
    case OperandKind.MMX_REG:
    case OperandKind.MMX_RM_REG:
      return 'mm'
    case OperandKind.MMX_RM:
      return `mm/${memory}`
    case OperandKind.XMM_REG:
    case OperandKind.XMM_RM_REG:
    case OperandKind.XMM_VVVV:
    case OperandKind.XMM_IS4:
      return `${VECTOR_LETTERS[size]!}mm`
    case OperandKind.XMM_RM:
      return `${VECTOR_LETTERS[size]!}mm/${memory}`
    case OperandKind.MASK_REG:
    case OperandKind.MASK_RM_REG:
    case OperandKind.MASK_VVVV:
      return 'k'
    case OperandKind.MASK_RM:
      return `k/${memory}`
    case OperandKind.BOUND_REG:
      return 'bnd'
    case OperandKind.BOUND_RM:
      return `bnd/${memory}`
    case OperandKind.TILE_REG:
    case OperandKind.TILE_RM_REG:
    case OperandKind.TILE_VVVV:
      return 'tmm'
    case OperandKind.XMM_FIXED:
      return 'XMM0'
    case OperandKind.ST0:
      return 'ST(0)'
    case OperandKind.STI:
      return 'ST(i)'
    case OperandKind.REL8:
      return 'rel8'
    case OperandKind.REL16:
      return 'rel16'
    case OperandKind.REL32:
      return 'rel32'
    case OperandKind.IMM4:
      return 'imm4'
    case OperandKind.DFV:
      return 'dfv'
    case OperandKind.ABS64:
      return 'target64'
    case OperandKind.FAR_POINTER:
      return size === 4 ? 'ptr16:16' : 'ptr16:32'
    case OperandKind.MOFFS:
      return `moffs${bits}`
    default:
      return `imm${bits}`
  }
}

/** Access of a first operand that no row of `accessRows` lists. */
function defaultAccess(form: Form): OperandAccess {
  const first = form.operands[0]?.kind
  if (form.operands.length === 1 && form.map === 0 && form.opcode >= 0xd8 && form.opcode <= 0xdf) return 'r'
  // What is in EVEX map 4 is as in the legacy maps.
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
  'masking' | 'broadcast' | 'rounding' | 'disp8Scale' | 'hasVex' | 'evexNd' | 'noFlags' | 'condition'
>

function evexInfo({ attributes, evex, map, condition }: Form, code: number): EvexInfo {
  const bits = loadTables().evexLeaves[code]!
  const broadcast = (bits & EVEX_BROADCAST) >> EVEX_BROADCAST_SHIFT
  return {
    masking: attributes.has('kz') ? 'zero' : attributes.has('kx') ? 'required' : attributes.has('k') ? 'merge' : 'none',
    broadcast: broadcast === 0 ? 0 : ((1 << broadcast) as 2 | 4 | 8),
    rounding: attributes.has('er') ? 'rounding' : attributes.has('sae') ? 'sae' : 'none',
    disp8Scale: 1 << (bits & EVEX_SCALE),
    hasVex: attributes.has('vex'),
    evexNd: evex && map === 4 ? (attributes.has('nd') ? 1 : 0) : -1,
    noFlags: attributes.has('nf') ? 'possible' : attributes.has('nf1') ? 'always' : 'never',
    condition,
  }
}

/** A new data destination is written, whatever the instruction does with its first source; POP2 writes both. */
function newDestinationAccess(mnemonic: string, position: number): OperandAccess {
  if (position === 0 || mnemonic.startsWith('POP2')) return 'w'
  // A source that is not wanted is not read from memory.
  return position === 2 && mnemonic.startsWith('CFCMOV') ? 'cr' : 'r'
}

/** APX's variants write the flags of what they vary. */
const flagsName = (mnemonic: string): string =>
  mnemonic
    .replace(/^CF(?=CMOV)/, '')
    .replace(/^SETZU/, 'SET')
    .replace(/^IMULZU$/, 'IMUL')

/** What a condition reads, by the upper three bits of EVEX.SC: O, B, E, BE, S, none (T, F), L, LE. */
const CONDITION_FLAGS: readonly number[] = [0x800, 1, 0x40, 0x41, 0x80, 0, 0x880, 0x8c0]

/** The tables of what instructions do, by mnemonic. */
interface InfoTables {
  readonly access: ReadonlyMap<string, readonly string[]>
  readonly flow: ReadonlyMap<string, FlowKind>
  readonly flags: ReadonlyMap<string, Flags>
}

let infoTables: InfoTables | undefined

function readInfoTables(): InfoTables {
  const access = new Map<string, string[]>()
  eachRow(accessRows, (pattern, name) => access.set(name, pattern.split(',')))
  const flow = new Map<string, FlowKind>()
  eachRow(flowRows, (kind, name) => flow.set(name, kind as FlowKind))
  return { access, flow, flags: readFlags() }
}

function describe(form: Form, code: number): CodeInfo {
  infoTables ??= readInfoTables()
  const { access, flow, flags } = infoTables
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
      ? newDestinationAccess(mnemonic, position)
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
  let { r, w, u } = flags.get(flagsName(mnemonic)) ?? { r: 0, w: 0, u: 0 }
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

/** By code, what has been read. */
let known: (CodeInfo | undefined)[] = []

/**
 * What a code stands for. The first question about a row of the opcode map reads that row; later ones cost a look into an
 * array.
 *
 * @param code - `Instruction.code`; one that there is not is taken for 0, the invalid instruction
 */
export function codeInfo(code: number): CodeInfo {
  return known[code] ?? readCode(code)
}

function readCode(code: number): CodeInfo {
  const rowCodes = loadRowCodes()
  const count = rowCodes.at(-1) as number
  // Grown piece by piece it would become a hash table.
  if (known.length === 0) known = Array.from<CodeInfo | undefined>({ length: count })
  if (!(code > 0 && code < count)) code = 0
  // The last row that starts at the code or before it.
  let row = 0
  for (let above = rowCodes.length - 1; above - row > 1;) {
    const middle = (row + above) >> 1
    if (rowCodes[middle]! <= code) row = middle
    else above = middle
  }
  const first = rowCodes[row]!
  readRow(row).forEach((form, i) => (known[first + i] ??= describe(form, first + i)))
  return known[code]!
}

/** An array that is filled when it is first looked at. */
function lazyArray<T>(fill: (array: T[]) => void): readonly T[] {
  const array: T[] = []
  const filled = (): T[] => {
    if (array.length === 0) fill(array)
    return array
  }
  return new Proxy(array, {
    get: (_, key) => Reflect.get(filled(), key) as unknown,
    has: (_, key) => Reflect.has(filled(), key),
    ownKeys: () => Reflect.ownKeys(filled()),
    getOwnPropertyDescriptor: (_, key) => Reflect.getOwnPropertyDescriptor(filled(), key),
  })
}

/**
 * Every code; the index is `Instruction.code`. Code 0 is the invalid instruction (no modes). Frozen order within a version
 * only. It is made when it is first looked at; where single codes are wanted, `codeInfo` makes these alone.
 */
export const codes: readonly CodeInfo[] = /*#__PURE__*/ lazyArray((array) => {
  const count = loadRowCodes().at(-1) as number
  for (let code = 0; code < count; code++) array.push(codeInfo(code))
})
