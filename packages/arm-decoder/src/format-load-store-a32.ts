/** Text of A32 and Thumb loads and stores, in the unified assembler language, lower case. */
import {
  CONDITIONS_A32 as CONDITIONS,
  REGISTERS_A32 as REGISTERS,
  SHIFTS_A32 as SHIFTS,
} from './format-aarch32-operands.ts'
import { Addressing, Extend, InstructionSet, type LoadStore, NO_REGISTER } from './load-store.ts'

const name = (number: number): string => REGISTERS[number & 15]!

/** Formats a signed immediate; subtracting 0 is `#-0`, which has another encoding. */
const signed = (insn: LoadStore): string => (insn.subtract && insn.offset === 0 ? '#-0' : `#${insn.offset}`)

/** Index register with sign and shift: `-r2, lsl #2`. */
function indexRegister(insn: LoadStore): string {
  const register = `${insn.subtract ? '-' : ''}${name(insn.rm)}`
  if (insn.extend === Extend.RRX) return `${register}, rrx`
  return insn.extend === Extend.LSL && insn.shift === 0
    ? register
    : `${register}, ${SHIFTS[insn.extend]} #${insn.shift}`
}

function address(insn: LoadStore): string {
  const base = name(insn.rn)
  const offset = insn.rm === NO_REGISTER ? signed(insn) : indexRegister(insn)
  if (insn.addressing === Addressing.POST_INDEX) return `[${base}], ${offset}`
  if (insn.addressing === Addressing.PRE_INDEX) return `[${base}, ${offset}]!`
  // A literal of Thumb always has its distance.
  const isShort = offset === '#0' && !(insn.set !== InstructionSet.A32 && insn.form.attributes.has('literal'))
  return isShort ? `[${base}]` : `[${base}, ${offset}]`
}

/** SIMD structures: `[r0:64]!`, `[r0], r2`. */
function structureAddress(insn: LoadStore): string {
  const alignment = insn.alignment > 1 ? `:${insn.alignment * 8}` : ''
  const base = `[${name(insn.rn)}${alignment}]`
  if (insn.addressing === Addressing.OFFSET) return base
  return insn.rm === NO_REGISTER ? `${base}!` : `${base}, ${name(insn.rm)}`
}

function structureList(insn: LoadStore): string {
  const lane = insn.lane >= 0 ? `[${insn.lane}]` : insn.form.attributes.has('replicate') ? '[]' : ''
  const registers = Array.from({ length: insn.list }, (_, index) => {
    const doubled = insn.form.attributes.has('doubled')
    return `d${(insn.rt + index * (doubled ? 1 : insn.step)) & 31}${lane}`
  })
  return `{${registers.join(', ')}}`
}

const registerList = (list: number): string => {
  const names = REGISTERS.filter((_register, number) => ((list >> number) & 1) !== 0)
  return `{${names.join(', ')}}`
}

function vectorList(insn: LoadStore): string {
  const letter = insn.registerSize === 4 ? 's' : 'd'
  return `{${Array.from({ length: insn.elements }, (_, index) => `${letter}${(insn.rt + index) & 31}`).join(', ')}}`
}

/** Returns the addressing mode; `ia` is omitted as the default. */
function mode(insn: LoadStore): string {
  if (!insn.subtract) return insn.start === 0 ? (insn.form.attributes.has('multiple') ? '' : 'ia') : 'ib'
  return insn.start === insn.offset ? 'db' : 'da'
}

/** The operands by their placeholders. */
const OPERANDS: Readonly<Record<string, (insn: LoadStore) => string>> = {
  address,
  literal: address,
  '!': ({ addressing }) => (addressing === Addressing.PRE_INDEX ? '!' : ''),
  '#i': ({ list }) => `#${list}`,
  registers: ({ list }) => registerList(list),
  vectors: vectorList,
  list: structureList,
  lanes: structureList,
  base: structureAddress,
  Rt: ({ rt }) => name(rt),
  Rt1: ({ rt2 }) => name(rt2),
  Ru: ({ rt2 }) => name(rt2),
  Rs: ({ rs }) => name(rs),
  Rn: ({ rn }) => name(rn),
  Rm: ({ rm }) => name(rm),
  Dt: ({ rt }) => `d${rt}`,
  // Half precision is in the single registers.
  St: ({ rt }) => `s${rt}`,
  Ht: ({ rt }) => `s${rt}`,
}

/** Text of a decoded A32 or Thumb instruction. */
export function formatLoadStoreA32(insn: LoadStore): string {
  const { form } = insn
  const bits = insn.form.registers !== 0 ? `.${insn.elementSize * 8}` : ''
  const size = form.operands.startsWith('<Ht>') ? '.16' : ''
  const mnemonic = form.mnemonic.toLowerCase().replace('<mode>', mode(insn))
  // The condition stands before the mode that vector transfers spell out.
  const start = `${mnemonic}${CONDITIONS[insn.condition]!}${bits}${size}`
  return `${start} ${form.operands.replaceAll(/<([^>]*)>/g, (_match, placeholder: string) => OPERANDS[placeholder]!(insn))}`
}
