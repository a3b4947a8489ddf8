// The machine code that V8 has made of units, from the file in which V8 names all code for perf (`--perf-basic-prof`).

/** Bytes of machine code of units. */
export interface UnitBytes {
  /** Of Liftoff, which compiles a unit when it is first entered. */
  readonly liftoff: number
  /** Of TurboFan, which compiles units that are entered often. */
  readonly turbofan: number
  /** The part of the units that TurboFan has compiled, by what Liftoff has made of them: from 0 to 1. */
  readonly optimized: number
}

interface Code {
  readonly address: number
  readonly liftoff: number
  turbofan: number
}

/** Address and size, in hexadecimal digits; function 0 of a module is no unit, but what all units end with. */
const LINE = /^([0-9a-f]+) ([0-9a-f]+) JS:unit-[1-9]\d*-(liftoff|turbofan)$/

/** Reads V8's lines in the order in which they were written: code that was given up has left its addresses to later code. */
export function unitBytes(lines: Iterable<string>): UnitBytes {
  const all: Code[] = []
  const latest = new Map<number, Code>()
  for (const line of lines) {
    const [, at = '', size = '', tier] = LINE.exec(line) ?? []
    const [address, bytes] = [Number.parseInt(at, 16), Number.parseInt(size, 16)]
    if (tier === 'liftoff') {
      const code = { address, liftoff: bytes, turbofan: 0 }
      all.push(code)
      latest.set(address, code)
    } else if (tier === 'turbofan') {
      // V8 reserves memory for each module, which has one unit: what TurboFan makes of it lies behind what Liftoff has made.
      const code = lastBefore(latest.values(), address)
      if (code !== undefined) code.turbofan = bytes
    }
  }
  const sum = (codes: readonly Code[], key: 'liftoff' | 'turbofan'): number =>
    codes.reduce((n, code) => n + code[key], 0)
  const optimized = all.filter(({ turbofan }) => turbofan > 0)
  const liftoff = sum(all, 'liftoff')
  return { liftoff, turbofan: sum(all, 'turbofan'), optimized: liftoff === 0 ? 0 : sum(optimized, 'liftoff') / liftoff }
}

function lastBefore(codes: Iterable<Code>, address: number): Code | undefined {
  let found: Code | undefined
  for (const code of codes) {
    if (code.address < address && (found === undefined || code.address > found.address)) found = code
  }
  return found
}
