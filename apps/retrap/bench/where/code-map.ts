// The machine code that V8 makes, as it tells perf of it: `--perf-basic-prof` lists all code as text, and `--perf-prof` writes
// when each piece was made as well, in the format that Linux's tools/perf/Documentation/jitdump-specification.txt describes.

/** A piece of machine code: V8's names of units are `JS:unit-INDEX-TIER`. */
export interface Code {
  readonly address: number
  readonly bytes: number
  readonly name: string
}

/** Pieces of code by address and time: V8 places new code where code lay that it has given up. */
export class CodeMap {
  /** In the order in which the code was made. */
  readonly all: readonly Code[]
  readonly #times: Float64Array
  /** Numbers of the pieces in each page, oldest first. */
  readonly #pages = new Map<number, number[]>()

  /** @param dump - what `--perf-prof` has written */
  constructor(dump: Buffer) {
    const all: Code[] = []
    const times: number[] = []
    for (const { time, ...code } of piecesOf(dump)) {
      for (let page = pageOf(code.address); page <= pageOf(code.address + code.bytes - 1); page++) {
        const pieces = this.#pages.get(page)
        if (pieces === undefined) this.#pages.set(page, [all.length])
        else pieces.push(all.length)
      }
      all.push(code)
      times.push(time)
    }
    this.all = all
    this.#times = Float64Array.from(times)
  }

  /** The name of the code that lay at an address at a time, in seconds of the host's monotonic clock; undefined without one. */
  nameAt(at: number, time: number): string | undefined {
    const found = this.#pages.get(pageOf(at))?.findLast((i) => {
      const { address, bytes } = this.all[i]!
      return at >= address && at < address + bytes && this.#times[i]! <= time
    })
    return found === undefined ? undefined : this.all[found]?.name
  }
}

const pageOf = (address: number): number => Math.floor(address / 4096)

const MAGIC = 0x4a69_5444
const CODE_LOAD = 0
/** The greatest identifier of a record: unwinding information. */
const LAST_ID = 4
/** Between two records, in 2 ** 32 ns: more than an hour. */
const LONGEST_PAUSE = 1000
/** Bytes behind a record's end in which the next one is looked for. */
const MISCOUNTED = 64
/** Bytes of a record's head, and of that of a piece of code: its name follows. */
const HEAD_BYTES = 16
const LOAD_BYTES = HEAD_BYTES + 40

function* piecesOf(dump: Buffer): Generator<Code & { readonly time: number }> {
  if (dump.length < HEAD_BYTES || dump.readUInt32LE(0) !== MAGIC) return
  let size: number
  let start = 0
  let last: number | undefined
  // The last record may be cut off.
  for (let at = dump.readUInt32LE(8); at + LOAD_BYTES <= dump.length; at += size) {
    const found = recordAt(dump, at, start, last)
    if (found === undefined) return
    at = start = found
    size = dump.readUInt32LE(at + 4)
    last = dump.readUInt32LE(at + 12)
    if (dump.readUInt32LE(at) !== CODE_LOAD) continue
    const name = dump.toString('utf8', at + LOAD_BYTES, dump.indexOf(0, at + LOAD_BYTES))
    const [time, address, bytes] = [8, 32, 40].map((field) => Number(dump.readBigUInt64LE(at + field))) as [
      number,
      number,
      number,
    ]
    yield { address, bytes, name, time: time / 1e9 }
  }
}

/**
 * Where the record lies that is expected at a place: Node 26 miscounts the sizes of some records of lines by a few bytes.
 *
 * @param before - start of the record before
 * @param last - that one's time, in 2 ** 32 ns
 */
function recordAt(dump: Buffer, at: number, before: number, last: number | undefined): number | undefined {
  const isRecord = (place: number): boolean =>
    place + HEAD_BYTES <= dump.length &&
    dump.readUInt32LE(place) <= LAST_ID &&
    dump.readUInt32LE(place + 4) >= HEAD_BYTES &&
    (last === undefined || Math.abs(dump.readUInt32LE(place + 12) - last) < LONGEST_PAUSE)
  if (isRecord(at)) return at
  for (let place = before + HEAD_BYTES; place < at + MISCOUNTED; place++) {
    if (isRecord(place) && isRecord(place + dump.readUInt32LE(place + 4))) return place
  }
  return undefined
}

/** The pieces of code that `--perf-basic-prof` has listed: address, size in hexadecimal digits, and name. */
export function listedCode(text: string): readonly Code[] {
  const lines = [...text.matchAll(/^([0-9a-f]+) ([0-9a-f]+) (.*)$/gm)]
  return lines.map(([, address = '', bytes = '', name = '']) => ({
    address: Number.parseInt(address, 16),
    bytes: Number.parseInt(bytes, 16),
    name,
  }))
}

/** Bytes of machine code of units. */
export interface UnitBytes {
  /** Of Liftoff, which compiles a unit when it is first entered. */
  readonly liftoff: number
  /** Of TurboFan, which compiles units that are entered often. */
  readonly turbofan: number
  /** The part of the units that TurboFan has compiled, by what Liftoff has made of them: from 0 to 1. */
  readonly optimized: number
}

interface Unit {
  readonly address: number
  readonly liftoff: number
  turbofan: number
}

/** Function 0 of a module is no unit, but what all units end with. */
const UNIT = /^JS:unit-[1-9]\d*-(liftoff|turbofan)$/

/** Sums the code of units up. @param codes - in the order in which they were made */
export function unitBytes(codes: Iterable<Code>): UnitBytes {
  const all: Unit[] = []
  const latest = new Map<number, Unit>()
  for (const { address, bytes, name } of codes) {
    const [, tier] = UNIT.exec(name) ?? []
    if (tier === 'liftoff') {
      const unit = { address, liftoff: bytes, turbofan: 0 }
      all.push(unit)
      latest.set(address, unit)
    } else if (tier === 'turbofan') {
      // V8 reserves memory for each module, which has one unit: what TurboFan makes of it lies behind what Liftoff has made.
      const unit = lastBefore(latest.values(), address)
      if (unit !== undefined) unit.turbofan = bytes
    }
  }
  const sum = (units: readonly Unit[], key: 'liftoff' | 'turbofan'): number =>
    units.reduce((n, unit) => n + unit[key], 0)
  const optimized = all.filter(({ turbofan }) => turbofan > 0)
  const liftoff = sum(all, 'liftoff')
  return { liftoff, turbofan: sum(all, 'turbofan'), optimized: liftoff === 0 ? 0 : sum(optimized, 'liftoff') / liftoff }
}

function lastBefore(units: Iterable<Unit>, address: number): Unit | undefined {
  let found: Unit | undefined
  for (const unit of units) {
    if (unit.address < address && (found === undefined || unit.address > found.address)) found = unit
  }
  return found
}
