import { FPCR_BITS, FPSR_BITS } from './float-rules.ts'
import { ArmCpuError } from '../errors.ts'
import { isPstate, PSTATE_FIELDS, PSTATE_NRW } from './pstate.ts'
import * as S from './state-layout.ts'
import { placeOf, SYSTEM_REGISTERS, S_SP_EL0, S_SP_EL1 } from './places.ts'
import type { SystemState } from './system-state.ts'

/** Keys of pointer authentication, in the order of the state: for code and data, and the generic one. */
export type KeyName = 'IA' | 'IB' | 'DA' | 'DB' | 'GA'

/** All keys. The first four can be disabled. */
export const KEYS: readonly KeyName[] = ['IA', 'IB', 'DA', 'DB', 'GA']

/** A value of up to 128 bits, as `0x` and hexadecimal digits: it survives JSON. */
export type Hex = string

/** The architectural state of a processor, as plain data. Names are the manual's, in small letters. */
export interface SavedArmCpu {
  /** Layout of the state. */
  readonly version: 1
  /** X0 to X30, PC, PSTATE in SPSR_EL1's format, FPCR, FPSR, and the system registers. */
  readonly registers: Readonly<Record<string, Hex>>
  /** V0 to V31. */
  readonly vectors: readonly Hex[]
  /** Keys of pointer authentication. */
  readonly keys: Readonly<Record<string, Hex>>
  /** The state that an instruction has left to later ones: waits, events, the exclusive monitor, a step, an exception to be taken. */
  readonly pending: Readonly<Record<string, Hex>>
}

/** Places in the state: bytes, and the highest value where not all are good. */
type Fields = readonly (readonly [name: string, offset: number, bytes: 4 | 8 | 16, most?: number])[]

const REGISTERS: Fields = [
  ...Array.from({ length: 31 }, (_, i) => [`x${i}`, S.S_X + 8 * i, 8] as const),
  ['fpcr', S.S_FPCR, 4],
  ['fpsr', S.S_FPSR, 4],
  ...SYSTEM_REGISTERS.map((name) => [name, placeOf(name), 8] as const),
]

const VECTORS: Fields = Array.from({ length: 32 }, (_, i) => [`v${i}`, S.S_V + 16 * i, 16] as const)

const KEY_FIELDS: Fields = KEYS.map((name, i) => [name, S.S_KEYS + 16 * i, 16] as const)

const PENDING: Fields = [
  ['waiting', S.S_WAITING, 4, S.WAIT_MONITOR],
  ['stepped', S.S_STEPPED, 4, 3],
  ['exclusiveBytes', S.S_EXCLUSIVE_BYTES, 4, S.EXCLUSIVE_ELSEWHERE],
  ['exclusiveAddress', S.S_EXCLUSIVE_ADDRESS, 8],
  ['exclusiveValue', S.S_EXCLUSIVE_VALUE, 16],
]

/** An exception that a debugger has caught, which EL1 takes next: the program counter may be behind its instruction. */
const RAISED: Fields = [
  ['syndrome', S.S_FAULT_SYNDROME, 4],
  ['faultAddress', S.S_FAULT_ADDRESS, 8],
]

/** N, Z, C and V. */
const FLAGS = 0xf << 28

/** Events that are the processor's own. The levels of interrupts are their drivers'. */
const KEPT_EVENTS = S.EVENT_REGISTER | S.EVENT_SERROR

const hex = (value: bigint): Hex => `0x${value.toString(16)}`

function read(s: SystemState, offset: number, bytes: number): bigint {
  let value = 0n
  for (let at = bytes - 4; at >= 0; at -= 4) value = (value << 32n) | BigInt(s.word(offset + at))
  return value
}

function write(s: SystemState, offset: number, bytes: number, value: bigint): void {
  for (let at = 0; at < bytes; at += 4) s.setWord(offset + at, Number((value >> BigInt(8 * at)) & 0xffff_ffffn))
}

/** Where the state has a field now: the stack pointer in use has a place of its own. */
export function placeNow(s: SystemState, offset: number): number {
  if (offset !== S_SP_EL0 && offset !== S_SP_EL1) return offset
  return s.placeOfStack(offset === S_SP_EL1 ? 1 : 0)
}

const collect = (s: SystemState, fields: Fields): Record<string, Hex> =>
  Object.fromEntries(fields.map(([name, offset, bytes]) => [name, hex(read(s, placeNow(s, offset), bytes))]))

/** The processor's state between two instructions. */
export function saveState(s: SystemState): SavedArmCpu {
  const counter = read(s, S.S_PC, 8)
  return {
    version: 1,
    registers: {
      ...collect(s, REGISTERS),
      // Bit 0 holds PSTATE.T in AArch32.
      pc: hex((s.pstate & PSTATE_NRW) === 0 ? counter : counter & ~1n),
      pstate: hex(BigInt(s.status)),
    },
    vectors: VECTORS.map(([, offset, bytes]) => hex(read(s, offset, bytes))),
    keys: collect(s, KEY_FIELDS),
    pending: {
      ...collect(s, PENDING),
      ...(s.word(S.S_FAULT_SYNDROME) !== 0 && collect(s, RAISED)),
      events: hex(BigInt(s.word(S.S_EVENTS) & KEPT_EVENTS)),
    },
  }
}

const wrong = (what: string): ArmCpuError => new ArmCpuError('ERR_SAVED_STATE', what)

/** @throws ArmCpuError `ERR_SAVED_STATE` for text that {@link hex} cannot have made */
function valueOf(name: string, value: Hex | undefined, bytes: number, most?: number): bigint {
  if (typeof value !== 'string') throw wrong(`saved processor state has no ${name}`)
  const isHex = value.length <= 2 + 2 * bytes && /^0x[\da-f]+$/.test(value)
  if (!isHex)
    throw wrong(`saved ${name} ${value.slice(0, 40)}: expected 0x and at most ${2 * bytes} hexadecimal digits`)
  const number = BigInt(value)
  if (most !== undefined && number > most) throw wrong(`saved ${name} ${value}: expected at most ${most}`)
  return number
}

/** @throws ArmCpuError `ERR_SAVED_STATE` */
function objectOf<T extends object>(name: string, value: T | undefined): T {
  if (typeof value !== 'object' || value === null) throw wrong(`saved processor state has no ${name}`)
  return value
}

type Values = readonly (readonly [offset: number, bytes: number, value: bigint])[]

/** @throws ArmCpuError `ERR_SAVED_STATE` */
const valuesOf = (fields: Fields, from: Readonly<Record<string, Hex>>): Values =>
  fields.map(([name, offset, bytes, most]) => [offset, bytes, valueOf(name, from[name], bytes, most)] as const)

/**
 * Restores the state that {@link saveState} returned. Signalled interrupts stay.
 *
 * @throws ArmCpuError `ERR_SAVED_STATE` if `saved` is of another version, lacks a field, or has a value that no processor
 *   has; nothing has changed then
 */
export function restoreState(s: SystemState, saved: SavedArmCpu): void {
  if (saved?.version !== 1) throw wrong(`saved processor state of version ${String(saved?.version)}: expected 1`)
  const registers = objectOf('registers', saved.registers)
  const pending = objectOf('pending', saved.pending)
  const vectors = objectOf('vectors', saved.vectors)
  const values = [
    ...valuesOf(REGISTERS, registers),
    ...valuesOf(VECTORS, Object.fromEntries(VECTORS.map(([name], i) => [name, vectors[i]!]))),
    ...valuesOf(KEY_FIELDS, objectOf('keys', saved.keys)),
    ...valuesOf(PENDING, pending),
    ...(pending['syndrome'] === undefined ? [] : valuesOf(RAISED, pending)),
  ]
  const counter = valueOf('pc', registers['pc'], 8)
  const status = Number(valueOf('pstate', registers['pstate'], 4))
  if (!isPstate(status))
    throw wrong(`saved pstate 0x${status.toString(16)}: expected EL0, EL1, or user mode of AArch32`)
  const events = Number(valueOf('events', pending['events'], 4))
  write(s, S.S_PC, 8, (status & PSTATE_NRW) === 0 ? counter : counter & 0xffff_fffen)
  s.status = (status & PSTATE_NRW) === 0 ? status & (PSTATE_FIELDS | FLAGS) : status
  s.setWord(S.S_FAULT_SYNDROME, 0)
  s.setWord(S.S_FAULT_STAGE, 0)
  for (const [offset, bytes, value] of values) write(s, placeNow(s, offset), bytes, value)
  s.setWord(S.S_FPCR, s.word(S.S_FPCR) & FPCR_BITS)
  s.setWord(S.S_FPSR, s.word(S.S_FPSR) & FPSR_BITS)
  for (const event of [S.EVENT_REGISTER, S.EVENT_SERROR]) s.setEvent(event, (events & event) !== 0)
  s.controlWritten(true)
  s.settleAttention()
}
