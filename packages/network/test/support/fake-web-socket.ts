import type { FrameSocket } from '../../src/index.ts'

type Listener = (event: { readonly data: unknown }) => void

/** A WebSocket whose other end is the test. */
export class FakeWebSocket implements FrameSocket {
  binaryType = 'blob'
  bufferedAmount = 0
  readyState = 0
  readonly sent: Uint8Array[] = []
  readonly #listeners = new Map<string, Listener[]>()

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener])
  }
  send(message: Uint8Array): void {
    if (this.readyState !== 1) throw new Error('not open')
    this.sent.push(message)
  }
  open(): void {
    this.readyState = 1
    this.#tell('open')
  }
  close(): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.#tell('close')
  }
  /** Bytes, or what else a message may be, come from the other end. */
  receive(data: unknown): void {
    if (this.readyState === 1) this.#tell('message', data instanceof Uint8Array ? data.slice().buffer : data)
  }

  #tell(type: string, data?: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) listener({ data })
  }
}
