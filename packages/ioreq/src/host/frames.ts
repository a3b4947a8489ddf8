import type { Clock, Word64 } from '@retrap/device'
import type { IoRequest } from '../request.ts'

/** Bytes of guest memory in one frame. */
export const MAX_DMA_BYTES: number = 1 << 16

/*
 * The frames between a hypervisor and a device server in another thread, process or machine, beside the request pages that they
 * may share. A frame is a u32 length of what follows, a kind (u8), and the fields of that kind in order, little-endian. `now` is
 * always the machine's clock when the frame was sent: nanoseconds, 64 bits.
 */

/** Range of addresses, or of guest frames, both ends inclusive. */
export type FrameRange = readonly [first: number, last: number]

/** From the hypervisor to a device server. */
export type CommandFrame =
  /** First of all. `realTime`: the clock runs on by itself. */
  | {
      readonly kind: 'hello'
      readonly version: number
      readonly vcpus: number
      readonly realTime: boolean
      readonly now: Word64
    }
  /** A request, where the two do not share its page. Its answer names the same sequence number. */
  | {
      readonly kind: 'request'
      readonly vcpu: number
      readonly sequence: number
      readonly now: Word64
      readonly request: IoRequest
    }
  /** A write out of the buffered ring. */
  | { readonly kind: 'buffered'; readonly now: Word64; readonly request: IoRequest }
  | { readonly kind: 'cancel'; readonly vcpu: number }
  /** The clock has reached a timer's deadline. */
  | { readonly kind: 'timer'; readonly timer: number; readonly deadline: Word64; readonly now: Word64 }
  | { readonly kind: 'reset'; readonly now: Word64 }
  /** Asks for a `called` frame when all before it has been handled. */
  | { readonly kind: 'settle'; readonly call: number }
  /** Asks for the models' state, as JSON in a `called` frame. */
  | { readonly kind: 'save'; readonly call: number }
  | { readonly kind: 'restore'; readonly call: number; readonly now: Word64; readonly state: string }
  /** Asks the models to bring their work to an end, in this many host milliseconds; a `called` frame follows. */
  | { readonly kind: 'quiesce'; readonly call: number; readonly deadline: number }
  /** The machine goes on after `quiesce` or `restore`. */
  | { readonly kind: 'resume'; readonly now: Word64 }
  | { readonly kind: 'dmaDone'; readonly call: number; readonly ok: boolean; readonly bytes: Uint8Array }
  | { readonly kind: 'detach'; readonly device: string }
  /** Has a device that the server can make be plugged in; a `called` frame follows. */
  | { readonly kind: 'plug'; readonly call: number; readonly now: Word64; readonly device: string }
  /** Takes out what is in a slot: a `called` frame with `out`, or `late` when this many host milliseconds have passed. */
  | {
      readonly kind: 'unplug'
      readonly call: number
      readonly now: Word64
      readonly bus: string
      readonly force: boolean
      readonly deadline: number
    }
  /** Asks for a `called` frame when nothing of guest memory is mapped, and nothing that was begun before is under way. */
  | { readonly kind: 'drop'; readonly call: number }
  /**
   * An INVALIDATE request of this vCPU follows, about these guest frames only: RAM that is gone, and RAM that may only be
   * read from now on. Sent to who wants it.
   */
  | {
      readonly kind: 'invalidate'
      readonly vcpu: number
      readonly all: boolean
      readonly gone: readonly FrameRange[]
      readonly readOnly: readonly FrameRange[]
    }

/** From a device server to the hypervisor. */
export type EventFrame =
  /** All models are attached. */
  | { readonly kind: 'ready'; readonly name: string }
  /** All that the models claim of one type (`XEN_DMOP_IO_RANGE_*`), and which of it is buffered. */
  | {
      readonly kind: 'claim'
      readonly type: number
      readonly ranges: readonly FrameRange[]
      readonly buffered: readonly FrameRange[]
    }
  | {
      readonly kind: 'answer'
      readonly vcpu: number
      readonly sequence: number
      readonly lo: number
      readonly hi: number
    }
  /** A model has failed; `vcpu` is the request that it cannot answer, or `NO_VCPU`. */
  | {
      readonly kind: 'fault'
      readonly vcpu: number
      readonly device: string
      readonly what: string
      readonly message: string
    }
  /** Makes a holder of an interrupt line, numbered by the sender. */
  | { readonly kind: 'openLine'; readonly line: number; readonly irq: number }
  /** The same for a PCI interrupt pin. */
  | { readonly kind: 'openPin'; readonly line: number; readonly device: number; readonly pin: number }
  | { readonly kind: 'setLine'; readonly line: number; readonly level: boolean }
  | { readonly kind: 'pulseLine'; readonly line: number }
  | { readonly kind: 'msi'; readonly address: number; readonly data: number; readonly requester: number }
  /**
   * Allocates memory of a model, numbered by the sender. `flags`: 1 ROM, 2 executable, 4 trapped at first, 8 writes to ROM
   * are the model's, 16 saved. The `dmaDone` frame that replies to call numbers other than 0 has, as an f64, where a Worker
   * that shares machine memory finds it, or nothing.
   */
  | {
      readonly kind: 'ownMemory'
      readonly call: number
      readonly memory: number
      readonly device: string
      readonly name: string
      readonly length: number
      readonly flags: number
    }
  /** Shows a part of a memory at an address. */
  | {
      readonly kind: 'placeMemory'
      readonly placement: number
      readonly memory: number
      readonly gpa: number
      readonly offset: number
      readonly length: number
    }
  | { readonly kind: 'removePlacement'; readonly placement: number }
  | { readonly kind: 'memoryMode'; readonly memory: number; readonly trapped: boolean }
  | { readonly kind: 'memoryModified'; readonly memory: number; readonly offset: number; readonly length: number }
  /** Answered by `dmaDone`, as are the following two; a write with call 0 is not. */
  | {
      readonly kind: 'memoryRead'
      readonly call: number
      readonly memory: number
      readonly offset: number
      readonly length: number
    }
  | {
      readonly kind: 'memoryWrite'
      readonly call: number
      readonly memory: number
      readonly offset: number
      readonly bytes: Uint8Array
    }
  /** Takes the log of written pages: little-endian words of one bit a page. */
  | {
      readonly kind: 'memoryDirty'
      readonly call: number
      readonly memory: number
      readonly offset: number
      readonly length: number
    }
  | { readonly kind: 'memoryLog'; readonly memory: number; readonly on: boolean }
  | { readonly kind: 'freeMemory'; readonly memory: number }
  /** Sets a timer, numbered by the sender, or with 2^64 − 1 stops it. */
  | { readonly kind: 'armTimer'; readonly timer: number; readonly deadline: Word64 }
  | { readonly kind: 'dmaRead'; readonly call: number; readonly gpa: number; readonly length: number }
  /** Call 0 wants no reply. */
  | { readonly kind: 'dmaWrite'; readonly call: number; readonly gpa: number; readonly bytes: Uint8Array }
  /** Asks for an `invalidate` frame before each INVALIDATE request. */
  | { readonly kind: 'wantFrames' }
  /** A model has written guest frames itself: what has been translated of them is dropped, and they count as written. */
  | { readonly kind: 'modified'; readonly gfn: number; readonly count: number }
  | { readonly kind: 'powerOff' }
  | { readonly kind: 'resetMachine' }
  | { readonly kind: 'exit'; readonly code: number }
  /** The reply to `settle`, `save`, `restore` and `drop`. An empty error is none. */
  | { readonly kind: 'called'; readonly call: number; readonly error: string; readonly result: string }

/** Either way: bytes whose meaning is between the models and the party that made the machine, such as keys and pixels. */
export interface MessageFrame {
  /** Tells frames apart. */
  readonly kind: 'message'
  /** The machine's clock. */
  readonly now: Word64
  /** The bytes of the message. */
  readonly bytes: Uint8Array
}

/** One frame. */
export type Frame = CommandFrame | EventFrame | MessageFrame

/** Version of the frames, in `hello`. */
export const FRAME_VERSION = 5
/** `vcpu` of a `fault` outside of any request. */
export const NO_VCPU = 0xffff_ffff
/** The longest frame: what is longer is refused before it is read. DMA is cut into pieces. */
export const MAX_FRAME_BYTES: number = 1 << 20

/** Reads a clock for a frame. */
export function timeOf(clock: Clock): Word64 {
  const now = { lo: 0, hi: 0 }
  clock.read(now)
  return now
}
