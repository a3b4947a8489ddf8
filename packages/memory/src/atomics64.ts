import { WASM_PAGE_BYTES } from './layout.ts'

/**
 * 64-bit atomic operations on machine memory without a `bigint`: JavaScript's `Atomics` has no pair-of-u32 form, and a
 * page-table entry must change in one piece. All addresses are multiples of 8.
 */
export interface Atomics64 {
  /** Stores `hi:lo` atomically. */
  store(ma: number, lo: number, hi: number): void
  /** Reads 64 bits in one piece: returns the low word, as an i32; `high` returns the high word, until the next `load`. */
  load(ma: number): number
  /** See `load`. */
  high(): number
  /** 1 if the word was `expectHi:expectLo` and is now `hi:lo`, else 0 and nothing changed. */
  compareExchange(ma: number, expectLo: number, expectHi: number, lo: number, hi: number): number
}

const I32 = 0x7f
const I64_EXTEND_I32_U = 0xad
const LOCAL_GET = 0x20

/** Stack code for `(i64)local[hi] << 32 | (u32)local[lo]`. */
function pair(lo: number, hi: number): number[] {
  return [
    ...[LOCAL_GET, hi, I64_EXTEND_I32_U, 0x42, 32, 0x86], // i64.const 32; i64.shl
    ...[LOCAL_GET, lo, I64_EXTEND_I32_U, 0x84], // i64.or
  ]
}

function section(id: number, body: number[]): number[] {
  // Every section here is shorter than 128 bytes, so its length takes one LEB128 byte.
  return [id, body.length, ...body]
}

/** @param locals - encoded groups of locals */
function functionBody(code: number[], locals: number[] = [0]): number[] {
  return [code.length + locals.length + 1, ...locals, ...code, 0x0b]
}

function name(text: string): number[] {
  return [text.length, ...[...text].map((letter) => letter.charCodeAt(0))]
}

function moduleBytes(shared: boolean): Uint8Array<ArrayBuffer> {
  // limits: flags (1 = has a maximum, 2 = shared), minimum 1 page, maximum 65536 pages.
  const limits = [shared ? 3 : 1, 1, 0x80, 0x80, 0x04]
  const store = [LOCAL_GET, 0, ...pair(1, 2), 0xfe, 0x18, 3, 0] // i64.atomic.store
  const exchange = [
    ...[LOCAL_GET, 0, ...pair(1, 2), ...pair(3, 4)],
    ...[0xfe, 0x49, 3, 0], // i64.atomic.rmw.cmpxchg
    ...[...pair(1, 2), 0x51], // i64.eq
  ]
  const load = [
    ...[LOCAL_GET, 0, 0xfe, 0x11, 3, 0, 0x22, 1], // i64.atomic.load; local.tee 1
    ...[0x42, 32, 0x88, 0xa7, 0x24, 0], // i64.const 32; i64.shr_u; i32.wrap_i64; global.set 0
    ...[LOCAL_GET, 1, 0xa7], // i32.wrap_i64
  ]
  const high = [0x23, 0] // global.get 0
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [
      ...[4, 0x60, 3, I32, I32, I32, 0, 0x60, 5, I32, I32, I32, I32, I32, 1, I32],
      ...[0x60, 1, I32, 1, I32, 0x60, 0, 1, I32],
    ]),
    ...section(2, [1, ...name('m'), ...name('m'), 2, ...limits]),
    ...section(3, [4, 0, 1, 2, 3]),
    ...section(6, [1, I32, 1, 0x41, 0, 0x0b]), // a mutable i32, 0
    ...section(7, [
      ...[4, ...name('store'), 0, 0, ...name('compareExchange'), 0, 1],
      ...[...name('load'), 0, 2, ...name('high'), 0, 3],
    ]),
    ...section(10, [
      ...[4, ...functionBody(store), ...functionBody(exchange)],
      ...[...functionBody(load, [1, 1, 0x7e]), ...functionBody(high)],
    ]),
  ])
}

/** Compiled once per kind of memory and thread; an instance per machine is cheap. */
const modules: { plain?: WebAssembly.Module; shared?: WebAssembly.Module } = {}

/** Makes the operations for one memory, which must declare a maximum. */
export function atomics64(memory: WebAssembly.Memory, shared: boolean): Atomics64 {
  const kind = shared ? 'shared' : 'plain'
  const module = (modules[kind] ??= new WebAssembly.Module(moduleBytes(shared)))
  const instance = new WebAssembly.Instance(module, { m: { m: memory } })
  return instance.exports as unknown as Atomics64
}

/** Pages a memory of `bytes` has. */
export function wasmPages(bytes: number): number {
  return Math.ceil(bytes / WASM_PAGE_BYTES)
}
