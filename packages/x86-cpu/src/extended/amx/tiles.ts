import { R_INDEX, R_SCALE } from '../../state/record.ts'
import * as S from '../../state/state-layout.ts'
import { STATUS_CONTINUE, STATUS_DONE, STATUS_FAULT } from '../../state/state-layout.ts'
import { VECTOR_GP } from '../../state/vectors.ts'
import { locateIndexed, startElements } from '../../system/element-address.ts'
import { requireFeatures } from '../../system/fpu/fpu-state.ts'
import { gated, locating, registerOffset, type Gate, type Handler } from '../../system/operands.ts'
import { Abandon, type System } from '../../system/system.ts'
import { C_ROWS, C_ROW_BYTES, C_START_ROW, ROW_BYTES, ROWS, TILES, isTileConfiguration } from './tile-configuration.ts'

/**
 * The tiles of AMX: configuration, loads and stores; and the checks of all instructions on tiles.
 *
 * Source: SDM vol. 1, "Programming with Intel AMX"; vol. 2A, "Intel AMX Instruction Exception Classes", and the pages of LDTILECFG,
 * STTILECFG, TILELOADD, TILERELEASE, TILESTORED and TILEZERO.
 */

export const TILE_BYTES: number = ROWS * ROW_BYTES
const CONFIGURATION_BYTES = 64
const XCR0_TILEDATA = 1 << 18

const requireTiles: Gate = (s) => {
  if (s.get(S.S_TILE_GATE) !== 0) s.undefinedOpcode()
}

/** Of instructions that look at tiles; LDTILECFG, STTILECFG and TILERELEASE do not care about IA32_XFD. */
export const requireTileData: Gate = (s) => {
  requireTiles(s)
  requireFeatures(s, XCR0_TILEDATA)
}

/** A tile that an instruction names. */
export interface Tile {
  /** State offset. */
  readonly at: number
  readonly rows: number
  /** Bytes of a row. */
  readonly bytes: number
}

/** The tile of operand `i`. @throws #UD for a tile that is not configured, and unless its rows are of whole doublewords */
export function tileOf(s: System, record: number, i: number, isWhole: boolean): Tile {
  const at = registerOffset(s, record, i)
  const number = (at - S.S_TMM) / TILE_BYTES
  const rows = s.u8[S.S_TILECFG + C_ROWS + number]!
  const bytes = s.u8[S.S_TILECFG + C_ROW_BYTES + 2 * number]!
  if (rows === 0 || (isWhole && bytes % 4 !== 0)) s.undefinedOpcode()
  return { at, rows, bytes }
}

function setStartRow(s: System, row: number): void {
  s.u8[S.S_TILECFG + C_START_ROW] = row
}

/** Ends an instruction that has read all that it wants of a tile. */
export const endTile = (s: System): void => setStartRow(s, 0)

/** Ends an instruction that has written `rows` rows of a tile: what lies above them becomes zeros. */
export function finishTile(s: System, { at, rows }: Tile): number {
  s.u8.fill(0, at + rows * ROW_BYTES, at + TILE_BYTES)
  setStartRow(s, 0)
  return STATUS_DONE
}

function clearTiles(s: System): void {
  s.u8.fill(0, S.S_TILECFG, S.S_TILECFG + CONFIGURATION_BYTES)
  s.u8.fill(0, S.S_TMM, S.S_TMM + TILES * TILE_BYTES)
}

const block = new Uint8Array(CONFIGURATION_BYTES)
const blockWords = new Uint32Array(block.buffer)

const ldtilecfg: Handler = (s) => {
  const [lo, hi] = [s.get(S.S_EA), s.get(S.S_EA + 4)]
  for (let at = 0; at < CONFIGURATION_BYTES; at += 8) {
    blockWords[at >> 2] = s.readAt(lo, hi, at, 8)
    blockWords[(at >> 2) + 1] = s.hi
  }
  if (!isTileConfiguration(block)) s.raise(VECTOR_GP, 0)
  clearTiles(s)
  if (block[0] !== 0) s.u8.set(block, S.S_TILECFG)
  return STATUS_DONE
}

const sttilecfg: Handler = (s) => {
  const [lo, hi] = [s.get(S.S_EA), s.get(S.S_EA + 4)]
  for (let at = 0; at < CONFIGURATION_BYTES; at += 8) {
    const from = S.S_TILECFG + at
    s.write((lo + at) >>> 0, s.carryHi(lo, hi, at), 8, s.get(from), s.get(from + 4), 0)
  }
  s.commit()
  return STATUS_DONE
}

const tilerelease: Handler = (s) => {
  clearTiles(s)
  return STATUS_DONE
}

const tilezero: Handler = (s, record) => finishTile(s, { ...tileOf(s, record, 0, false), rows: 0 })

/** Row number times the index register, 64 bits, and by how much it changes from row to row. */
const stride = { lo: 0, hi: 0, byLo: 0, byHi: 0 }

function addStride(lo: number, hi: number): void {
  const sum = stride.lo + lo
  stride.lo = sum >>> 0
  stride.hi = (stride.hi + hi + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
}

/** Starts on the rows from one on. The address of the operand has the index already: that is the address of row 1. */
function startRows(s: System, record: number, row: number): void {
  const index = s.cpu.memory.u16[(record + R_INDEX) >>> 1]!
  startElements(s, record)
  stride.byLo = s.get(index)
  stride.byHi = s.get(index + 4)
  stride.lo = -stride.byLo >>> 0
  stride.hi = (~stride.byHi + (stride.byLo === 0 ? 1 : 0)) >>> 0
  for (let i = 0; i < row; i++) addStride(stride.byLo, stride.byHi)
}

/** Calls `access` for each part of a row, of 8 bytes or of 4. */
function eachPart(
  s: System,
  record: number,
  { bytes }: Tile,
  access: (lo: number, hi: number, size: number, at: number) => void,
): void {
  const scale = s.cpu.memory.u8[record + R_SCALE]!
  locateIndexed(s, record, stride.lo, stride.hi, scale, bytes)
  const [lo, hi] = [s.linLo, s.linHi]
  for (let at = 0; at < bytes; at += 8) access((lo + at) >>> 0, s.carryHi(lo, hi, at), Math.min(8, bytes - at), at)
}

/** Whether the accesses of this pass are kept in a log, so that each is made once. */
const isLogged = (s: System): boolean => s.get(S.S_LOGGED) === 1

function startRowOf(s: System, { rows }: Tile): number {
  const start = s.u8[S.S_TILECFG + C_START_ROW]!
  if (start >= rows) s.undefinedOpcode()
  return start
}

const loaded = new Uint8Array(TILE_BYTES)
const loadedWords = new Uint32Array(loaded.buffer)

/**
 * TILELOADD: rows from the start row on. A fault keeps the rows before it, and says so in the start row; so does an event that
 * has come up while a device had to be waited for.
 */
const tileload: Handler = (s, record) => {
  const tile = tileOf(s, record, 0, true)
  const start = startRowOf(s, tile)
  loaded.fill(0)
  /** Keeps the rows before one. */
  const keep = (row: number): void => {
    s.u8.set(loaded.subarray(start * ROW_BYTES), tile.at + start * ROW_BYTES)
    setStartRow(s, row)
  }
  startRows(s, record, start)
  for (let row = start; row < tile.rows; row++) {
    if (row > start && s.cpu.mayEndGather()) {
      keep(row)
      return STATUS_CONTINUE
    }
    try {
      eachPart(s, record, tile, (lo, hi, size, at) => {
        s.readElement(lo, hi, size, row * 8 + at / 8)
        const word = (row * ROW_BYTES + at) >> 2
        loadedWords[word] = s.lo
        if (size === 8) loadedWords[word + 1] = s.hi
      })
    } catch (error) {
      if (error instanceof Abandon && error.status === STATUS_FAULT) {
        // Of the row that faults nothing is there.
        loaded.fill(0, row * ROW_BYTES)
        keep(row)
      }
      throw error
    }
    addStride(stride.byLo, stride.byHi)
  }
  keep(0)
  return STATUS_DONE
}

/**
 * TILESTORED: each row is written once all of it can be. Where a device has been met, the instruction comes again for each
 * further row, so that what a device has got is never written again.
 */
const tilestore: Handler = (s, record) => {
  const tile = tileOf(s, record, 1, true)
  const start = startRowOf(s, tile)
  startRows(s, record, start)
  for (let row = start; row < tile.rows; row++) {
    if (row > start && isLogged(s)) {
      setStartRow(s, row)
      return STATUS_CONTINUE
    }
    try {
      eachPart(s, record, tile, (lo, hi, size, at) => {
        const from = tile.at + row * ROW_BYTES + at
        s.write(lo, hi, size, s.get(from), size === 8 ? s.get(from + 4) : 0, 0)
      })
      s.commit()
    } catch (error) {
      // The first row of a pass has nothing to keep; in a logged pass there is no other.
      if (row > start) setStartRow(s, row)
      throw error
    }
    addStride(stride.byLo, stride.byHi)
  }
  setStartRow(s, 0)
  return STATUS_DONE
}

export const tileHandlers: Readonly<Record<string, Handler>> = {
  LDTILECFG: gated(requireTiles, ldtilecfg),
  STTILECFG: gated(requireTiles, sttilecfg),
  TILERELEASE: gated(requireTiles, tilerelease),
  TILEZERO: gated(requireTileData, tilezero),
  TILELOADD: locating(gated(requireTileData, tileload)),
  TILELOADDT1: locating(gated(requireTileData, tileload)),
  TILELOADDRS: locating(gated(requireTileData, tileload)),
  TILELOADDRST1: locating(gated(requireTileData, tileload)),
  TILESTORED: locating(gated(requireTileData, tilestore)),
}

/** The handler of a product: `compute` writes the rows of the destination. */
export function product(compute: (s: System, to: Tile, a: Tile, b: Tile) => void): Handler {
  return gated(requireTileData, (s, record) => {
    const [to, a, b] = [tileOf(s, record, 0, true), tileOf(s, record, 1, true), tileOf(s, record, 2, true)]
    if (to.bytes !== b.bytes || to.rows !== a.rows || a.bytes !== 4 * b.rows) s.undefinedOpcode()
    compute(s, to, a, b)
    for (let row = 0; row < to.rows; row++) {
      const end = to.at + row * ROW_BYTES
      s.u8.fill(0, end + to.bytes, end + ROW_BYTES)
    }
    return finishTile(s, to)
  })
}
