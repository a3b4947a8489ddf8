import type { Channel } from '../../src/index.ts'

/** What is to become of a pipe. */
export interface PipeOptions {
  /** It ends when so many bytes have gone from the first end to the other. */
  readonly cutAfter?: number
  /** The same of bytes that go back. */
  readonly cutBackAfter?: number
}

/** Two ends of one connection. A piece that meets the cut arrives in part. */
export function pipe({ cutAfter = Infinity, cutBackAfter = Infinity }: PipeOptions = {}): [Channel, Channel] {
  const [there, back] = [new OneWay(cutAfter), new OneWay(cutBackAfter)]
  const close = (): void => {
    there.end()
    back.end()
  }
  there.onCut = back.onCut = close
  const end = (out: OneWay, into: OneWay): Channel => ({
    send: (bytes) => out.send(bytes),
    receive: () => into.receive(),
    close,
  })
  return [end(there, back), end(back, there)]
}

class OneWay {
  #left: number
  readonly #pieces: Uint8Array[] = []
  #ended = false
  #waiting: (() => void) | undefined
  onCut: () => void = () => undefined

  constructor(cutAfter: number) {
    this.#left = cutAfter
  }

  async send(bytes: Uint8Array): Promise<void> {
    if (this.#ended) throw new Error('cut')
    const part = bytes.subarray(0, Math.min(bytes.length, this.#left))
    this.#left -= part.length
    if (part.length > 0) this.#pieces.push(part)
    this.#waiting?.()
    if (part.length < bytes.length) {
      this.onCut()
      throw new Error('cut')
    }
  }

  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      const piece = this.#pieces.shift()
      if (piece !== undefined) return piece
      if (this.#ended) return null
      await new Promise<void>((resolve) => (this.#waiting = resolve))
    }
  }

  end(): void {
    this.#ended = true
    this.#waiting?.()
  }
}
