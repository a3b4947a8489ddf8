import type { FailurePolicy } from '@retrap/ioreq'
import { decodeFrame, encodeFrame, type Frame } from '@retrap/device-hosting'

/** Bytes of the length in front of a frame. */
const LENGTH_BYTES = 4
const NEVER = 0xffff_ffff

/** A frame as bytes, for `decodeFrame`. */
export const frameBytes = (frame: Frame): Uint8Array => encodeFrame(frame).slice(LENGTH_BYTES)

/** Kinds of frames that a machine needs before its state is restored, as these allocate its memories. */
const AT_FIRST: ReadonlySet<Frame['kind']> = new Set(['wantFrames', 'ownMemory', 'ready'])

/** A key, and the frame that is kept under it: null for none; by default the frame that has come. */
type Held = readonly [key: string, kept?: Frame | null | undefined]

/** Keys of the frames that are kept. */
const HELD: { readonly [Kind in Frame['kind']]?: (frame: Extract<Frame, { kind: Kind }>) => Held } = {
  wantFrames: ({ kind }) => [kind],
  ready: ({ kind }) => [kind],
  claim: ({ type }) => [`claim ${type}`],
  openLine: ({ line }) => [`line ${line}`],
  openPin: ({ line }) => [`line ${line}`],
  setLine: ({ line, level }) => [`level ${line}`, level ? undefined : null],
  pulseLine: ({ line }) => [`level ${line}`, null],
  armTimer: ({ timer, deadline: { lo, hi } }) => [`timer ${timer}`, hi === NEVER && lo === NEVER ? null : undefined],
  ownMemory: (frame) => [`memory ${frame.memory}`, { ...frame, call: 0 }],
  placeMemory: ({ placement }) => [`place ${placement}`],
  removePlacement: ({ placement }) => [`place ${placement}`, null],
  memoryMode: ({ memory }) => [`mode ${memory}`],
  memoryLog: ({ memory }) => [`log ${memory}`],
}

/** The state of a server's models, as far as the machine's side keeps it: their claims, lines, timers and memories. */
export class HeldFrames {
  readonly #frames = new Map<string, Uint8Array>()

  /** Keeps a frame that takes effect, or drops the frame that it cancels. */
  take(frame: Frame): void {
    if (frame.kind === 'freeMemory') return this.#free(frame.memory)
    const held = (HELD[frame.kind] as ((frame: Frame) => Held) | undefined)?.(frame)
    if (held === undefined) return
    const [key, kept = frame] = held
    if (kept === null) this.#frames.delete(key)
    else this.#frames.set(key, frameBytes(kept))
  }

  /** A timer has fired, and is armed no more. */
  expired(timer: number): void {
    this.#frames.delete(`timer ${timer}`)
  }

  #free(memory: number): void {
    for (const [key, bytes] of this.#frames) {
      const frame = decodeFrame(bytes)
      if ('memory' in frame && frame.memory === memory) this.#frames.delete(key)
    }
  }

  /** Returns the encoded frames. */
  save(): readonly Uint8Array[] {
    return [...this.#frames.values()]
  }
}

/** A server that was plugged in while the machine ran: plain data. */
export interface PlugFacts {
  readonly name: string
  /** The server's number among the parties. */
  readonly party: number
  /** The policy for a failure of its models; null: the domain's. */
  readonly policy: FailurePolicy | null
}

/** The facts about a server, with the frames kept for it. */
interface PluggedFrames {
  readonly plug: PlugFacts
  readonly frames: readonly Uint8Array[]
}

/** Returns a checkpoint's part of a server. @param plug - facts about one that was plugged in */
export const savedFrames = (held: HeldFrames, plug: PlugFacts | undefined): readonly Uint8Array[] | PluggedFrames =>
  plug === undefined ? held.save() : { plug, frames: held.save() }

/** Finds the servers that were plugged in, among the parties' saved states. */
export const plugsOf = (parties: readonly unknown[]): PlugFacts[] =>
  (parties as readonly (Partial<PluggedFrames> | null)[]).flatMap((party) => party?.plug ?? [])

/** Returns the saved frames to send before a restore, or after it. */
export function framesOf(saved: unknown, areFirst: boolean): Frame[] {
  const frames = Array.isArray(saved) ? (saved as readonly Uint8Array[]) : (saved as PluggedFrames).frames
  return frames.map(decodeFrame).filter(({ kind }) => AT_FIRST.has(kind) === areFirst)
}
