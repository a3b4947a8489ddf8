import { I32, I64 } from '@retrap/wasm-emitter'
import { FLAGS_ARITHMETIC, FLAG_CF, FLAG_ZF } from '../state/state-layout.ts'
import { choose, flagBit, signExtend, zeroExtend } from './integer.ts'
import { type Context, direct, type SemanticsTable } from './context.ts'

/** Bit tests, scans, counts, BMI1, BMI2 and CRC32. Source: Intel SDM vol. 2, the pages of each instruction. */

/**
 * BT and its companions. A register bit index moves the memory operand: by the index's whole operand-sized units, signed.
 * Only CF changes.
 */
function bitTest(c: Context, change: ((old: I64, mask: I64) => I64) | undefined): void {
  const size = c.sizeOf(0)
  const bits = 8 * size
  const index = c.readS(1)
  const mask = c.let(I64.of(1).shl(index.and(bits - 1)))
  let old = I64.of(0)
  if (c.kindOf(0) === 'mem') {
    const unit = c.kindOf(1) === 'imm' ? I64.of(0) : index.shrS(Math.log2(bits)).mul(size)
    const ea = c.displacedAddress(0, unit)
    if (change === undefined) old = c.loadInteger(ea, size)
    else {
      c.modifyMemory(ea, size, (value) => {
        old = c.let(value)
        return change(old, mask)
      })
    }
  } else {
    old = c.readS(0)
    if (change !== undefined) c.write(0, change(old, mask))
  }
  c.changeFlags({
    written: FLAG_CF,
    from: [old, mask],
    flags: (value: I64, bit: I64) => ({ carry: value.and(bit).ne(0) }),
  })
}

/** BSF and BSR: a zero source sets ZF and leaves the destination as it is. */
function scan(c: Context, forward: boolean): void {
  const source = c.readU(1)
  const position = forward ? source.ctz() : I64.of(63).sub(source.clz())
  const zero = c.let(source.eqz())
  c.f.if(zero.eqz(), () => c.write(0, position))
  // Only ZF is defined; PF follows the result's low byte on current processors, and the rest is clear.
  c.flagsResult(c.let(choose(zero, I64.of(0), I64.of(1))), I64.of(0))
}

/** TZCNT, LZCNT: CF for a zero source, ZF for a zero result, others undefined. */
function countZeros(c: Context, leading: boolean): void {
  const size = c.sizeOf(0)
  const bits = 8 * size
  const source = c.readU(1)
  const count = c.let(
    leading ? source.clz().sub(64 - bits) : bits === 64 ? source.ctz() : source.or(1n << BigInt(bits)).ctz(),
  )
  c.write(0, count)
  c.changeFlags({
    written: FLAGS_ARITHMETIC,
    from: [source, count],
    flags: (x: I64, zeros: I64) => ({ carry: x.eqz(), zero: zeros.eqz() }),
  })
}

/** BLSR, BLSMSK, BLSI: (result, CF from the source). */
function lowestBit(c: Context, operation: (x: I64) => I64, carryIfZero: boolean): void {
  const size = c.sizeOf(0)
  const source = c.readS(1)
  const result = c.let(signExtend(operation(source), size))
  c.write(0, result)
  c.changeFlags({
    written: FLAGS_ARITHMETIC,
    result,
    from: [source],
    flags: (x: I64) => ({ carry: carryIfZero ? x.eqz() : x.ne(0) }),
  })
}

/** Deposits (`spread`) or extracts bits by a mask, one mask bit a round. */
function bitScatter(c: Context, spread: boolean): void {
  const f = c.f
  const source = c.readU(1)
  const mask = f.local('i64')
  f.set(mask, c.readU(2))
  const result = f.local('i64')
  const position = f.local('i64')
  f.set(result, I64.of(0))
  f.set(position, I64.of(0))
  f.block((done) => {
    f.loop((next) => {
      f.brIf(mask.get.eqz(), done)
      const lowest = f.let(mask.get.and(I64.of(0).sub(mask.get)))
      if (spread) {
        f.if(source.shrU(position.get).and(1).toI32(), () => f.set(result, result.get.or(lowest)))
      } else {
        f.set(result, result.get.or(source.and(lowest).ne(0).toI64U().shl(position.get)))
      }
      f.set(position, position.get.add(1))
      f.set(mask, mask.get.xor(lowest))
      f.br(next)
    })
  })
  c.write(0, result.get)
}

function bitFieldExtract(c: Context): void {
  const size = c.sizeOf(0)
  const source = c.readU(1)
  const control = c.readU(2)
  const start = c.let(control.and(0xff))
  const length = c.let(control.shrU(8).and(0xff))
  // 64-bit shifts wrap at 64: larger starts and lengths are handled apart.
  const shifted = c.let(choose(start.gtU(63), I64.of(0), source.shrU(start)))
  const mask = choose(length.gtU(63), I64.of(-1n), I64.of(1).shl(length).sub(1))
  const result = c.let(signExtend(shifted.and(mask), size))
  c.write(0, result)
  c.flagsResult(result, I64.of(0))
}

function zeroHighBits(c: Context): void {
  const size = c.sizeOf(0)
  const bits = 8 * size
  const source = c.readU(1)
  const index = c.let(c.readU(2).and(0xff))
  const saturated = c.let(index.gtU(bits - 1))
  const mask = choose(index.gtU(63), I64.of(-1n), I64.of(1).shl(index).sub(1))
  const result = c.let(signExtend(source.and(mask), size))
  c.write(0, result)
  c.flagsResult(result, saturated.toI64U())
}

/** CRC-32C, reflected polynomial 82F63B78h: one bit a round. */
function crc32(c: Context): void {
  const f = c.f
  const size = c.sizeOf(1)
  const crc = f.local('i64')
  f.set(crc, zeroExtend(c.readU(0), 4).xor(zeroExtend(c.readU(1), size)))
  const round = f.local('i32')
  f.set(round, I32.of(8 * size))
  f.loop((next) => {
    f.set(crc, crc.get.shrU(1).xor(I64.of(0).sub(crc.get.and(1)).and(0x82f6_3b78n)))
    f.set(round, round.get.sub(1))
    f.brIf(round.get, next)
  })
  // A 64-bit source has run through the 32 bits above the checksum: what is left is the checksum itself.
  c.write(0, zeroExtend(crc.get, 4))
}

export const bitOperations: SemanticsTable = {
  BT: { direct: true, emit: (c) => bitTest(c, undefined) },
  BTS: { emit: (c) => bitTest(c, (old, mask) => old.or(mask)) },
  BTR: { emit: (c) => bitTest(c, (old, mask) => old.and(mask.xor(-1n))) },
  BTC: { emit: (c) => bitTest(c, (old, mask) => old.xor(mask)) },
  BSF: { direct: true, emit: (c) => scan(c, true) },
  BSR: { direct: true, emit: (c) => scan(c, false) },
  TZCNT: { direct: true, emit: (c) => countZeros(c, false) },
  LZCNT: { direct: true, emit: (c) => countZeros(c, true) },
  POPCNT: direct((c) => {
    const source = c.readU(1)
    c.write(0, source.popcnt())
    c.flagsExplicit(flagBit(source.eqz(), FLAG_ZF))
  }),
  ANDN: direct((c) => {
    const result = c.let(c.readS(1).xor(-1n).and(c.readS(2)))
    c.write(0, result)
    c.flagsLogic(result)
  }),
  BLSR: { direct: true, emit: (c) => lowestBit(c, (x) => x.and(x.sub(1)), true) },
  BLSMSK: { direct: true, emit: (c) => lowestBit(c, (x) => x.xor(x.sub(1)), true) },
  BLSI: { direct: true, emit: (c) => lowestBit(c, (x) => x.and(I64.of(0).sub(x)), false) },
  BEXTR: { direct: true, emit: bitFieldExtract },
  BZHI: { direct: true, emit: zeroHighBits },
  PDEP: { direct: true, emit: (c) => bitScatter(c, true) },
  PEXT: { direct: true, emit: (c) => bitScatter(c, false) },
  CRC32: { direct: true, emit: crc32 },
}
