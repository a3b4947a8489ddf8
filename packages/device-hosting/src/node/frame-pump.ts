import type { Duplex } from 'node:stream'
import type { ProtocolEnd } from '../protocol/protocol-end.ts'

/** Host time that frames may take in a turn of the event loop: a guest of this thread has several times as much. */
const TURN_MS = 1
/** Chunks up to this are a few frames, which nothing has to be bounded for. */
const FEW_BYTES = 4096
/** Bytes on their way to and from memory, and of answers, before frames wait. */
const MOST_MOVING = 1 << 23
/** Milliseconds that a server may leave its answers unread before the user is notified. */
const TELL_MS = 10_000
const NOTHING = new Uint8Array(0)

/** The parts that a {@link pumpFrames} acts on. */
export interface FramePumpOptions {
  readonly end: Pick<ProtocolEnd, 'connect' | 'isAttaching' | 'moving'>
  readonly stream: Duplex
  /** Takes a line for the machine's user. */
  tell?(text: string): void
  /** The host's clock, in milliseconds. Default: `performance.now`. */
  now?(): number
}

/**
 * Hands a stream's frames to the machine. A server that sends as fast as it can takes a part of each turn of the event loop, and
 * the rest of its frames waits in the stream; one that asks for more than it takes waits until it has taken it.
 */
export function pumpFrames(options: FramePumpOptions): void {
  const { end, stream } = options
  const now = (): number => options.now?.() ?? performance.now()
  /** End of this turn's time for frames; `Infinity`: the turn is not timed. */
  let until = Infinity
  /** Whether frames wait, so that the stream is paused. */
  let isHeld = false
  const receive = end.connect({
    get backlog() {
      return stream.writableLength
    },
    write: (bytes) => {
      if (stream.writable) stream.write(bytes)
    },
    close: () => void stream.end(),
    holds: () =>
      end.isAttaching || end.moving + stream.writableLength > MOST_MOVING || (until !== Infinity && now() >= until),
  })
  /** Counts the time of this turn of the event loop, the rest of it included. */
  const count = (): void => {
    if (until !== Infinity) return
    until = now() + TURN_MS
    setImmediate(() => (until = Infinity))
  }
  const take = (chunk: Uint8Array): void => {
    const wasHeld = isHeld
    isHeld = receive(chunk)
    if (isHeld) {
      stream.pause()
      if (stream.writableLength > MOST_MOVING) afterDrain()
      else setImmediate(goOn)
    } else if (wasHeld) stream.resume()
  }
  const goOn = (): void => {
    if (stream.destroyed) return
    count()
    take(NOTHING)
  }
  const afterDrain = (): void => {
    const late = setTimeout(() => {
      const { writableLength } = stream
      options.tell?.(
        `it has not taken ${writableLength} bytes of answers for ${TELL_MS / 1000} s: its frames wait for that`,
      )
    }, TELL_MS)
    late.unref()
    const go = (): void => {
      clearTimeout(late)
      stream.off('drain', go).off('close', go)
      goOn()
    }
    stream.on('drain', go).on('close', go)
  }
  stream.on('data', (chunk: Uint8Array) => {
    if (chunk.length > FEW_BYTES) count()
    take(chunk)
  })
}
