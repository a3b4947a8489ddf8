import * as bits from './bits.ts'
import { check, checkReader } from './arguments.ts'
import { checkContext, type PagingContext, PagingMode } from './context.ts'
import { PagingError } from './errors.ts'
import { patIndex } from './memory-type.ts'
import type { TableReader } from './table-reader.ts'
import { probe } from './walk.ts'
import { WalkResult } from './walk-result.ts'

/** Rights and attributes of a mapping, for people. */
export interface Mapping {
  /** Linear address. */
  readonly linear: bigint
  /** Guest-physical address of that byte. */
  readonly gpa: number
  /** Size of the page in bytes. */
  readonly pageBytes: number
  /** Whether every entry on the way allows writes. */
  readonly writable: boolean
  /** Whether every entry on the way allows CPL 3. */
  readonly user: boolean
  /** Whether no entry on the way forbids execution. */
  readonly executable: boolean
  /** Whether the leaf is global. */
  readonly global: boolean
  /** A of the leaf. */
  readonly accessed: boolean
  /** D of the leaf. */
  readonly dirty: boolean
  /** The leaf's protection key, in long mode. */
  readonly pkey: number
  /** See {@link MAP_SHADOW_STACK}. */
  readonly shadowStack: boolean
  /** Number of the IA32_PAT field that the leaf selects: see {@link patType}. 0 without paging. */
  readonly patIndex: number
}

/** The result of {@link translate}. */
export type Translation =
  | ({ readonly kind: 'mapped' } & Mapping)
  /** A page fault with error code `pfec`; `level` is that of the entry that ended the walk, 1 being the last. */
  | { readonly kind: 'fault'; readonly linear: bigint; readonly pfec: number; readonly level: number }
  /** The reader's second level refuses the table entry at guest-physical address `tableGpa`. */
  | { readonly kind: 'second-level'; readonly linear: bigint; readonly tableGpa: number; readonly level: number }

/** An access, for people. All false: a supervisor's data read. */
export interface AccessOptions {
  /** A write. */
  readonly write?: boolean
  /** An access at CPL 3. */
  readonly user?: boolean
  /** An instruction fetch. */
  readonly fetch?: boolean
  /** See {@link ACCESS_IMPLICIT}. */
  readonly implicit?: boolean
  /** EFLAGS.AC. */
  readonly ac?: boolean
  /** See {@link ACCESS_SHADOW_STACK}. */
  readonly shadowStack?: boolean
}

/**
 * Where a linear address leads, for debuggers and tests. Sets no A or D bits.
 *
 * @param linear - 64 bits, canonical; the upper half is ignored outside long mode
 * @throws PagingError `ERR_ADDRESS` for more than 64 bits
 */
export function translate(
  context: PagingContext,
  reader: TableReader,
  linear: bigint,
  access: AccessOptions = {},
): Translation {
  checkContext(context)
  checkReader(reader)
  check.bigint('linear', linear)
  check.object('access', access)
  if (linear !== BigInt.asUintN(64, linear)) {
    throw new PagingError('ERR_ADDRESS', `linear address ${linear}: expected 64 bits, unsigned`)
  }
  const result = new WalkResult()
  const lo = Number(linear & 0xffff_ffffn)
  const hi = Number(linear >> 32n)
  const status = probe(context, reader, lo, hi, accessBits(access), result)
  if (status === bits.WALK_OK) return { kind: 'mapped', ...mapping(linear, result) }
  if (status === bits.WALK_SECOND_LEVEL) {
    return { kind: 'second-level', linear, tableGpa: result.tableGpa, level: result.level }
  }
  return { kind: 'fault', linear, pfec: result.pfec, level: result.level }
}

/** Linear addresses, canonical ones in long mode. */
export interface LinearRange {
  /** Default 0. */
  readonly start?: bigint
  /** The first address behind it; default the end of the address space. */
  readonly stop?: bigint
}

/**
 * Every present mapping, in order of linear address, rights aside; malformed entries are left out. Sets no A or D bits.
 * Each table is read when the iteration reaches it.
 *
 * @param range - restricts the result to mappings that overlap this range; the first may begin before it
 * @throws PagingError `ERR_ADDRESS` for an end that is no linear address
 */
export function* mappings(
  context: PagingContext,
  reader: TableReader,
  range: LinearRange = {},
): Generator<Mapping, void, undefined> {
  checkContext(context)
  checkReader(reader)
  check.object('range', range)
  if (range.start !== undefined) check.bigint('start', range.start)
  if (range.stop !== undefined) check.bigint('stop', range.stop)
  const result = new WalkResult()
  const open = new Opened(context)
  const end = context.mode < PagingMode.FOUR_LEVEL ? 1n << 32n : 1n << (context.mode === 4 ? 48n : 57n)
  const half = context.mode < PagingMode.FOUR_LEVEL ? end : end >> 1n
  const offset = (linear: bigint): bigint => {
    const at = linear & (end - 1n)
    if (linear === (at < half ? at : BigInt.asUintN(64, at - end))) return at
    throw new PagingError('ERR_ADDRESS', `0x${linear.toString(16)} is no linear address in this mode`)
  }
  const stop = range.stop === undefined || range.stop === 1n << 64n ? end : offset(range.stop)
  if (context.mode === PagingMode.NONE) return
  for (let at = offset(range.start ?? 0n); at < stop;) {
    // The upper half of a long-mode address space is sign-extended.
    const linear = at < half ? at : BigInt.asUintN(64, at - end)
    const lo = Number(linear & 0xffff_ffffn)
    const hi = Number(linear >> 32n)
    if (probe(open.context, reader, lo, hi, bits.ACCESS_READ, result) === bits.WALK_OK) {
      const page = BigInt(result.pageBytes)
      const inside = at % page
      at -= inside
      // Skip the page in which the range begins, unless it starts the page.
      if (inside !== 0n) continue
      yield mapping(linear, result)
      at += page
    } else {
      // A hole has the size of the missing entry's mapping.
      const span = 1n << open.shiftOf(result.level)
      at = (at / span + 1n) * span
    }
  }
}

/** A copy of a context in which rights deny nothing to a supervisor's read. */
class Opened {
  readonly context: PagingContext
  readonly #two: boolean

  constructor(context: PagingContext) {
    this.context = Object.assign(Object.create(Object.getPrototypeOf(context) as object) as PagingContext, context, {
      ...{ smap: 0, pke: 0, pks: 0 },
    })
    this.#two = context.mode === PagingMode.TWO_LEVEL
  }

  shiftOf(level: number): bigint {
    return this.#two ? (level === 2 ? 22n : 12n) : BigInt(12 + 9 * (level - 1))
  }
}

function mapping(linear: bigint, result: WalkResult): Mapping {
  return {
    linear,
    gpa: result.gpa,
    pageBytes: result.pageBytes,
    writable: (result.flags & bits.MAP_WRITABLE) !== 0,
    user: (result.flags & bits.MAP_USER) !== 0,
    executable: (result.flags & bits.MAP_NX) === 0,
    global: (result.flags & bits.MAP_GLOBAL) !== 0,
    accessed: (result.leafLo & bits.PTE_A) !== 0,
    dirty: (result.flags & bits.MAP_DIRTY) !== 0,
    pkey: result.pkey,
    shadowStack: (result.flags & bits.MAP_SHADOW_STACK) !== 0,
    patIndex: result.level === 0 ? 0 : patIndex(result.leafLo, result.level),
  }
}

function accessBits(access: AccessOptions): number {
  return (
    (access.write === true ? bits.ACCESS_WRITE : 0) |
    (access.user === true ? bits.ACCESS_USER : 0) |
    (access.fetch === true ? bits.ACCESS_FETCH : 0) |
    (access.implicit === true ? bits.ACCESS_IMPLICIT : 0) |
    (access.ac === true ? bits.ACCESS_AC : 0) |
    (access.shadowStack === true ? bits.ACCESS_SHADOW_STACK : 0)
  )
}
