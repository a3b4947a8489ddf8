import { I32, I64, select } from '@retrap/wasm-emitter'
import {
  convert,
  FE_INVALID,
  raiseFlags,
  ROUND_ZERO,
  roundingMode,
  toInteger,
  toNearestInteger,
  unpackInteger,
  unpackUnsigned,
} from '@retrap/soft-float'
import { F_FLAGS, SLOT_A } from '../../semantics/float-scratch.ts'
import type { Semantics, SemanticsTable } from '../../semantics/context.ts'
import { bitsOf, finished, packed, scalar, unpackTo, type Format, type Operation, type Row } from './float-rows.ts'
import { PACKED, SCALAR } from './floats.ts'
import type { Width } from './integers.ts'

/**
 * AVX-512's own conversions of numbers.
 *
 * Source: Intel SDM vol. 2C, the pages of each instruction; Intel "Advanced Vector Extensions 10.2 Architecture
 * Specification" for those with saturation.
 */

/** Integers by the letters of names. */
const INTEGERS: Readonly<Record<string, readonly [bits: Width, isSigned: boolean]>> = {
  W: [16, true],
  UW: [16, false],
  DQ: [32, true],
  UDQ: [32, false],
  QQ: [64, true],
  UQQ: [64, false],
}

type Kind = 'signed' | 'unsigned' | 'saturated' | 'saturated unsigned'

/** A number as an integer of so many bits. A number without such an integer becomes the indefinite one, or the nearest. */
function integer(kind: Kind, bits: Width, isTruncated: boolean) {
  return (o: Operation): I64 => {
    const { c, f, state } = o
    unpackTo(o, 0, o.values[0]!)
    const mode = isTruncated ? I32.of(ROUND_ZERO) : roundingMode(c, f, state)
    const size = I32.of(bits)
    if (kind === 'signed') return f.call(toInteger(c), state, size, mode)
    const isUnsigned = I32.of(kind === 'saturated' ? 0 : 1)
    if (kind !== 'unsigned') return f.call(toNearestInteger(c), state, size, mode, isUnsigned)
    const before = f.load('i32.load', state, F_FLAGS)
    f.store('i32.store', state, I32.of(0), F_FLAGS)
    const value = f.let(f.call(toNearestInteger(c), state, size, mode, isUnsigned))
    const isBad = f.let(f.loadExpression('i32.load', state, F_FLAGS).and(FE_INVALID))
    raiseFlags(c, f, state, before)
    return select(isBad, I64.of(-1), value)
  }
}

/** An integer as a number. */
function fromInteger(isSigned: boolean, bits: Width) {
  return (o: Operation): I64 => {
    const { c, f, state } = o
    const [given] = o.values as [I64]
    const value = !isSigned ? given : bits === 16 ? given.extend16S() : bits === 32 ? given.extend32S() : given
    f.call(isSigned ? unpackInteger(c) : unpackUnsigned(c), state, state.add(SLOT_A), value)
    f.call(convert(c), state)
    return finished(o)
  }
}

/** A number in another format. */
function toFormat(from: Format) {
  return (o: Operation): I64 => {
    unpackTo(o, 0, o.values[0]!, from)
    o.f.call(convert(o.c), o.state)
    return finished(o)
  }
}

function row(name: string, from: Width, to: Width, format: Format, build: (o: Operation) => I64): Row {
  return { name, format, sources: [[1, from]], to, isQuiet: format === 'brain', build }
}

/** To integers: VCVTTPS2UDQ and the others that VEX has not. */
function toIntegers(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [ending, format] of Object.entries(PACKED))
    for (const [letters, [bits, isSigned]] of Object.entries(INTEGERS))
      for (const isTruncated of [true, false]) {
        const name = `VCVT${isTruncated ? 'T' : ''}${ending}2${letters}`
        const add = (mnemonic: string, kind: Kind): void => {
          out[mnemonic] = packed(row(mnemonic, bitsOf(format), bits, format, integer(kind, bits, isTruncated)))
        }
        add(name, isSigned ? 'signed' : 'unsigned')
        if (isTruncated) add(`${name}S`, isSigned ? 'saturated' : 'saturated unsigned')
      }
  for (const name of ['VCVTPS2DQ', 'VCVTTPS2DQ', 'VCVTPD2DQ', 'VCVTTPD2DQ']) delete out[name]
  return out
}

/** Bytes in the lower parts of elements, zeros above. */
function toBytes(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [ending, format] of Object.entries(PACKED))
    for (const isTruncated of [true, false])
      for (const [letters, kind] of [
        ['IBS', 'saturated'],
        ['IUBS', 'saturated unsigned'],
      ] as const) {
        const name = `VCVT${isTruncated ? 'T' : ''}${ending}2${letters}`
        const convertOne = integer(kind, 8, isTruncated)
        const build = (o: Operation): I64 => convertOne(o).and(0xffn)
        out[name] = packed(row(name, bitsOf(format), bitsOf(format), format, build))
      }
  return out
}

/** To general registers, whose size the form has. */
function toGeneral(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [ending, format] of Object.entries(SCALAR))
    for (const isTruncated of [true, false])
      for (const [letters, isSigned] of [
        ['SI', true],
        ['USI', false],
      ] as const)
        for (const isSaturated of [true, false]) {
          if ((isSaturated && !isTruncated) || (isSigned && !isSaturated && format !== 'half')) continue
          const mnemonic = `VCVT${isTruncated ? 'T' : ''}${ending}2${letters}${isSaturated ? 'S' : ''}`
          const plain: Kind = isSigned ? 'signed' : 'unsigned'
          const kind: Kind = !isSaturated ? plain : isSigned ? 'saturated' : 'saturated unsigned'
          const ofSize = ([32, 64] as const).map((bits) =>
            scalar(row(`${mnemonic}${bits}`, bitsOf(format), bits, format, integer(kind, bits, isTruncated))),
          )
          out[mnemonic] = { emit: (c) => ofSize[c.sizeOf(0) === 8 ? 1 : 0]!.emit(c) }
        }
  return out
}

function fromIntegers(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [ending, format] of Object.entries(PACKED))
    for (const [letters, [bits, isSigned]] of Object.entries(INTEGERS)) {
      const name = `VCVT${letters}2${ending}`
      const made = row(name, bits, bitsOf(format), format, fromInteger(isSigned, bits))
      // In place of elements that a mask leaves out the source has ones, which as integers may be too large for a half.
      out[name] = packed({ ...made, isMasked: format === 'half' })
    }
  for (const name of ['VCVTDQ2PS', 'VCVTDQ2PD']) delete out[name]
  for (const [ending, format] of Object.entries(SCALAR))
    for (const [letters, isSigned] of [
      ['SI', true],
      ['USI', false],
    ] as const) {
      if (isSigned && format !== 'half') continue
      const name = `VCVT${letters}2${ending}`
      const ofSize = ([32, 64] as const).map((bits) =>
        scalar({
          ...row(`${name}${bits}`, bits, bitsOf(format), format, fromInteger(isSigned, bits)),
          sources: [[2, bits]],
        }),
      )
      out[name] = { emit: (c) => ofSize[c.sizeOf(2) === 8 ? 1 : 0]!.emit(c) }
    }
  return out
}

/** Between formats, of which one is half precision. */
function betweenFormats(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  const pairs: readonly (readonly [string, Format, Format])[] = [
    ['VCVTPH2PD', 'half', 'double'],
    ['VCVTPD2PH', 'double', 'half'],
    ['VCVTPS2PHX', 'single', 'half'],
    ['VCVTPH2PSX', 'half', 'single'],
    ['VCVTSS2SH', 'single', 'half'],
    ['VCVTSH2SS', 'half', 'single'],
    ['VCVTSD2SH', 'double', 'half'],
    ['VCVTSH2SD', 'half', 'double'],
  ]
  for (const [name, from, to] of pairs) {
    const made = row(name, bitsOf(from), bitsOf(to), to, toFormat(from))
    out[name] = name.includes('2S') ? scalar({ ...made, sources: [[2, bitsOf(from)]] }) : packed(made)
  }
  // Two vectors in one, the second source below.
  out['VCVT2PS2PHX'] = packed({
    ...row('VCVT2PS2PHX', 32, 16, 'half', toFormat('single')),
    sources: [[2, 32]],
    upper: 1,
  })
  return out
}

export const wideConversions: SemanticsTable = {
  ...toIntegers(),
  ...toBytes(),
  ...toGeneral(),
  ...fromIntegers(),
  ...betweenFormats(),
}
