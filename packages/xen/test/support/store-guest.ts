import { MachineMemory } from '@retrap/memory'
import { GuestPage } from '../../src/shared/guest-page.ts'
import { StoreService } from '../../src/store/store.ts'
import { StoreRing } from '../../src/store/store-ring.ts'

/** Message types (public/io/xs_wire.h). */
export const XS = {
  control: 0,
  directory: 1,
  read: 2,
  getPermissions: 3,
  watch: 4,
  unwatch: 5,
  begin: 6,
  end: 7,
  introduce: 8,
  domainPath: 10,
  write: 11,
  makeDirectory: 12,
  remove: 13,
  setPermissions: 14,
  watchEvent: 15,
  error: 16,
  isIntroduced: 17,
  resetWatches: 21,
  directoryPart: 22,
} as const

export interface Answer {
  readonly type: number
  readonly request: number
  readonly transaction: number
  readonly text: string
}

const RING = 1024
export const REQ_CONS = 2048
export const REQ_PROD = 2052
export const RSP_CONS = 2056
export const RSP_PROD = 2060
export const CONNECTION = 2068
export const ERROR = 2072

/** A guest's end of the store's ring, written from public/io/xs_wire.h. */
export class StoreGuest {
  readonly memory: MachineMemory = MachineMemory.create({ bytes: 1 << 20 })
  /** MA of the ring. */
  readonly page: number = this.memory.allocate(0x1000, 0x1000, 'ring')
  readonly store: StoreService = new StoreService()
  readonly ring: StoreRing
  notified = 0
  #request = 1
  readonly events: string[] = []
  #received: number[] = []

  constructor(domain: number = 1) {
    this.ring = new StoreRing(this.store, new GuestPage(this.memory, this.page), domain, () => this.notified++)
    const home = `/local/domain/${domain}`
    this.store.write(home, '')
    this.store.setPermissions(home, [{ domain, read: false, write: false }])
  }

  get(offset: number): number {
    return this.memory.u32[(this.page + offset) >>> 2] as number
  }

  set(offset: number, value: number): void {
    this.memory.u32[(this.page + offset) >>> 2] = value
  }

  /** Puts bytes on the ring as room comes; the store is told after each piece. */
  push(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const producer = this.get(REQ_PROD)
      const room = RING - ((producer - this.get(REQ_CONS)) >>> 0)
      if (room === 0) throw new Error('the store takes nothing')
      const count = Math.min(room, bytes.length - done)
      for (let i = 0; i < count; i++) {
        this.memory.u8[this.page + (((producer + i) >>> 0) % RING)] = bytes[done + i] as number
      }
      this.set(REQ_PROD, (producer + count) >>> 0)
      done += count
      this.ring.service()
      this.#drain()
    }
  }

  #drain(): void {
    for (;;) {
      const consumer = this.get(RSP_CONS)
      const count = (this.get(RSP_PROD) - consumer) >>> 0
      if (count === 0) return
      for (let i = 0; i < count; i++) {
        this.#received.push(this.memory.u8[this.page + RING + (((consumer + i) >>> 0) % RING)] as number)
      }
      this.set(RSP_CONS, (consumer + count) >>> 0)
      this.ring.service()
    }
  }

  /** Messages that have arrived whole. */
  messages(): Answer[] {
    this.#drain()
    const all: Answer[] = []
    while (this.#received.length >= 16) {
      const view = new DataView(Uint8Array.from(this.#received.slice(0, 16)).buffer)
      const length = view.getUint32(12, true)
      if (this.#received.length < 16 + length) break
      const bytes = this.#received.splice(0, 16 + length).slice(16)
      const text = String.fromCharCode(...bytes)
      const [type, request, transaction] = [0, 4, 8].map((at) => view.getUint32(at, true)) as [number, number, number]
      all.push({ type, request, transaction, text })
    }
    return all
  }

  static message(type: number, request: number, transaction: number, payload: string): Uint8Array {
    const bytes = new Uint8Array(16 + payload.length)
    const view = new DataView(bytes.buffer)
    for (const [i, word] of [type, request, transaction, payload.length].entries()) view.setUint32(4 * i, word, true)
    for (let i = 0; i < payload.length; i++) bytes[16 + i] = payload.charCodeAt(i)
    return bytes
  }

  /** Asks; what comes beside the answer are watch events, which are kept. */
  ask(type: number, payload: string, transaction = 0): string {
    const request = this.#request++
    this.push(StoreGuest.message(type, request, transaction, payload))
    let answer: Answer | undefined
    for (const message of this.messages()) {
      if (message.type === XS.watchEvent) this.events.push(message.text.replaceAll('\0', ' ').trim())
      else answer = message
    }
    if (answer === undefined) throw new Error('no answer')
    if (answer.request !== request) throw new Error(`answer to ${answer.request}, not ${request}`)
    if (answer.type !== type && answer.type !== XS.error) throw new Error(`answer of type ${answer.type}`)
    return answer.text.replace(/\0$/, '')
  }

  /** Watch events since the last call: path and token. */
  takeEvents(): string[] {
    for (const message of this.messages()) this.events.push(message.text.replaceAll('\0', ' ').trim())
    return this.events.splice(0)
  }
}
