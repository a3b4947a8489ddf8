import { PAGE_BYTES } from '@retrap/snapshot'
import { I32, type I64, type Label, type Local, ModuleBuilder } from '@retrap/wasm-emitter'

/** Most bytes compressed together. */
export const BLOCK_BYTES = 0x1_0000
/** Keys of the hash: a word for each of a page, and those by which the second sum is ahead. */
export const KEYS = 0x8000
export const KEY_WORDS: number = 1024 + 2
/** Address of a hash: two sums of 64 bits. */
export const HASH = 0x9800
/** The decompressed bytes, with room behind them. */
export const PLAIN = 0x1_0000
/** The compressed bytes, with room for blocks that grow. */
export const PACKED = 0x3_0000
/** The bytes to compress. */
export const OPEN = 0x5_0000
export const MEMORY_PAGES = 7

/** Address of the hash table of words. */
const TABLE = 0
const TABLE_BITS = 13
const LEAST_MATCH = 4
/** A block ends with this many literals, and its last match begins at least this far before its end. */
const LAST_LITERALS = 5
const LAST_MATCH = 12
/** After 2 to this power places without a match, the search skips places. */
const PATIENCE_BITS = 5
/** The largest value of a token's nibble: a longer length continues in further bytes. */
const LONG = 15

/** The exports of the module. */
export interface CodecExports {
  /** Compresses bytes at {@link OPEN}. @returns how many they become at {@link PACKED} */
  compress(bytes: number): number
  /** Decompresses bytes at {@link PACKED}. @returns whether they are valid and become this many, at {@link PLAIN} */
  decompress(bytes: number, expected: number): number
  /** Puts the hash of a page to {@link HASH}. */
  hash(at: number): void
}

type Builder = ReturnType<ModuleBuilder['function']>

/**
 * Makes the code that compresses blocks, and that hashes pages.
 *
 * Sources: "LZ4 Block Format Description" (Y. Collet, 2022); "UMAC: Fast and Secure Message Authentication" (J. Black
 * et al., 1999), "NH", for the hash.
 */
export function codecModule(): Uint8Array {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'codec', name: 'memory', initialPages: MEMORY_PAGES })
  const compress = module.function('compress', { params: ['i32'], result: 'i32' }, { export: true })
  writeCompress(compress)
  const decompress = module.function('decompress', { params: ['i32', 'i32'], result: 'i32' }, { export: true })
  writeDecompress(decompress)
  const hash = module.function('hash', { params: ['i32'] }, { export: true })
  writeHash(hash)
  return module.build()
}

type Word = Local<'i32'>

/** Copies 8 bytes at a time, and so up to 7 bytes too many. */
function copy(f: Builder, from: I32, to: I32, bytes: I32): void {
  f.scope(() => {
    const done = f.local('i32')
    const [source, target] = [f.let(from), f.let(to)]
    f.set(done, I32.of(0))
    f.block((end) => {
      f.loop((next) => {
        f.brIf(done.get.geU(bytes), end)
        f.store('i64.store', target.add(done.get), f.load('i64.load', source.add(done.get)))
        f.set(done, done.get.add(8))
        f.br(next)
      })
    })
  })
}

function writeCompress(f: Builder): void {
  const bytes = f.param(0, 'i32').get
  const [at, from, anchor, out, misses] = [
    f.local('i32'),
    f.local('i32'),
    f.local('i32'),
    f.local('i32'),
    f.local('i32'),
  ]
  const end = f.let(bytes.add(OPEN))
  f.memoryFill(TABLE, 0, 4 << TABLE_BITS)
  f.set(at, I32.of(OPEN))
  f.set(anchor, at.get)
  f.set(out, I32.of(PACKED))
  f.block((done) => {
    f.loop((next) => {
      // Signed, because a block may be shorter than its end needs.
      f.brIf(at.get.gtS(end.sub(LAST_MATCH)), done)
      f.scope(() => {
        const word = f.load('i32.load', at.get)
        const slot = f.let(slotOf(word))
        f.set(from, f.load('i32.load', slot))
        f.store('i32.store', slot, at.get)
        f.if(from.get.eqz().or(f.loadExpression('i32.load', from.get).ne(word)), () => {
          f.set(at, at.get.add(misses.get.shrU(PATIENCE_BITS)).add(1))
          f.set(misses, misses.get.add(1))
          f.br(next)
        })
      })
      f.set(misses, I32.of(0))
      f.scope(() => {
        const past = f.local('i32')
        const distance = f.let(at.get.sub(from.get))
        f.set(past, at.get.add(LEAST_MATCH))
        extend(f, past, distance, f.let(end.sub(LAST_LITERALS)))
        // The match may extend to preceding bytes.
        f.block((whole) => {
          f.loop((before) => {
            f.brIf(at.get.leU(anchor.get).or(at.get.sub(distance).leU(OPEN)), whole)
            const same = f.load('i32.load8_u', at.get.sub(1)).eq(f.load('i32.load8_u', at.get.sub(distance).sub(1)))
            f.brIf(same.eqz(), whole)
            f.set(at, at.get.sub(1))
            f.br(before)
          })
        })
        const token = f.let(out.get)
        const length = f.let(past.get.sub(at.get).sub(LEAST_MATCH))
        writeLiterals(f, token, out, anchor.get, at.get.sub(anchor.get))
        f.store('i32.store16', out.get, distance)
        f.set(out, out.get.add(2))
        f.store('i32.store8', token, f.load('i32.load8_u', token).or(least(f, length)))
        writeLong(f, out, length)
        f.set(at, past.get)
        f.set(anchor, past.get)
        f.store('i32.store', slotOf(f.load('i32.load', at.get.sub(2))), at.get.sub(2))
      })
      f.br(next)
    })
  })
  writeLiterals(f, f.let(out.get), out, anchor.get, end.sub(anchor.get))
  f.return(out.get.sub(PACKED))
}

/** Knuth's multiplier: 2^32 by the golden ratio. */
const slotOf = (word: I32): I32 =>
  word
    .mul(0x9e37_79b1)
    .shrU(32 - TABLE_BITS)
    .shl(2)
    .add(TABLE)

/** Extends a match while bytes are equal. */
function extend(f: Builder, past: Word, distance: I32, limit: I32): void {
  f.block((found) => {
    f.block((few) => {
      f.loop((next) => {
        f.brIf(past.get.add(8).gtU(limit), few)
        const other = f.load('i64.load', past.get.sub(distance))
        const differing = f.let(f.load('i64.load', past.get).xor(other))
        f.if(differing.eqz().eqz(), () => {
          f.set(past, past.get.add(differing.ctz().shrU(3n).toI32()))
          f.br(found)
        })
        f.set(past, past.get.add(8))
        f.br(next)
      })
    })
    f.loop((next) => {
      f.brIf(past.get.geU(limit), found)
      const other = f.load('i32.load8_u', past.get.sub(distance))
      f.brIf(f.load('i32.load8_u', past.get).ne(other), found)
      f.set(past, past.get.add(1))
      f.br(next)
    })
  })
}

/** The part of a length that a token has. */
const least = (f: Builder, length: I32): I32 =>
  f.ifElse(
    'i32',
    length.ltU(LONG),
    () => length,
    () => I32.of(LONG),
  )

/** Writes the rest of a length, in bytes. */
function writeLong(f: Builder, out: Word, length: I32): void {
  f.if(length.geU(LONG), () =>
    f.scope(() => {
      const left = f.local('i32')
      f.set(left, length.sub(LONG))
      f.block((end) => {
        f.loop((next) => {
          f.store('i32.store8', out.get, I32.of(255))
          f.brIf(left.get.ltU(255), end)
          f.set(out, out.get.add(1))
          f.set(left, left.get.sub(255))
          f.br(next)
        })
      })
      f.store('i32.store8', out.get, left.get)
      f.set(out, out.get.add(1))
    }),
  )
}

function writeLiterals(f: Builder, token: I32, out: Word, from: I32, count: I32): void {
  f.scope(() => {
    const length = f.let(count)
    f.store('i32.store8', token, least(f, length).shl(4))
    f.set(out, out.get.add(1))
    writeLong(f, out, length)
    copy(f, from, out.get, length)
    f.set(out, out.get.add(length))
  })
}

function writeDecompress(f: Builder): void {
  const [bytes, expected] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
  const [at, out] = [f.local('i32'), f.local('i32')]
  const end = f.let(bytes.add(PACKED))
  const full = f.let(expected.add(PLAIN))
  f.set(at, I32.of(PACKED))
  f.set(out, I32.of(PLAIN))
  f.block((invalid) => {
    f.loop((next) => {
      f.brIf(at.get.geU(end), invalid)
      f.scope(() => {
        const token = f.load('i32.load8_u', at.get)
        f.set(at, at.get.add(1))
        const literals = readLong(f, at, end, token.shrU(4), invalid)
        f.brIf(literals.gtU(end.sub(at.get)).or(literals.gtU(full.sub(out.get))), invalid)
        copy(f, at.get, out.get, literals)
        f.set(at, at.get.add(literals))
        f.set(out, out.get.add(literals))
        f.if(at.get.eq(end), () => f.return(out.get.eq(full)))
        f.brIf(end.sub(at.get).ltU(2), invalid)
        const distance = f.load('i32.load16_u', at.get)
        f.set(at, at.get.add(2))
        f.brIf(distance.eqz().or(distance.gtU(out.get.sub(PLAIN))), invalid)
        const length = f.let(readLong(f, at, end, token.and(LONG), invalid).add(LEAST_MATCH))
        f.brIf(length.gtU(full.sub(out.get)), invalid)
        f.if(
          distance.geU(8),
          () => copy(f, out.get.sub(distance), out.get, length),
          () => repeat(f, out.get, distance, length),
        )
        f.set(out, out.get.add(length))
      })
      f.br(next)
    })
  })
  f.return(0)
}

/** The value of a length that a token begins. */
function readLong(f: Builder, at: Word, end: I32, first: I32, invalid: Label): I32 {
  const length = f.local('i32')
  f.set(length, first)
  f.if(length.get.eq(LONG), () =>
    f.scope(() => {
      const byte = f.local('i32')
      f.loop((next) => {
        f.brIf(at.get.geU(end), invalid)
        f.set(byte, f.load('i32.load8_u', at.get))
        f.set(at, at.get.add(1))
        f.set(length, length.get.add(byte.get))
        f.brIf(byte.get.eq(255), next)
      })
    }),
  )
  return length.get
}

/** Copies bytes one by one, because source and destination may overlap. */
function repeat(f: Builder, to: I32, distance: I32, bytes: I32): void {
  f.scope(() => {
    const done = f.local('i32')
    const target = f.let(to)
    f.set(done, I32.of(0))
    f.loop((next) => {
      const place = target.add(done.get)
      f.store('i32.store8', place, f.load('i32.load8_u', place.sub(distance)))
      f.set(done, done.get.add(1))
      f.brIf(done.get.ltU(bytes), next)
    })
  })
}

/** Pairs of words that one turn of the loop takes. */
const PAIRS_AT_ONCE = 8

/** NH of words in pairs, twice: the second time with keys that are two words further on. */
function writeHash(f: Builder): void {
  const page = f.param(0, 'i32').get
  const at = f.local('i32')
  const sums = [f.local('i64'), f.local('i64')] as const
  f.loop((next) => {
    f.scope(() => {
      const from = f.let(page.add(at.get))
      for (let pair = 0; pair < PAIRS_AT_ONCE; pair++)
        f.scope(() => {
          const words = [f.load('i32.load', from, 8 * pair), f.load('i32.load', from, 8 * pair + 4)] as const
          for (const [i, sum] of sums.entries()) {
            const keyed = words.map((word, j): I64 => {
              const key = f.loadExpression('i32.load', at.get, KEYS + 8 * (pair + i) + 4 * j)
              return word.add(key).toI64U()
            })
            f.set(sum, sum.get.add(keyed[0]!.mul(keyed[1]!)))
          }
        })
    })
    f.set(at, at.get.add(8 * PAIRS_AT_ONCE))
    f.brIf(at.get.ltU(PAGE_BYTES), next)
  })
  for (const [i, sum] of sums.entries()) f.store('i64.store', 0, sum.get, HASH + 8 * i)
}
