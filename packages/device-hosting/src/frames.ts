import type { Clock, Word64 } from '@retrap/device'
import type { IoRequest } from '@retrap/ioreq'

/** Bytes of guest memory in one frame. */
export const MAX_DMA_BYTES: number = 1 << 16

/*
 * The frames between a hypervisor and a device server in another thread, process or machine, beside the request pages that they
 * may share. A frame is a u32 length of its remainder, a kind (u8), and the fields of that kind in order, little-endian. `now`
 * is always the machine's clock when the frame was sent: nanoseconds, 64 bits.
 */

/** Range of addresses, or of guest frames, both ends inclusive. */
export type FrameRange = readonly [first: number, last: number]

/** How a field lies in a frame. */
export type FieldType = 'u32' | 'f64' | 'u64' | 'flag' | 'text' | 'bytes' | 'ranges' | 'ioreq'

interface FieldValues {
  readonly u32: number
  readonly f64: number
  readonly u64: Word64
  readonly flag: boolean
  readonly text: string
  readonly bytes: Uint8Array
  readonly ranges: readonly FrameRange[]
  readonly ioreq: IoRequest
}

/** The code of each kind of frame, and its fields in order. Codes below 32 are sent to a device server, others by it. */
export const FRAMES = {
  /** First of all. `realTime`: the clock runs on by itself. */
  hello: [1, { version: 'u32', vcpus: 'u32', realTime: 'flag', now: 'u64' }],
  /** A request, where the two do not share its page. Its answer names the same sequence number. */
  request: [2, { vcpu: 'u32', sequence: 'u32', now: 'u64', request: 'ioreq' }],
  /** A write out of the buffered ring. */
  buffered: [3, { now: 'u64', request: 'ioreq' }],
  cancel: [4, { vcpu: 'u32' }],
  /** The clock has reached a timer's deadline. 2^32 − 1 is no timer: the frame tells the time alone. */
  timer: [5, { timer: 'u32', deadline: 'u64', now: 'u64' }],
  reset: [6, { now: 'u64' }],
  /** Asks for a `called` frame when all before it has been handled. */
  settle: [7, { call: 'u32' }],
  /** Asks for the models' state, as JSON in a `called` frame. */
  save: [8, { call: 'u32' }],
  restore: [9, { call: 'u32', now: 'u64', state: 'text' }],
  dmaDone: [10, { call: 'u32', ok: 'flag', bytes: 'bytes' }],
  detach: [11, { device: 'text' }],
  /**
   * An INVALIDATE request of this vCPU follows, about these guest frames only: RAM that is gone, and RAM that may only be
   * read from now on. Sent to a server that wants it.
   */
  invalidate: [12, { vcpu: 'u32', all: 'flag', gone: 'ranges', readOnly: 'ranges' }],
  /** Asks for a `called` frame when nothing of guest memory is mapped, and nothing that was begun before is under way. */
  drop: [13, { call: 'u32' }],
  /** Asks the models to bring their work to an end, in this many host milliseconds; a `called` frame follows. */
  quiesce: [14, { call: 'u32', deadline: 'f64' }],
  /** The machine goes on after `quiesce` or `restore`. */
  resume: [15, { now: 'u64' }],
  /** Has a device that the server can make be plugged in; a `called` frame follows. */
  plug: [17, { call: 'u32', now: 'u64', device: 'text' }],
  /** Takes the device out of a slot: a `called` frame with `out`, or `late` when this many host milliseconds have passed. */
  unplug: [18, { call: 'u32', now: 'u64', bus: 'text', force: 'flag', deadline: 'f64' }],
  /** Sent before `resume` to models that map guest memory: whether they announce writes by `writing` from now on. */
  announce: [19, { on: 'flag' }],

  // ---- from a device server to the hypervisor ----

  /** All models are attached. */
  ready: [32, { name: 'text' }],
  /** All that the models claim of one type (`XEN_DMOP_IO_RANGE_*`), and the buffered ranges. */
  claim: [33, { type: 'u32', ranges: 'ranges', buffered: 'ranges' }],
  answer: [34, { vcpu: 'u32', sequence: 'u32', lo: 'u32', hi: 'u32' }],
  /** A model has failed; `vcpu` is the request that it cannot answer, or `NO_VCPU`. */
  fault: [35, { vcpu: 'u32', device: 'text', what: 'text', message: 'text' }],
  /** Makes a holder of an interrupt line, numbered by the sender. */
  openLine: [36, { line: 'u32', irq: 'u32' }],
  /** The same for a PCI interrupt pin. */
  openPin: [37, { line: 'u32', device: 'u32', pin: 'u32' }],
  setLine: [38, { line: 'u32', level: 'flag' }],
  pulseLine: [39, { line: 'u32' }],
  msi: [40, { address: 'f64', data: 'u32', requester: 'u32' }],
  /** Sets a timer, numbered by the sender, or with 2^64 − 1 stops it. */
  armTimer: [41, { timer: 'u32', deadline: 'u64' }],
  dmaRead: [42, { call: 'u32', gpa: 'f64', length: 'u32' }],
  /** Call 0 wants no reply. */
  dmaWrite: [43, { call: 'u32', gpa: 'f64', bytes: 'bytes' }],
  powerOff: [44, {}],
  resetMachine: [45, {}],
  exit: [46, { code: 'u32' }],
  /** The reply to `settle`, `save`, `restore` and `drop`. An empty error is none. */
  called: [47, { call: 'u32', error: 'text', result: 'text' }],
  /** Asks for an `invalidate` frame before each INVALIDATE request. */
  wantFrames: [48, {}],
  /** A model has written guest frames itself: translations of their code are dropped, and they count as written. */
  modified: [49, { gfn: 'f64', count: 'f64' }],
  /** A model is about to write guest frames itself, and waits for the `dmaDone` frame that replies. */
  writing: [60, { call: 'u32', gfn: 'f64', count: 'f64' }],
  /**
   * Allocates memory of a model, numbered by the sender. `flags`: 1 ROM, 2 executable, 4 trapped at first, 8 writes to ROM
   * are the model's, 16 saved. The `dmaDone` frame that replies to call numbers other than 0 has, as an f64, where a Worker
   * that shares machine memory finds it, or nothing.
   */
  ownMemory: [50, { call: 'u32', memory: 'u32', device: 'text', name: 'text', length: 'f64', flags: 'u32' }],
  /** Shows a part of a memory at an address. */
  placeMemory: [51, { placement: 'u32', memory: 'u32', gpa: 'f64', offset: 'f64', length: 'f64' }],
  removePlacement: [52, { placement: 'u32' }],
  memoryMode: [53, { memory: 'u32', trapped: 'flag' }],
  memoryModified: [54, { memory: 'u32', offset: 'f64', length: 'f64' }],
  /** Answered by `dmaDone`, as are the following two; a write with call 0 is not. */
  memoryRead: [55, { call: 'u32', memory: 'u32', offset: 'f64', length: 'u32' }],
  memoryWrite: [56, { call: 'u32', memory: 'u32', offset: 'f64', bytes: 'bytes' }],
  /** Takes the log of written pages: little-endian words of one bit a page. */
  memoryDirty: [57, { call: 'u32', memory: 'u32', offset: 'f64', length: 'f64' }],
  memoryLog: [58, { memory: 'u32', on: 'flag' }],
  freeMemory: [59, { memory: 'u32' }],

  /** Either way: bytes whose meaning is between the models and the party that made the machine, such as keys and pixels. */
  message: [16, { now: 'u64', bytes: 'bytes' }],
} as const

/** One frame. */
export type Frame = {
  [Kind in keyof typeof FRAMES]: { readonly kind: Kind } & {
    readonly [Field in keyof (typeof FRAMES)[Kind][1]]: FieldValues[(typeof FRAMES)[Kind][1][Field] & FieldType]
  }
}[keyof typeof FRAMES]

/** Version of the frames, in `hello`. */
export const FRAME_VERSION = 5
/** `vcpu` of a `fault` outside of any request. */
export const NO_VCPU = 0xffff_ffff
/** The longest frame: a longer one is refused before it is read. DMA is cut into pieces. */
export const MAX_FRAME_BYTES: number = 1 << 20

/** Reads a clock for a frame. */
export function timeOf(clock: Clock): Word64 {
  const now = { lo: 0, hi: 0 }
  clock.read(now)
  return now
}
