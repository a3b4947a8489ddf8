// Sends a machine's sound to the thread that plays it. Loaded when a page listens.
import type { PcOptions } from '@retrap/machine'
import { RING_BYTES, type SoundMessage, SoundRing, VOICES } from '../sound-ring.ts'

/** A device's loudspeakers. */
export type Loudspeakers = NonNullable<PcOptions['speaker']>

/** Most messages on their way; further sound is dropped: without a player they would pile up. */
const MOST_MESSAGES = 32

/** The way to the listener: rings in shared memory, or messages. It never has the machine wait. */
export class SoundSender {
  readonly port: MessagePort
  readonly #rings: readonly SoundRing[] | null
  #underWay = 0

  constructor(port: MessagePort, isShared: boolean) {
    this.port = port
    const buffer = isShared ? new SharedArrayBuffer(RING_BYTES * VOICES.length) : null
    this.#rings = buffer === null ? null : VOICES.map((_, i) => new SoundRing(buffer, i * RING_BYTES))
    if (buffer !== null) port.postMessage({ rings: buffer } satisfies SoundMessage)
    else port.onmessage = () => void this.#underWay--
  }

  /** Sends samples, which are copied before this returns. */
  play(
    voice: (typeof VOICES)[number],
    samples: Int16Array,
    { rate, channels }: Parameters<Loudspeakers['play']>[1],
  ): void {
    const index = VOICES.indexOf(voice)
    if (this.#rings !== null) return this.#rings[index]!.write(samples, rate, channels)
    if (this.#underWay >= MOST_MESSAGES) return
    this.#underWay++
    const own = samples.slice()
    this.port.postMessage({ voice: index, samples: own, rate, channels } satisfies SoundMessage, [own.buffer])
  }
}
