// The program of the thread that plays a machine's sound. A page imports it for its address alone.
import { RING_BYTES, type SoundMessage, SoundRing, VOICES } from './sound-ring.ts'

/** The name of the processor. */
export const PROCESSOR = 'retrap-sound'
/** Address of this module. */
export const address: string = import.meta.url

declare const sampleRate: number
declare const AudioWorkletProcessor: (new () => { readonly port: MessagePort }) | undefined
declare function registerProcessor(name: string, processor: new () => object): void

// Defined only in an AudioWorklet, not in a page that imports this module.
if (typeof AudioWorkletProcessor !== 'undefined') {
  class SoundProcessor extends AudioWorkletProcessor {
    #rings = VOICES.map(() => new SoundRing())
    #ends = false

    constructor() {
      super()
      this.port.addEventListener('message', ({ data }: MessageEvent<MessagePort | null>) => {
        if (data === null) this.#ends = true
        else data.addEventListener('message', (event: MessageEvent<SoundMessage>) => this.#take(data, event.data))
        data?.start()
      })
      this.port.start()
    }

    #take(port: MessagePort, message: SoundMessage): void {
      if ('rings' in message) {
        this.#rings = VOICES.map((_, i) => new SoundRing(message.rings, i * RING_BYTES))
        return
      }
      this.#rings[message.voice]?.write(message.samples, message.rate, message.channels)
      port.postMessage(null)
    }

    process(_inputs: unknown, [channels = []]: readonly (readonly Float32Array[])[]): boolean {
      const [left, right] = channels
      if (left !== undefined && right !== undefined) for (const ring of this.#rings) ring.addTo(left, right, sampleRate)
      return !this.#ends
    }
  }
  registerProcessor(PROCESSOR, SoundProcessor)
}
