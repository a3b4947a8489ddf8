import { I32, I64 } from '@retrap/wasm-emitter'
import * as S from '../state/state-layout.ts'
import { flagParts } from './flag-parts.ts'
import { choose, signExtend, zeroExtend } from './integer.ts'
import type { Context, Semantics, SemanticsTable } from './context.ts'

/** Data movement. Source: Intel SDM vol. 2, the pages of each instruction. */

const RAX = 0
const RCX = 1
const RDX = 2
const RBX = 3

/** Condition suffixes in opcode order. */
export const CONDITIONS = [
  'O',
  'NO',
  'B',
  'AE',
  'E',
  'NE',
  'BE',
  'A',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'GE',
  'LE',
  'G',
] as const

function reverseBytes(value: I64, size: number): I64 {
  if (size === 2) return value.shl(8).and(0xff00).or(value.shrU(8).and(0xff))
  const swapped = value.and(0x00ff_00ff_00ff_00ffn).shl(8).or(value.shrU(8).and(0x00ff_00ff_00ff_00ffn))
  return swapped
}

/** BSWAP of a 16-bit register is undefined; as processors do, it gives zero. */
function byteSwap(c: Context, value: I64, size: number): I64 {
  if (size === 2) return reverseBytes(value, 2)
  const bytes = c.let(reverseBytes(value, size))
  const words = c.let(bytes.and(0x0000_ffff_0000_ffffn).shl(16).or(bytes.shrU(16).and(0x0000_ffff_0000_ffffn)))
  return size === 4 ? words : words.rotl(32)
}

function exchange(c: Context): void {
  // The memory operand, if any, is the one that is translated; a register comes last.
  const memory = c.kindOf(1) === 'mem' ? 1 : 0
  const other = 1 - memory
  const incoming = c.readS(other)
  let old = I64.of(0)
  c.modify(memory, (value) => {
    old = c.let(value)
    return incoming
  })
  c.write(other, old)
}

function exchangeAdd(c: Context): void {
  const size = c.sizeOf(0)
  const b = c.readS(1)
  let a = I64.of(0)
  let result = I64.of(0)
  c.modify(0, (old) => {
    a = c.let(old)
    result = c.let(signExtend(a.add(b), size))
    return result
  })
  // With equal registers the sum wins, so that the source is written first.
  if (c.kindOf(0) === 'reg') {
    c.write(1, a)
    c.write(0, result)
  } else c.write(1, a)
  c.flagsAdd(a, b, result)
}

function compareExchange(c: Context): void {
  const size = c.sizeOf(0)
  const expected = c.gprS(RAX, size)
  const source = c.readS(1)
  let old = I64.of(0)
  if (c.kindOf(0) === 'reg') {
    old = c.readS(0)
    // A 32-bit register that differs keeps its upper half: the write of SDM vol. 2A, CMPXCHG, is the bus cycle of memory.
    c.f.if(old.eq(expected), () => c.write(0, source))
  } else {
    c.modify(0, (value) => {
      old = c.let(value)
      return choose(old.eq(expected), source, old)
    })
  }
  const result = c.let(signExtend(expected.sub(old), size))
  // Equal: the accumulator stays as it is, upper half included.
  c.f.if(old.ne(expected), () => c.setGpr(RAX, size, old))
  c.flagsSub(expected, old, result)
}

function compareExchangePair(c: Context, half: 4 | 8): void {
  const f = c.f
  const ea = c.address(0, 2 * half)
  if (half === 8) c.requireAligned(ea, 16)
  const wide = half === 8
  const low = c.gprU(RAX, half)
  const high = c.gprU(RDX, half)
  const equal = f.local('i32')
  const oldLow = f.local('i64')
  const oldHigh = f.local('i64')
  if (wide) {
    c.modifyPair(ea, (lowHalf, highHalf) => {
      f.set(oldLow, lowHalf)
      f.set(oldHigh, highHalf)
      f.set(equal, lowHalf.eq(low).and(highHalf.eq(high)))
      return [choose(equal.get, c.gprU(RBX, 8), lowHalf), choose(equal.get, c.gprU(RCX, 8), highHalf)]
    })
  } else {
    c.modifyMemory(ea, 8, (old) => {
      const expected = c.let(high.shl(32).or(low))
      const desired = c.gprU(RCX, 4).shl(32).or(c.gprU(RBX, 4))
      f.set(oldLow, old)
      f.set(equal, old.eq(expected))
      return choose(equal.get, desired, old)
    })
    f.set(oldHigh, oldLow.get.shrU(32))
  }
  f.if(equal.get.eqz(), () => {
    c.setGpr(RAX, half, oldLow.get)
    c.setGpr(RDX, half, oldHigh.get)
  })
  c.changeFlags({
    written: S.FLAG_ZF,
    from: [equal.get.toI64U()],
    flags: (isEqual: I64) => ({ zero: isEqual.toI32() }),
  })
}

function conditional(prefix: string, make: (code: number) => Semantics): SemanticsTable {
  return Object.fromEntries(CONDITIONS.map((suffix, code) => [`${prefix}${suffix}`, make(code)]))
}

/** AH as a number. */
function readAh(c: Context): I64 {
  return c.f.load('i64.load8_u', c.state, S.S_GPR + 1)
}

const setDirection = (set: boolean): Semantics => ({
  emit: (c) => {
    const flags = c.f.load('i32.load', c.state, S.S_EFLAGS)
    c.f.store('i32.store', c.state, set ? flags.or(S.FLAG_DF) : flags.and(~S.FLAG_DF), S.S_EFLAGS)
  },
})

/** The accumulator's size decides: CBW CWDE CDQE. */
const widen = (from: number): Semantics => ({ emit: (c) => c.setGpr(RAX, from * 2, c.gprS(RAX, from)) })
/** CWD CDQ CQO. */
const spread = (size: number): Semantics => ({ emit: (c) => c.setGpr(RDX, size, c.gprS(RAX, size).shrS(63)) })

const nothing: Semantics = { emit: () => undefined }

export const move: SemanticsTable = {
  MOV: { direct: true, emit: (c) => c.write(0, c.readS(1)) },
  MOVNTI: { direct: true, emit: (c) => c.write(0, c.readS(1)) },
  MOVZX: { direct: true, emit: (c) => c.write(0, c.readU(1)) },
  MOVSX: { direct: true, emit: (c) => c.write(0, c.readS(1)) },
  MOVSXD: { direct: true, emit: (c) => c.write(0, c.readS(1)) },
  LEA: {
    emit: (c) => c.write(0, c.offset()),
  },
  XCHG: { emit: exchange },
  XADD: { emit: exchangeAdd },
  CMPXCHG: { emit: compareExchange },
  CMPXCHG8B: { emit: (c) => compareExchangePair(c, 4) },
  CMPXCHG16B: { emit: (c) => compareExchangePair(c, 8) },
  BSWAP: {
    emit: (c) => {
      const size = c.sizeOf(0)
      c.write(0, size === 2 ? I64.of(0) : size === 4 ? byteSwap(c, c.readU(0), 4) : byteSwap(c, c.readU(0), 8))
    },
  },
  MOVBE: { direct: true, emit: (c) => c.write(0, byteSwap(c, c.readU(1), c.sizeOf(1))) },
  ...conditional('SET', (code) => ({ direct: true, emit: (c) => c.write(0, c.condition(code).toI64U()) })),
  ...conditional('CMOV', (code) => ({
    direct: true,
    // The source is always read; a 32-bit destination is always zero-extended.
    emit: (c) => {
      const source = c.readS(1)
      c.write(0, choose(c.condition(code), source, c.readS(0)))
    },
  })),
  CBW: widen(1),
  CWDE: widen(2),
  CDQE: widen(4),
  CWD: spread(2),
  CDQ: spread(4),
  CQO: spread(8),
  LAHF: { emit: (c) => c.setGpr(RAX, 1, c.allFlags().and(0xd5).or(2).toI64U(), true) },
  SAHF: {
    emit: (c) => {
      c.changeFlags({
        written: S.FLAG_SF | S.FLAG_ZF | S.FLAG_AF | S.FLAG_PF | S.FLAG_CF,
        from: [c.let(readAh(c))],
        flags: (ah: I64) => flagParts(S.FLAGS_EXPLICIT, I64.of(0), ah, ah.and(S.FLAG_ZF).eqz().toI64U()),
      })
    },
  },
  STC: { emit: (c) => c.changeFlags({ written: S.FLAG_CF, from: [], flags: () => ({ carry: I32.of(1) }) }) },
  CLC: { emit: (c) => c.changeFlags({ written: S.FLAG_CF, from: [], flags: () => ({}) }) },
  CMC: {
    emit: (c) => {
      const from = [c.let(c.carry().toI64U())]
      c.changeFlags({ written: S.FLAG_CF, from, flags: (carry: I64) => ({ carry: carry.toI32().xor(1) }) })
    },
  },
  STD: setDirection(true),
  CLD: setDirection(false),
  SALC: { emit: (c) => c.setGpr(RAX, 1, I64.of(0).sub(c.carry().toI64U())) },
  XLATB: {
    direct: true,
    emit: (c) => c.setGpr(RAX, 1, c.readXlat()),
  },
  NOP: nothing,
  ENDBR64: nothing,
  ENDBR32: nothing,
  PREFETCH: nothing,
  PREFETCHW: nothing,
  PREFETCHNTA: nothing,
  PREFETCHT0: nothing,
  PREFETCHT1: nothing,
  PREFETCHT2: nothing,
  LFENCE: nothing,
  SFENCE: nothing,
  // A fence is dearer: an atomic operation on a word of the processor's own orders as much (SDM vol. 3A, 10.2.2).
  MFENCE: { emit: (c) => void c.f.atomic('i32.atomic.rmw.or', c.state, [I32.of(0)]) },
  // Caches are coherent with everything here; only the access rights of the line are checked.
  CLFLUSH: { direct: true, emit: (c) => c.probeRead(0) },
  CLFLUSHOPT: { direct: true, emit: (c) => c.probeRead(0) },
  CLWB: { direct: true, emit: (c) => c.probeRead(0) },
}

/** The count of a shift or an immediate operand as i32, not masked. */
export function countOf(c: Context, i: number): I32 {
  return c.let(zeroExtend(c.readU(i), 1).toI32())
}
